"""The loop: consume, step, deliver; and the state's rebuilding when partitions are assigned.

State is per partition and lives in memory only. When a partition is assigned, it is rebuilt from
the log: the loop seeks back from the group's offset to the record time `lookback` before it, and
takes the records from there through the step without giving their results again. All those
results were acknowledged before the offset was committed (see `Broker.deliver`), so nothing is
lost, and what was in flight at a crash is given again, with the same content.

What the lookback cannot bring back is a value that had not changed for longer: its models give no
results until its next value. The lookback covers three of the longest declared periods for this.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from stream_model.broker import Broker, Delivery, MovedError, Record
from stream_model.metrics import Metrics
from stream_model.partition import Partition, Work
from stream_model.plan import Plan
from stream_model.reports import Reports
from stream_model.step import State

# A few hundred are enough for NumPy; more only saves round trips when catching up, and each step
# must stay far below the group's session timeout (5,000 take some 50 ms).
MAX_RECORDS = 5_000
# Poll ends as soon as there is anything; this is how soon a stop is seen.
POLL_S = 0.25
# The median time of so many records before the group's offset stands for "then": single records
# may bear any time.
_SAMPLE = 200


class Loop:
    """Works on whatever partitions the broker assigns, until told to stop.

    Args:
        horizon_ns: how late a value may come.
        lookback_ms: how far back the log is read to rebuild the state.
        on_round: called after each round in which Kafka has answered.
        on_settled: called with the partitions each time that an assignment is worked on.
        clock: the wall clock, ns since 1970.
    """

    def __init__(
        self,
        broker: Broker,
        plan: Plan,
        *,
        topic: str,
        horizon_ns: int,
        lookback_ms: int,
        metrics: Metrics,
        reports: Reports,
        log: structlog.stdlib.BoundLogger,
        on_round: Callable[[], None] = lambda: None,
        on_settled: Callable[[frozenset[int]], None] = lambda _: None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.partitions: dict[int, Partition] = {}
        self._broker = broker
        self._plan = plan
        self._topic = topic
        self._horizon_ns = horizon_ns
        self._lookback_ms = lookback_ms
        self._metrics = metrics
        self._reports = reports
        self._log = log
        self._on_round = on_round
        self._on_settled = on_settled
        self._clock = clock
        self._settled = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until the event is set; what is in flight then is delivered and committed.

        Raises:
            UnavailableError: the session is lost; this loop must not be used again.
            ServiceError: no retry can help.
        """
        while not stop.is_set():
            await self.round()

    async def round(self) -> None:
        """Take over new partitions, if there are any; then one poll and what follows from it."""
        try:
            generation, assignment = self._broker.generation, self._broker.assignment
            if self._settled != generation and assignment is not None:
                await self._settle(generation, assignment)
            poll = await self._broker.poll(POLL_S, MAX_RECORDS)
        except MovedError:
            return
        async with self._broker.busy:
            # Records of an older assignment will come again, to us or to somebody else.
            if poll.records and poll.generation == self._settled == self._broker.generation:
                await self._work(poll.records)
        if poll.reached:
            self._on_round()

    async def _work(self, polled: Mapping[int, Sequence[Record]]) -> None:
        """Step over each partition's records, deliver all of it, then count it."""
        done: dict[int, Work] = {}
        deliveries: dict[int, Delivery] = {}
        now = self._clock()
        for number, records in polled.items():
            begin = time.perf_counter()
            work = done[number] = self.partitions[number].work(records, now)
            if work.delivery is not None:
                deliveries[number] = work.delivery
                self._metrics.step_seconds.observe(time.perf_counter() - begin)
        if deliveries:
            await self._broker.deliver(deliveries)
        for number, work in done.items():
            self._metrics.count(work)
            self._reports.report(number, work, now)
            lag = self._broker.lag(number, self.partitions[number].next_offset)
            self._metrics.lag.labels(str(number)).set(lag)

    async def _settle(self, generation: int, assignment: frozenset[int]) -> None:
        """Bring up the state of each assigned partition and seek to where it goes on.

        Raises:
            MovedError: the assignment has changed meanwhile.
        """
        kept: dict[int, Partition] = {}
        for number in sorted(assignment):
            committed = await self._broker.committed(number)
            partition = self.partitions.get(number)
            if partition is None or committed != partition.next_offset:
                partition = await self._rebuild(number, committed)
            kept[number] = partition
            self._broker.seek(number, partition.next_offset)
            # Kafka has answered; with many partitions the watchdog would not wait for the last.
            self._on_round()
        if self._broker.generation != generation:
            raise MovedError
        for gone in self.partitions.keys() - kept.keys():
            self._metrics.lag.remove(str(gone))
        self.partitions = kept
        self._settled = generation
        self._on_settled(assignment)

    async def _rebuild(self, number: int, committed: int | None) -> Partition:
        """A partition with an empty state, placed where reading must begin to fill it."""
        state = State(self._plan, self._horizon_ns)
        beginning = await self._broker.beginning(number)
        if committed is None:
            return Partition(self._topic, number, state, beginning, beginning)
        if committed < beginning:
            self._metrics.lost.inc(beginning - committed)
            self._log.error(
                "records lost: retention removed them before they were read; raise the topic's "
                "retention or repair the reader sooner",
                partition=number,
                first_lost=committed,
                records=beginning - committed,
            )
            return Partition(self._topic, number, state, beginning, beginning)
        start = await self._replay_start(number, beginning, committed)
        self._log.info(
            "state is rebuilt from the log", partition=number, start=start, committed=committed
        )
        return Partition(self._topic, number, state, start, committed)

    async def _replay_start(self, number: int, beginning: int, committed: int) -> int:
        sample = await self._broker.before(number, committed, _SAMPLE)
        if sample:
            then = int(statistics.median(record.timestamp for record in sample))
        else:
            then = self._clock() // 10**6
        start = await self._broker.offset_at(number, max(0, then - self._lookback_ms))
        return committed if start is None else max(beginning, min(start, committed))
