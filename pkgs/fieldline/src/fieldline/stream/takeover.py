"""Taking a partition over: its state from the changelog, and where the input goes on.

What is found is one of these:

| changelog | group's offset | what is done |
|---|---|---|
| empty | none | a first start: from the beginning of the log, with an empty state |
| empty | there is one | the state is rebuilt from the log, from `lookback` before the offset |
| next offset equal | the same | the state is the changelog's |
| anything else | | refused: a person must say which of the two holds |

The log itself may have lost records: at its beginning, by retention, or at its end, with the disk
or with the topic; it may have grown again since, so that other records are where those were that
were taken. In the first case the work goes on at the beginning, in the second at the first record
that came later than the last one taken; both are reported.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

import structlog

from fieldline.service import EXIT_CONFIGURATION, ServiceError
from fieldline.stream.broker import Broker
from fieldline.stream.changelog import Changelog, ChangelogError, Position, Reader, Restored
from fieldline.stream.processor import Processor, W

# The median time of so many records before the group's offset stands for "then": single records
# may bear any time.
_SAMPLE = 200


@dataclass(slots=True)
class Taken(Generic[W]):
    """A partition's state; rebuilt: records read again for it; lost: records gone unread.

    timestamp_ms: the record's own time of the last one taken, 0 if it is not known.
    """

    processor: Processor[W]
    changelog: Changelog
    next_offset: int
    timestamp_ms: int = 0
    rebuilt: int = 0
    lost: int = 0


class Takeover(Generic[W]):
    """Takes partitions over; they must be claimed.

    Args:
        on_progress: called whenever Kafka has answered.
    """

    def __init__(
        self,
        broker: Broker,
        make: Callable[[int], Processor[W]],
        lookback_ms: int,
        on_progress: Callable[[], None],
        log: structlog.stdlib.BoundLogger,
        clock: Callable[[], int],
    ) -> None:
        self._broker = broker
        self._make = make
        self._lookback_ms = lookback_ms
        self._on_progress = on_progress
        self._log = log
        self._clock = clock

    async def take(self, number: int, committed: int | None) -> Taken[W]:
        """Bring up the state of a partition.

        Args:
            committed: the group's offset.
        Raises:
            ServiceError: changelog and offset do not fit; exit code 78, since no restart helps.
            MovedError: the partition is not assigned any more.
        """
        reader = Reader()
        try:
            async for records in self._broker.changelog(number):
                reader.add(records)
                self._on_progress()
            restored = reader.end()
        except ChangelogError as error:
            raise _unfit(number, committed, error.cause) from error
        found = None if restored.position is None else restored.position.next_offset
        if found is not None and found != committed:
            raise _unfit(number, committed, f"the changelog's next offset is {found}", found)
        processor = self._make(number)
        first, end = await self._broker.ends(number)
        if committed is None:
            return Taken(processor, restored.changelog, first)
        if restored.position is not None:
            self._load(processor, restored)
            self._log.info(
                "state is restored from the changelog",
                partition=number,
                next_offset=committed,
                parts=len(restored.snapshots),
                entries=len(restored.entries),
            )
        taken = Taken(processor, restored.changelog, committed)
        if restored.position is not None:
            taken.timestamp_ms = restored.position.timestamp_ms
        if committed > end or not await self.holds(number, committed, taken.timestamp_ms):
            await self._cut(number, taken, (first, end), restored.position)
        elif committed < first:
            taken.lost, taken.next_offset = first - committed, first
            self._log.error(
                "records lost: retention removed them before they were read; raise the topic's "
                "retention or repair the reader sooner",
                partition=number,
                first_lost=committed,
                records=taken.lost,
            )
        elif restored.position is None:
            taken.rebuilt = await self._rebuild(number, processor, first, committed)
            restored.changelog.save_all(processor.keys())
        return taken

    async def holds(self, number: int, next_offset: int, timestamp_ms: int) -> bool:
        """Whether the log still has the last record taken; True where that can't be told.

        Another record at its place came after the broker was started again, so at another time.

        Args:
            timestamp_ms: the record's own time, 0 if it is not known.
        """
        if not timestamp_ms:
            return True
        before = await self._before(number, next_offset)
        if before is not None:
            return before == timestamp_ms
        _first, end = await self._broker.ends(number)
        return next_offset <= end

    async def _before(self, number: int, offset: int) -> int | None:
        """The own time of the record before an offset; None if the log has it not."""
        if offset > 0:
            async for records in self._broker.read(number, offset - 1, offset):
                return records[0].timestamp
        return None

    def _load(self, processor: Processor[W], restored: Restored) -> None:
        for key, data in restored.snapshots.items():
            if not processor.load(key, data):
                restored.changelog.drop(key)
        for context, changes in restored.entries:
            processor.apply(context, changes)

    async def _cut(
        self, number: int, taken: Taken[W], log: tuple[int, int], position: Position | None
    ) -> None:
        """Go on in a log that has not the last record taken.

        What is there was taken already, if the end was cut off; if the topic was made anew, it was
        not. Their own times tell: what came later than the last record taken is new. Those of the
        same millisecond are taken too, since a value that comes again is known as a repeat.
        """
        committed = taken.next_offset
        taken.next_offset, end = log
        if position is not None:
            later = await self._broker.offset_at(number, position.timestamp_ms)
            taken.next_offset = end if later is None else later
            taken.timestamp_ms = await self._before(number, taken.next_offset) or 0
        self._log.error(
            "the log has not the last record that was taken: its end was lost with a disk, or the "
            "topic was made anew. Going on with what came later than that record",
            partition=number,
            committed=committed,
            end=end,
            next_offset=taken.next_offset,
        )

    async def _rebuild(
        self, number: int, processor: Processor[W], first: int, committed: int
    ) -> int:
        """Take the records before the offset again; gives how many."""
        sample = [
            record.timestamp
            async for records in self._broker.read(
                number, max(first, committed - _SAMPLE), committed
            )
            for record in records
        ]
        then = int(statistics.median(sample)) if sample else self._clock() // 10**6
        start = await self._broker.offset_at(number, max(0, then - self._lookback_ms))
        start = committed if start is None else max(first, min(start, committed))
        self._log.info(
            "state is rebuilt from the log", partition=number, start=start, committed=committed
        )
        count = 0
        now = self._clock()
        async for records in self._broker.read(number, start, committed):
            processor.rebuild(records, now)
            count += len(records)
            self._on_progress()
        return count


def _unfit(
    number: int, committed: int | None, cause: str, found: int | None = None
) -> ServiceError:
    """The refusal, with the two ways on."""
    remedy = (
        f"set the group's offset to {found}, the changelog's "
        f"(kafka-consumer-groups.sh --reset-offsets --to-offset {found} for this partition of the "
        "input; what is given again then has the same times and values); or "
        if found is not None
        else ""
    )
    return ServiceError(
        f"The state of partition {number} does not fit the group's offset, so it is not used. "
        f"With the service stopped on all hosts, {remedy}have the state rebuilt from the log: "
        "delete the changelog's topic (kafka-topics.sh --delete) and start kafka-provision. "
        "docs/recovery.md says more.",
        f"partition {number}: the group's offset is {committed}; {cause}",
        code=EXIT_CONFIGURATION,
    )
