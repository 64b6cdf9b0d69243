"""Why a variable is stale, and when a restart of Telegraf may help: pure rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from fieldline.service.restarter import Pauses
from fieldline.states import StaleHop
from numpy.typing import NDArray

_LEAST_NS = 10_000_000_000
_PERIODS = 3
_SEVERITY, _BAD = 0xC0000000, 0x80000000
_NODE_UNKNOWN = frozenset({0x80340000, 0x80330000})


class Cause(StrEnum):
    """Where a variable's way ends; the values are labels of metrics."""

    KAFKA = "kafka-unreachable"
    SERVER = "server-unreachable"
    NODE = "node-unknown"
    BAD = "bad-status"
    STOPPED = "source-stopped"
    UNCHANGED = "unchanged"
    SUBSCRIPTION = "subscription-dead"
    UNKNOWN = "not-known-yet"


HOPS: dict[Cause, StaleHop] = {
    Cause.KAFKA: "kafka",
    Cause.SERVER: "server",
    Cause.NODE: "server",
    Cause.BAD: "server",
    Cause.STOPPED: "server",
    Cause.UNCHANGED: "server",
    Cause.SUBSCRIPTION: "subscription",
    Cause.UNKNOWN: "subscription",
}
WORDS: dict[Cause, str] = {
    Cause.KAFKA: "Kafka does not answer",
    Cause.SERVER: "the server cannot be reached",
    Cause.NODE: "the server does not know the node",
    Cause.BAD: "the server itself has no good value",
    Cause.STOPPED: "the server has no newer value itself",
    Cause.UNCHANGED: "the value at the server does not change",
    Cause.SUBSCRIPTION: "the server has newer values than Kafka",
    Cause.UNKNOWN: "the server was not asked yet",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the server said of a variable.

    Attributes:
        time_ns: source time, None without one; in whole µs.
        value: to be compared only.
    """

    time_ns: int | None
    status: int
    value: object


def limits_ns(periods_ns: Sequence[int]) -> NDArray[np.int64]:
    """How old the newest value of each variable may be."""
    return np.maximum(np.array(periods_ns, np.int64) * _PERIODS, _LEAST_NS)


def cause_of(kafka_ns: int, now: Seen, before: Seen | None, *, own: bool) -> Cause:
    """Why a variable is stale whose server and Kafka both answer.

    Args:
        kafka_ns: its newest source time in Kafka, -1 if there is none.
        before: what was seen some seconds earlier, at the beginning of the staleness.
        own: one of our servers: it reports each sample as a new value. Others say nothing of a
            value that stays as it is, though its source time may go on.
    """
    if now.status in _NODE_UNKNOWN:
        return Cause.NODE
    newer = now.time_ns is not None and now.time_ns // 1_000 > kafka_ns // 1_000
    if newer and not own and kafka_ns >= 0:
        if before is None:
            return Cause.UNKNOWN
        if (before.value, before.status) == (now.value, now.status):
            return Cause.UNCHANGED
    if newer:
        return Cause.SUBSCRIPTION
    return Cause.BAD if now.status & _SEVERITY == _BAD else Cause.STOPPED


_SHARE = 0.2
_MANY = 100


def is_many(dead: int, variables: int) -> bool:
    """Whether so many dead subscriptions of a server show a dead listener of Telegraf."""
    return dead > 0 and (dead >= _SHARE * variables or dead >= _MANY)


class Restarts:
    """When a restart is worth it: dead for long enough, and not too often.

    A dead listener can't wait; a few variables may be nodes that were removed and added again, and
    can.
    """

    _SOON_NS = 10_000_000_000
    _LATER_NS = 60_000_000_000

    def __init__(self) -> None:
        self._dead_since: int | None = None
        self._many_since: int | None = None
        self._pauses = Pauses()

    def due(self, now_ns: int, *, dead: bool, many: bool) -> bool:
        """Whether to restart now; then it counts as done.

        Args:
            now_ns: elapsed time, never less than before.
            dead: some subscription is dead; many: so many that it can't wait.
        """
        self._dead_since = _since(self._dead_since, now_ns, dead)
        self._many_since = _since(self._many_since, now_ns, many)
        if not self._pauses.over(now_ns, ill=dead):
            return False
        if not (
            _lasts(self._many_since, now_ns, self._SOON_NS)
            or _lasts(self._dead_since, now_ns, self._LATER_NS)
        ):
            return False
        self._pauses.begin(now_ns)
        self._dead_since = self._many_since = None
        return True


def _since(begun: int | None, now_ns: int, holds: bool) -> int | None:
    if not holds:
        return None
    return now_ns if begun is None else begun


def _lasts(begun: int | None, now_ns: int, least: int) -> bool:
    return begun is not None and now_ns - begun >= least
