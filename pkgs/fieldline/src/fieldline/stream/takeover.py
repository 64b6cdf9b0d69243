"""Taking a partition over: its state from the changelog, and where the input goes on.

What is found is one of these:

| changelog | group's offset | what is done |
|---|---|---|
| empty | none | a first start: from the beginning of the log, with an empty state |
| empty, or not whole | there is one | the state is rebuilt from `lookback` before it on |
| next offset equal | the same | the state is the changelog's |
| next offset higher | lower, or none | the group's offset is lost: the state says where to go on |
| next offset lower | higher | the changelog has lost its end: what lies between is taken again |

State, offset and outputs leave in one transaction, so that only a disk, or a hand, parts them. What
is lost of one is made good from the others: whenever something does not fit, and whenever the last
output is not in its topic, the outputs of the last records are given again, with a higher revision.

The log itself may have lost records: at its beginning, by retention, or at its end, with the disk
or with the topic; it may have grown again since, so that other records are where those were that
were taken. In the first case the work goes on at the beginning, in the second at the first record
that came later than the last one taken. All of it is reported.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

import structlog

from fieldline.service import EXIT_CONFIGURATION, ServiceError
from fieldline.stream.broker import Broker, Record
from fieldline.stream.changelog import (
    Changelog,
    ChangelogError,
    Position,
    Reader,
    Restored,
    output_sum,
)
from fieldline.stream.processor import Processor, W

# An output is looked for from so long before its changelog's record: both are written at once.
_ALONGSIDE_MS = 1_000
# The median time of so many records before the group's offset stands for "then": single records
# may bear any time.
_SAMPLE = 200


@dataclass(slots=True)
class Taken(Generic[W]):
    """A partition's state.

    timestamp_ms: the record's own time of the last one taken, 0 if it is not known. start: from
    where on records were taken again; rebuilt: how many; lost: records gone unread.
    """

    processor: Processor[W]
    changelog: Changelog
    next_offset: int
    timestamp_ms: int = 0
    start: int = 0
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
            ServiceError: the changelog is not one of ours; exit code 78, since no restart helps.
            MovedError: the partition is not assigned any more.
        """
        restored = await self._read(number)
        first, end = log = await self._broker.ends(number)
        processor, position = self._make(number), restored.position
        taken = Taken(processor, restored.changelog, first)
        if restored.broken:
            await self._begin_anew(number, taken, log, committed, restored)
        elif position is None:
            if committed is not None:
                await self._without(number, taken, log, Position(committed, 0))
        else:
            self._load(processor, restored)
            taken.next_offset, taken.timestamp_ms = position
            self._log.info(
                "state is restored from the changelog",
                partition=number,
                next_offset=position.next_offset,
                parts=len(restored.snapshots),
                entries=len(restored.entries),
            )
            if self._behind(number, taken, first):
                pass
            elif position.next_offset > end or not await self.holds(number, *position):
                await self._cut(number, taken, log, position)
            elif committed is None or committed < position.next_offset:
                self._log.error(
                    "the group's offset is behind the state: it was lost, or set by hand. Going on "
                    "from the state",
                    partition=number,
                    committed=committed,
                    next_offset=position.next_offset,
                )
            elif committed > position.next_offset:
                await self._catch_up(number, taken, min(committed, end), committed)
            await self._check_outputs(number, taken, restored)
        return taken

    async def _read(self, number: int) -> Restored:
        reader = Reader()
        try:
            async for records in self._broker.changelog(number):
                reader.add(records)
                self._on_progress()
            return reader.end()
        except ChangelogError as error:
            raise _foreign(number, error.cause) from error

    async def _without(
        self, number: int, taken: Taken[W], log: tuple[int, int], position: Position
    ) -> None:
        """Bring up a state of which there is no changelog; the position's time may be 0."""
        first, end = log
        taken.next_offset = position.next_offset
        if position.next_offset > end:
            await self._cut(number, taken, log, position)
        if not self._behind(number, taken, first):
            await self._rebuild(number, taken, first)
            taken.changelog.save_all(taken.processor.keys())

    def _behind(self, number: int, taken: Taken[W], first: int) -> bool:
        """Whether retention has removed what was to be read next; it then goes on after it."""
        if taken.next_offset >= first:
            return False
        taken.lost = first - taken.next_offset
        self._log.error(
            "records lost: retention removed them before they were read; raise the topic's "
            "retention or repair the reader sooner",
            partition=number,
            first_lost=taken.next_offset,
            records=taken.lost,
        )
        taken.next_offset = first
        return True

    async def _begin_anew(
        self,
        number: int,
        taken: Taken[W],
        log: tuple[int, int],
        committed: int | None,
        restored: Restored,
    ) -> None:
        """Bring up a state whose changelog has lost a part of it."""
        position = restored.position or Position(log[1], 0)
        if committed is not None:
            position = position._replace(next_offset=committed)
        self._log.error(
            "the state's changelog is not whole, so it is not used: its disk has lost a part. The "
            "state is rebuilt from the log, and the last outputs are given again",
            partition=number,
            committed=committed,
            next_offset=position.next_offset,
            cause=restored.broken,
        )
        await self._without(number, taken, log, position)
        await self._give_again(number, taken, taken.start)

    async def _catch_up(self, number: int, taken: Taken[W], end: int, committed: int) -> None:
        """Bring a state that has lost its end up to an offset."""
        self._log.error(
            "the state is behind the group's offset: its changelog has lost its end, or the offset "
            "was set by hand. What lies between is taken again, and its outputs are given again",
            partition=number,
            committed=committed,
            next_offset=taken.next_offset,
        )
        taken.start, taken.next_offset = taken.next_offset, end
        await self._replay(number, taken)
        taken.timestamp_ms = await self._before(number, end) or 0
        await self._give_again(number, taken, taken.start)

    async def _check_outputs(self, number: int, taken: Taken[W], restored: Restored) -> None:
        """See that the last outputs are there; have the last ones given again if they are not."""
        for topic, given in restored.outputs.items():

            def is_it(record: Record, wanted: int = given.sum) -> bool:
                return output_sum(record.key, record.value) == wanted

            since = given.written_ms - _ALONGSIDE_MS
            if await self._broker.has_written(number, topic, since, is_it):
                continue
            self._log.error(
                "the last outputs are not in their topic: its disk has lost them, or it was made "
                "anew. Those of the last records are given again",
                partition=number,
                topic=topic,
            )
            # Who is behind takes records of long ago.
            last = min(given.written_ms, given.taken_ms or given.written_ms)
            start = await self._broker.offset_at(number, max(0, last - self._lookback_ms))
            await self._give_again(number, taken, taken.next_offset if start is None else start)
            return

    async def _give_again(self, number: int, taken: Taken[W], start: int) -> None:
        """Have the outputs of the records from an offset on given again."""
        async for records in self._broker.read(number, start, taken.next_offset):
            taken.processor.give_again(records)
            self._on_progress()
        # The revisions that are given by that are in no entry.
        taken.changelog.save_all(taken.processor.keys())

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
        self, number: int, taken: Taken[W], log: tuple[int, int], position: Position
    ) -> None:
        """Go on in a log that has not the last record taken.

        What is there was taken already, if the end was cut off; if the topic was made anew, it was
        not. Their own times tell: what came later than the last record taken is new. Those of the
        same millisecond are taken too, since a value that comes again is known as a repeat.
        """
        committed = taken.next_offset
        taken.next_offset, end = log
        if position.timestamp_ms:
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

    async def _rebuild(self, number: int, taken: Taken[W], first: int) -> None:
        """Take the records of the lookback before the next offset again."""
        end = taken.next_offset
        sample = [
            record.timestamp
            async for records in self._broker.read(number, max(first, end - _SAMPLE), end)
            for record in records
        ]
        then = int(statistics.median(sample)) if sample else self._clock() // 10**6
        start = await self._broker.offset_at(number, max(0, then - self._lookback_ms))
        taken.start = end if start is None else max(first, min(start, end))
        self._log.info(
            "state is rebuilt from the log", partition=number, start=taken.start, committed=end
        )
        await self._replay(number, taken)

    async def _replay(self, number: int, taken: Taken[W]) -> None:
        """Take the records from `start` on again, up to the next offset."""
        now = self._clock()
        async for records in self._broker.read(number, taken.start, taken.next_offset):
            taken.processor.rebuild(records, now)
            taken.rebuilt += len(records)
            self._on_progress()


def _foreign(number: int, cause: str) -> ServiceError:
    """The refusal of a changelog that no service of this version has written."""
    return ServiceError(
        f"The changelog of partition {number} is not one of this version's, so it is not used. "
        "Start the version that wrote it; or, with the service stopped on all hosts, have the "
        "state rebuilt from the log: delete the changelog's topic (kafka-topics.sh --delete) and "
        "start kafka-provision. docs/recovery.md says more.",
        f"partition {number}: {cause}",
        code=EXIT_CONFIGURATION,
    )
