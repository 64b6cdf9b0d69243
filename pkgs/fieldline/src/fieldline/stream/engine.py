"""The engine: take over partitions, consume, step, and commit all that came of it at once.

State lives in memory, per partition, and in the changelog. When a partition is assigned, the
engine claims it, which fences whoever wrote for it before; only then it reads the group's offset
and the changelog. Whatever fails, the session ends and its state with it: the next one begins with
what is committed.

The first start of a service that had no changelog (or whose changelog was removed on purpose)
rebuilds the state from the log: from `lookback` before the group's offset, without giving the
results again, since all of them were acknowledged before that offset was committed.

Beside the live records, one `Rereading` at a time may go through records that were taken before.
Its steps are committed like the others, with an offset that does not move.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic

import structlog

from fieldline.stream.broker import Broker, MovedError, Record, UnavailableError
from fieldline.stream.changelog import Changelog, Position, output_sum
from fieldline.stream.processor import Processor, Range, Stepped, W
from fieldline.stream.rereading import Pieces, reread
from fieldline.stream.takeover import Takeover

# A few hundred are enough for NumPy; more only takes memory, and each step must stay far below the
# group's session timeout (2,500 take some 20 ms).
MAX_RECORDS = 2_500
# Poll ends as soon as there is anything; this is how soon a stop is seen.
POLL_S = 0.25
# A transaction costs some ms, so a backlog is worked off in large ones: up to so many records or so
# long. Without a backlog each poll is one.
_COMMIT_RECORDS = 10_000
_COMMIT_S = 0.25
# How long the next records of a backlog may be on their way before the transaction is ended.
_BACKLOG_POLL_S = 0.02


class Observer(Generic[W]):
    """Told what the engine does; a service overrides what it wants to know."""

    def on_round(self) -> None:
        """Kafka has answered: the work has moved on."""

    def on_settled(self, partitions: frozenset[int]) -> None:
        """An assignment is worked on."""

    def on_left(self, partition: int) -> None:
        """A partition is somebody else's now."""

    def on_committed(self, partition: int, reports: Sequence[W], lag: int) -> None:
        """The outputs of these steps are visible; lag: records behind the partition's end."""

    def on_rebuilt(self, records: int) -> None:
        """So many records were read again to rebuild a state."""

    def on_lost(self, records: int) -> None:
        """So many records are gone from the log, unread."""


@dataclass(slots=True, eq=False)
class Partition(Generic[W]):
    """One input partition's state and where it stands in the log.

    next_offset: of the next record to take; records below it have been taken and are dropped.
    timestamp_ms: the record's own time of the last one taken.
    reports: of the steps of the open transaction.
    """

    processor: Processor[W]
    changelog: Changelog
    next_offset: int
    timestamp_ms: int
    reports: list[W] = field(default_factory=list)


class Engine(Generic[W]):
    """Works on whatever partitions the broker assigns, until told to stop.

    Args:
        changelog: the changelog's topic.
        make: gives the empty state of a partition.
        lookback_ms: how far back the log is read for a state without a changelog.
        clock: the wall clock, ns since 1970.
        timer: seconds of a clock that is never set.
    """

    def __init__(
        self,
        broker: Broker,
        make: Callable[[int], Processor[W]],
        *,
        changelog: str,
        lookback_ms: int,
        observer: Observer[W],
        log: structlog.stdlib.BoundLogger,
        clock: Callable[[], int] = time.time_ns,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.partitions: dict[int, Partition[W]] = {}
        self._broker = broker
        self._changelog = changelog
        self._observer = observer
        self._clock = clock
        self._timer = timer
        self._takeover = Takeover(broker, make, lookback_ms, observer.on_round, log, clock)
        self._settled = 0
        # Partitions whose log may have lost its end since they were last polled.
        self._doubted: set[int] = set()
        self._taken = 0
        self._since = 0.0
        self._rereading: asyncio.Task[None] | None = None
        broker.before_revocation = self._commit

    async def run(self, stop: asyncio.Event) -> None:
        """Work until the event is set; what is in flight then is committed.

        Raises:
            UnavailableError: the session is lost; this engine must not be used again.
            ServiceError: no retry can help.
        """
        try:
            while not stop.is_set():
                await self.round()
            async with self._broker.busy:
                await self._commit()
        finally:
            await self.close()

    async def close(self) -> None:
        """Give up the rereading under way, if there is one; what it has committed stays."""
        task, self._rereading = self._rereading, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def round(self) -> None:
        """Take over new partitions, if there are any; then one poll and what follows from it."""
        broker = self._broker
        try:
            generation, assignment = broker.generation, broker.assignment
            if self._settled != generation and assignment is not None:
                await self._settle(generation, assignment)
            poll = await broker.poll(self._patience(), MAX_RECORDS)
        except MovedError:
            return
        async with broker.busy:
            # Records of an older assignment will come again, to us or to somebody else.
            if poll.generation == self._settled == broker.generation:
                if poll.renewed:
                    self._doubted = set(self.partitions)
                await self._work(poll.records)
                if self._due(not poll.records):
                    await self._commit()
                    self._reread()
        if poll.reached:
            self._observer.on_round()

    def _patience(self) -> float:
        if not self._taken:
            return POLL_S
        return _BACKLOG_POLL_S

    def _due(self, nothing_came: bool) -> bool:
        """Whether the open transaction is to be ended."""
        if nothing_came or self._taken >= _COMMIT_RECORDS:
            return True
        if time.monotonic() - self._since > _COMMIT_S:
            return True
        lag = self._broker.lag
        return not any(lag(number, p.next_offset) for number, p in self.partitions.items())

    async def _work(self, polled: Mapping[int, Sequence[Record]]) -> None:
        """Step over each partition's records and send what comes of it."""
        now = self._clock()
        for number, found in polled.items():
            partition = self.partitions[number]
            if number in self._doubted:
                await self._prove(number, partition)
            records = found
            if found[0].offset < partition.next_offset:
                # Fetched before a rebalance or a seek, and come again.
                records = [r for r in found if r.offset >= partition.next_offset]
                if not records:
                    continue
            if not self._taken:
                self._since = time.monotonic()
            self._taken += len(records)
            stepped = partition.processor.step(records, now)
            partition.next_offset = records[-1].offset + 1
            partition.timestamp_ms = records[-1].timestamp
            await self._send(number, partition, stepped)

    async def _prove(self, number: int, partition: Partition[W]) -> None:
        """See that records follow what was taken.

        Raises:
            UnavailableError: they do not; taking over finds where it goes on.
        """
        if not await self._takeover.holds(number, partition.next_offset, partition.timestamp_ms):
            raise UnavailableError(
                "The input has lost records that were taken. Joining again, to find where it goes "
                "on.",
                f"partition {number}: another record is before offset {partition.next_offset}",
            )
        self._doubted.discard(number)

    async def _send(self, number: int, partition: Partition[W], stepped: Stepped[W]) -> None:
        """Send what came of a step of either kind."""
        partition.reports.append(stepped.report)
        entry = partition.changelog.add(
            Position(partition.next_offset, partition.timestamp_ms),
            stepped.context,
            stepped.changes,
            partition.processor.snapshot,
            {
                topic: output_sum(*given[-1][:2])
                for topic, given in stepped.outputs.items()
                if given and partition.processor.repeats(topic)
            },
        )
        await self._broker.send(number, {**stepped.outputs, self._changelog: entry})

    def _reread(self) -> None:
        """Begin a rereading if one is due and none is under way.

        Raises:
            UnavailableError: the session was lost in the one that has ended.
            ServiceError: no retry can help.
        """
        if self._rereading is not None:
            if not self._rereading.done():
                return
            self._rereading.result()
            self._rereading = None
        for number, partition in self.partitions.items():
            # Those who are behind have no time for what was before.
            if self._broker.lag(number, partition.next_offset) >= MAX_RECORDS:
                continue
            work = partition.processor.rereading(partition.next_offset, self._timer())
            if work is not None:
                advance = partial(self._advance, number, partition)
                doing = reread(self._broker, number, work, advance)
                self._rereading = asyncio.create_task(doing)
                # The others have their turn next.
                self.partitions[number] = self.partitions.pop(number)
                return

    async def _advance(
        self, number: int, partition: Partition[W], pieces: Pieces[W]
    ) -> Range | None:
        """Have the next piece of a rereading done; gives the range that it is to read.

        Raises:
            MovedError: the partition is not ours any more, or not yet again.
            StopAsyncIteration: all is done.
        """
        async with self._broker.busy:
            if self._settled != self._broker.generation:
                raise MovedError
            try:
                piece = next(pieces)
            except StopIteration:
                raise StopAsyncIteration from None
            if isinstance(piece, Stepped):
                await self._send(number, partition, piece)
                await self._commit()
                return None
            return piece

    async def _commit(self) -> None:
        """End the open transaction, if there is one; `busy` must be held."""
        self._taken = 0
        done = {number: p for number, p in self.partitions.items() if p.reports}
        if not done:
            return
        await self._broker.commit({number: p.next_offset for number, p in done.items()})
        for number, partition in done.items():
            reports, partition.reports = partition.reports, []
            lag = self._broker.lag(number, partition.next_offset)
            self._observer.on_committed(number, reports, lag)

    async def _settle(self, generation: int, assignment: frozenset[int]) -> None:
        """Bring up the state of each assigned partition and seek to where it goes on.

        Raises:
            MovedError: the assignment has changed meanwhile.
        """
        async with self._broker.busy:
            # A revocation waits for this: claimed later, a partition would be taken from its heir.
            if self._broker.generation != generation:
                raise MovedError
            await self.close()
            offsets = await self._broker.claim(sorted(assignment))
        self._taken = 0
        kept: dict[int, Partition[W]] = {}
        for number, committed in offsets.items():
            partition = self.partitions.get(number)
            # Each step of records moves the offset, so the same offset is the same state, unless
            # somebody else may have done meanwhile what is owed.
            if (
                partition is None
                or committed != partition.next_offset
                or partition.processor.owed()
                or not await self._takeover.holds(number, committed, partition.timestamp_ms)
            ):
                taken = await self._takeover.take(number, committed)
                self._observer.on_rebuilt(taken.rebuilt)
                self._observer.on_lost(taken.lost)
                partition = Partition(
                    taken.processor, taken.changelog, taken.next_offset, taken.timestamp_ms
                )
            partition.reports.clear()
            kept[number] = partition
            self._broker.seek(number, partition.next_offset)
            # Kafka has answered; with many partitions the watchdog would not wait for the last.
            self._observer.on_round()
        if self._broker.generation != generation:
            raise MovedError
        for gone in self.partitions.keys() - kept.keys():
            self._observer.on_left(gone)
        self.partitions = kept
        self._settled = generation
        self._observer.on_settled(assignment)
