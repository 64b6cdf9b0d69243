"""What is seen at one moment. `fieldline where --json` prints one `Snapshot` per line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fieldline.where.diagnosis import Diagnosis

HopKind = Literal["server", "collector", "topic", "group", "writer", "store"]
SeriesKind = Literal["variable", "model"]

OK = "ok"


@dataclass(frozen=True, slots=True)
class LastError:
    """The last thing that went wrong at a hop.

    Attributes:
        text, what_to_do: in plain words; the latter is empty where the text says it.
        time_ns: when it was; None if that is not known.
        host: which host told it; raw: the message as it was written, where it was one.
    """

    text: str
    what_to_do: str
    time_ns: int | None
    host: str
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Hop:
    """One station on the way of a value.

    Attributes:
        kind, name: such as `server` `opc`, `topic` `model`, `group` `telegraf-opc`.
        state: `ok`, or in plain words why there is no more to tell.
        rate: values or records per second, over the last 15 s at most; None: not known yet.
        lag: what waits here: records of a group not read yet, values in a collector's buffer.
        newest_ns: time of the newest value here, ns: source time at servers and in InfluxDB, time
            of arrival in topics; None where the hop does not tell it.
        age_s: how old that is, in s.
        detail: anything else worth a few words.
        last_error: what went wrong here last, within the past hour, where that is known.
    """

    kind: HopKind
    name: str
    state: str
    rate: float | None = None
    lag: int | None = None
    newest_ns: int | None = None
    age_s: float | None = None
    detail: str = ""
    last_error: LastError | None = None


@dataclass(frozen=True, slots=True)
class SeriesState:
    """The last value of a variable or a model in InfluxDB; None where there is none.

    Attributes:
        unit: as declared.
        status: OPC UA status code of the last value; None for models.
        recent_times, recent_values: the last points, oldest first, times in ns.
    """

    kind: SeriesKind
    asset: str
    name: str
    unit: str
    value: float | None
    status: int | None
    time_ns: int | None
    age_s: float | None
    recent_times: list[int]
    recent_values: list[float]


@dataclass(frozen=True, slots=True)
class Latency:
    """Source time to queryable in InfluxDB, for the points first seen since the start, in ms.

    It is observed by polling: a point is counted when a poll first sees it, so that up to
    `poll_ms`, the time between polls, is the observation's own. The clocks are the source's and
    this host's; `ahead` counts points whose source time was later than this host's time.
    """

    count: int
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    ahead: int
    poll_ms: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at `time_ns`.

    Attributes:
        hops: in the order of the way; series: variables first, then models, in the site's order.
        watched: how many series are read; declared: how many there are. Of a large plant a part
            is watched, evenly spread over its assets.
        diagnosis: which series have stopped, where and why, of all that are declared; the last one
            that was made, which may be some seconds old; None until the first is ready.
    """

    time_ns: int
    hops: list[Hop]
    series: list[SeriesState]
    watched: int
    declared: int
    latency_values: Latency
    latency_results: Latency
    diagnosis: Diagnosis | None = None
