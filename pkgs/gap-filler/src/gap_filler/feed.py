"""What has come through Kafka of one server: for gap filling, the ledger, and the guard."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gap_filler.arrivals import WINDOW_NS, Arrivals
from gap_filler.metrics import Metrics
from gap_filler.plan import ServerPlan
from gap_filler.tally import Tally
from gap_filler.trail import Step, Trail

# A value that is in Kafka so long after its source time is late (docs/gaps.md).
LATE_NS = 10_000_000_000
# Source times further ahead of the server's own clock are nobody's.
_AHEAD_NS = 600_000_000_000
# After a reconnection each variable may be one; what is more stays as it is.
_MOST_SPOILED = 20_000
# Nothing that a collector of today has was produced before this.
_ANCIENT_NS = 946_684_800_000_000_000


class Feed:
    """Takes the records of one server as they are read from Kafka.

    Attributes:
        newest_ns: of each variable the newest source time that came by itself, -1 if none did.
        arrived_ns: when that came into Kafka; at first, when this service began.
        offset_ns: the server's clock minus ours.
        trail: where the position goes back to when Kafka has lost records.
        counted_ns: windows before it are in the totals, also where they are looked at again.
        rereading: records are given once more, since `arrivals` had no room for them, or has
            forgotten them.
        spoiled: (variable, source time) of values whose window was closed when they came once more
            and were not good, see `Received.spoiled`; whoever looks at them clears it.
    """

    def __init__(self, plan: ServerPlan, position_ns: int, most: int, metrics: Metrics) -> None:
        count = len(plan.variables)
        self.plan = plan
        self.arrivals = Arrivals(count, position_ns, most)
        self.tally = Tally(count)
        # At the beginning the position relies on nothing.
        self.trail = Trail([Step(position_ns, {})])
        self.counted_ns = position_ns
        self.newest_ns = np.full(count, -1, np.int64)
        self.arrived_ns = np.full(count, time.time_ns(), np.int64)
        self.offset_ns = 0
        self.rereading = False
        self.spoiled: set[tuple[int, int]] = set()
        self.last_arrival = time.monotonic()
        self._metrics = metrics

    def take(
        self,
        indices: Sequence[int],
        times: Sequence[int],
        good: Sequence[bool],
        appended_ns: Sequence[int],
        own: Sequence[bool],
        again: Sequence[bool],
    ) -> None:
        """Take records, in the order of the topic; all of length n.

        Args:
            appended_ns: when Kafka took them; own: written by this service; again: were given
                before.
        """
        name = self.plan.name
        self._metrics.records.labels(name).inc(len(indices))
        time_ns = np.array([_clamped(value) for value in times], np.int64)
        now = time.time_ns() + self.offset_ns
        future, ancient = time_ns > now + _AHEAD_NS, time_ns < _ANCIENT_NS
        for reason, which in (("future", future), ("ancient", ancient)):
            if which.any():
                self._metrics.unused.labels(reason).inc(int(which.sum()))
        repeated = np.array(again, np.bool_)
        usable = ~(future | ancient) & (~repeated | self.rereading)
        index = np.array(indices, np.int64)[usable]
        time_ns = time_ns[usable]
        appended = np.array(appended_ns, np.int64)[usable]
        by_itself = ~np.array(own, np.bool_)[usable]
        late = by_itself & (appended + self.offset_ns - time_ns > LATE_NS)
        is_good = np.array(good, np.bool_)[usable]
        closed = self.arrivals.add(index, time_ns, late, is_good)
        first = ~repeated[usable]
        self._metrics.held.labels(name).set(self.arrivals.held)
        straggling = closed & first & by_itself
        if straggling.any():
            self.tally.after(index[straggling], time_ns[straggling], late[straggling].astype(int))
            other = straggling & ~is_good
            if len(self.spoiled) < _MOST_SPOILED:
                self.spoiled.update(
                    zip(index[other].tolist(), time_ns[other].tolist(), strict=True)
                )
        self._noted(index, time_ns, appended, first & by_itself)

    def _noted(
        self,
        index: NDArray[np.int64],
        time_ns: NDArray[np.int64],
        appended: NDArray[np.int64],
        which: NDArray[np.bool_],
    ) -> None:
        """Remember what is newer than anything before."""
        index, time_ns, appended = index[which], time_ns[which], appended[which]
        newer = time_ns > self.newest_ns[index]
        if newer.any():
            np.maximum.at(self.newest_ns, index[newer], time_ns[newer])
            np.maximum.at(self.arrived_ns, index[newer], appended[newer])
            self.last_arrival = time.monotonic()

    def begin(self, position_ns: int) -> None:
        """Begin at a position: before it is nothing to be looked for."""
        self.arrivals.close(position_ns)
        self.trail.steps[:] = [Step(self.arrivals.position_ns, {})]

    def cut(self, partition: int, end: int) -> None:
        """Go back to before a partition's records from the offset `end` on: Kafka has lost them."""
        now = time.time_ns() + self.offset_ns
        position = self.trail.cut(partition, end)
        if position is None:
            position = now - self.plan.fresh_lookback_ns
        # What is older can't be filled any more.
        position = max(position, now - self.plan.lookback_ms * 1_000_000 + WINDOW_NS)
        self.counted_ns = max(self.counted_ns, self.arrivals.position_ns)
        self.arrivals.back(position)
        self.rereading = True
        self._metrics.position.labels(self.plan.name).set(self.arrivals.position_ns / 1e9)

    def newest(self) -> int | None:
        """The newest source time of any variable; None before the first."""
        newest = int(self.newest_ns.max(initial=-1))
        return None if newest < 0 else newest


_LEAST, _MOST = int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max)


def _clamped(value: int) -> int:
    return min(max(value, _LEAST), _MOST)
