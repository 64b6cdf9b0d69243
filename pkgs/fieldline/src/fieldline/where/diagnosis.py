"""What a diagnosis says: which series have stopped, at which hop, since when and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

# The hops of a value in the order of its way, each with whose fault it would be: the OPC UA server
# or its source; the collector's Telegraf and its subscription; Kafka and the way to it; the stream
# model; the Telegraf that writes; InfluxDB.
StopHop = Literal["server", "subscription", "kafka", "stream-model", "writer", "influxdb"]
HOPS: tuple[StopHop, ...] = get_args(StopHop)

# How many series a group names; a screen shows fewer.
_WORST = 20


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something stopped; see `fieldline.where.causes`.

    Attributes:
        code: tells causes apart, for programs; text, what_to_do: for people.
    """

    code: str
    text: str
    what_to_do: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Where one series stopped.

    Attributes:
        series: such as `Sensors/Temperature`.
        hop, name: the first hop at which it stopped, such as `server` `opc`.
        since_ns: source time of the last value that came past; None if it is not known.
        never: no value was ever seen of it.
    """

    series: str
    hop: StopHop
    name: str
    cause: Cause
    since_ns: int | None = None
    never: bool = False
    model: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """A series of a group, with its `since_ns` as in `Stop`."""

    series: str
    since_ns: int | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """Series that stopped at one hop for one cause.

    Attributes:
        hop, name, code, cause, what_to_do: as in `Stop` and `Cause`.
        since_ns, until_ns: the first and the last of their times; None if none is known.
        variables, models: how many series; never: how many of them never had a value.
        worst: some of them, those that stopped first in front.
    """

    hop: StopHop
    name: str
    code: str
    cause: str
    what_to_do: str
    since_ns: int | None
    until_ns: int | None
    variables: int
    models: int
    never: int
    worst: list[Named]


@dataclass(frozen=True, slots=True)
class Note:
    """What is wrong at a hop, though it has stopped nothing; fields as in `Stopped`."""

    hop: StopHop
    name: str
    code: str
    text: str
    what_to_do: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Where data stopped, as far as it can be told from one host.

    Attributes:
        host: the host that looked; None if it is none of the site's.
        declared: how many variables and models were looked at; arriving: how many of them are
            fresh at the last place that can be seen from here, which is `seen_at`: InfluxDB, Kafka,
            or empty if neither can.
        stopped: groups, in the order of the way.
        unseen: in plain words, what could not be looked at.
    """

    time_ns: int
    host: str | None
    declared: int
    arriving: int
    seen_at: str
    stopped: list[Stopped] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


def grouped(stops: Iterable[Stop]) -> list[Stopped]:
    """Stops with the same hop and cause together, in the order of the way, the largest first."""
    groups: dict[tuple[StopHop, str, Cause], list[Stop]] = {}
    for stop in stops:
        groups.setdefault((stop.hop, stop.name, stop.cause), []).append(stop)
    found = [_group(hop, name, cause, of) for (hop, name, cause), of in groups.items()]
    return sorted(found, key=lambda g: (HOPS.index(g.hop), -g.variables - g.models, g.cause))


def _group(hop: StopHop, name: str, cause: Cause, stops: Sequence[Stop]) -> Stopped:
    # What never came first, then by time; a time that is not known last.
    worst = sorted(stops, key=lambda s: (not s.never, s.since_ns is None, s.since_ns or 0))
    times = [stop.since_ns for stop in stops if stop.since_ns is not None]
    return Stopped(
        hop,
        name,
        cause.code,
        cause.text,
        cause.what_to_do,
        min(times, default=None),
        max(times, default=None),
        sum(not stop.model for stop in stops),
        sum(stop.model for stop in stops),
        sum(stop.never for stop in stops),
        [Named(stop.series, stop.since_ns) for stop in worst[:_WORST]],
    )
