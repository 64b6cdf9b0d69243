"""The broker interface in memory, for tests and measurements: no network, no process.

A `MemoryLog` stands for the cluster, each `MemoryBroker` for one member of its group. It behaves
as Kafka does where the engine could tell the difference, transactions, fencing and compaction
included; the contract tests hold both to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from fieldline.stream.broker import MovedError, Output, Poll, Topics, UnavailableError

# What one read gives at a time; small, so that tests see more than one.
_CHUNK = 100


class Outcome(Enum):
    """What became of a transaction."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


class MemoryTransaction:
    """One transaction of one writer."""

    def __init__(self) -> None:
        self.outcome = Outcome.OPEN


class MemoryRecord(NamedTuple):
    """A record in the log; transaction: the one it was written in, None for none."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    transaction: MemoryTransaction | None = None


@dataclass(slots=True)
class MemoryLog:
    """Topics, offsets and members of one group.

    partitions, outputs: of the input (and the changelog), and of each other topic.
    down: every request fails, as if the cluster could not be reached.
    first: per partition of the input, the first offset that retention has left.
    writers: per input partition, the number of claims there were.
    """

    topics: Topics
    partitions: int = 1
    outputs: int = 1
    down: bool = False
    records: dict[str, list[list[MemoryRecord]]] = field(default_factory=dict)
    offsets: dict[int, int] = field(default_factory=dict)
    first: dict[int, int] = field(default_factory=dict)
    writers: dict[int, int] = field(default_factory=dict)
    open: dict[int, MemoryTransaction] = field(default_factory=dict)
    members: list[MemoryBroker] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        for name in self.topics.all:
            whole = name in (self.topics.input, self.topics.changelog)
            count = self.partitions if whole else self.outputs
            self.records[name] = [[] for _ in range(count)]

    @property
    def input(self) -> list[list[MemoryRecord]]:
        """The input's partitions."""
        return self.records[self.topics.input]

    def committed(self, topic: str) -> list[list[MemoryRecord]]:
        """What a reader of committed records has: nothing aborted, nothing behind an open one."""
        return [_committed(partition) for partition in self.records[topic]]

    async def produce(
        self, partition: int, value: bytes | None, key: bytes | None = None, timestamp_ms: int = 0
    ) -> None:
        """Append a record to the input."""
        log = self.input[partition]
        log.append(MemoryRecord(len(log), timestamp_ms, key, value))
        await self.notify()

    async def notify(self) -> None:
        """Wake whoever polls."""
        async with self.changed:
            self.changed.notify_all()

    async def rebalance(self) -> None:
        """Share the partitions among the members anew."""
        for member in self.members:
            async with member.busy:
                try:
                    await member.before_revocation()
                except Exception as error:  # as the real one: whoever polls next is told
                    member.failure = error
                member.assignment = None
                member.generation += 1
        for number, member in enumerate(self.members):
            async with member.busy:
                member.take(frozenset(range(number, self.partitions, len(self.members))))
        await self.notify()

    async def expire(self, member: MemoryBroker) -> None:
        """Give a member's partitions to the others without its knowledge: it hung, or died."""
        if member in self.members:
            self.members.remove(member)
            await self.rebalance()

    def cut(self, partition: int, end: int) -> None:
        """Start again without the input's records from this offset on, which a disk has lost."""
        del self.input[partition][end:]
        for member in self.members:
            member.renewed = True

    def compact(self) -> None:
        """Remove from the changelog what a later committed record of the same key replaces."""
        for number, partition in enumerate(self.records[self.topics.changelog]):
            last = {record.key: record.offset for record in _committed(partition)}
            self.records[self.topics.changelog][number] = [
                record
                for record in partition
                if record.offset >= last.get(record.key, 0) or _is_open(record)
            ]


def _is_open(record: MemoryRecord) -> bool:
    return record.transaction is not None and record.transaction.outcome is Outcome.OPEN


def _committed(partition: Sequence[MemoryRecord]) -> list[MemoryRecord]:
    found = []
    for record in partition:
        if _is_open(record):
            break
        if record.transaction is None or record.transaction.outcome is Outcome.COMMITTED:
            found.append(record)
    return found


async def _nothing() -> None:
    """Before there is an engine there is nothing to commit."""


class MemoryBroker:
    """A member of the group on a `MemoryLog`; see `broker.Broker`."""

    def __init__(self, log: MemoryLog) -> None:
        self.busy = asyncio.Lock()
        self.generation = 0
        self.assignment: frozenset[int] | None = None
        self.before_revocation: Callable[[], Awaitable[None]] = _nothing
        self.failure: Exception | None = None
        # Whether the log was started again since the last poll.
        self.renewed = False
        self._log = log
        self._positions: dict[int, int] = {}
        self._claims: dict[int, int] = {}

    def take(self, partitions: frozenset[int]) -> None:
        """Be assigned these partitions."""
        self.assignment = partitions
        self.generation += 1
        first = self._log.first
        self._positions = {p: self._log.offsets.get(p, first.get(p, 0)) for p in partitions}

    def _check(self, partition: int | None = None) -> None:
        if self._log.down:
            raise UnavailableError("The log in memory is down.")
        if partition is not None and partition not in (self.assignment or ()):
            raise MovedError

    def _check_claim(self, partition: int) -> None:
        self._check()
        if partition not in self._claims:
            raise MovedError
        if self._claims[partition] != self._log.writers[partition]:
            raise UnavailableError("Another member has taken our partitions over.")

    async def open(self) -> None:
        """See `Broker.open`."""
        self._check()
        self._log.members.append(self)
        await self._log.rebalance()

    async def close(self) -> None:
        """See `Broker.close`."""
        if self in self._log.members:
            self._log.members.remove(self)
            self.assignment = None
            await self._log.rebalance()

    def _next(self, max_records: int) -> dict[int, Sequence[MemoryRecord]]:
        found: dict[int, Sequence[MemoryRecord]] = {}
        for partition, position in self._positions.items():
            log = self._log.input[partition]
            if position > len(log) or position < self._log.first.get(partition, 0):
                raise UnavailableError("The log has lost records that were to be read next.")
            records = log[position : position + max_records]
            if records:
                found[partition] = records
                max_records -= len(records)
                self._positions[partition] = records[-1].offset + 1
            if max_records <= 0:
                break
        return found

    async def poll(self, timeout_s: float, max_records: int) -> Poll:
        """See `Broker.poll`."""
        self._check()
        if self.failure is not None:
            raise self.failure
        generation = self.generation
        found = self._next(max_records)
        if not found:
            try:
                async with asyncio.timeout(timeout_s), self._log.changed:
                    await self._log.changed.wait()
            except TimeoutError:
                pass
            self._check()
            found = self._next(max_records)
        renewed, self.renewed = self.renewed, False
        return Poll(generation, found, True, renewed)

    async def claim(self, partitions: Sequence[int]) -> Mapping[int, int | None]:
        """See `Broker.claim`."""
        log = self._log
        self._claims.clear()
        for partition in partitions:
            self._check(partition)
            log.writers[partition] = self._claims[partition] = log.writers.get(partition, 0) + 1
            left_open = log.open.pop(partition, None)
            if left_open is not None:
                left_open.outcome = Outcome.ABORTED
        await log.notify()
        return {partition: log.offsets.get(partition) for partition in partitions}

    async def changelog(self, partition: int) -> AsyncIterator[Sequence[MemoryRecord]]:
        """See `Broker.changelog`."""
        self._check()
        records = _committed(self._log.records[self._log.topics.changelog][partition])
        for start in range(0, len(records), _CHUNK):
            yield records[start : start + _CHUNK]

    async def has_written(
        self,
        partition: int,
        topic: str,
        since_ms: int,
        wanted: Callable[[MemoryRecord], bool],
    ) -> bool:
        """See `Broker.has_written`."""
        self._check()
        del since_ms
        if topic not in self._log.topics.outputs:
            return True
        partitions = self._log.records[topic]
        return any(map(wanted, _committed(partitions[partition % len(partitions)])))

    async def ends(self, partition: int) -> tuple[int, int]:
        """See `Broker.ends`."""
        self._check(partition)
        return self._log.first.get(partition, 0), len(self._log.input[partition])

    async def offset_at(self, partition: int, timestamp_ms: int) -> int | None:
        """See `Broker.offset_at`."""
        self._check(partition)
        first = self._log.first.get(partition, 0)
        for record in self._log.input[partition][first:]:
            if record.timestamp >= timestamp_ms:
                return record.offset
        return None

    async def read(
        self, partition: int, start: int, end: int
    ) -> AsyncGenerator[Sequence[MemoryRecord], None]:
        """See `Broker.read`."""
        for place in range(start, end, _CHUNK):
            self._check()
            if place < self._log.first.get(partition, 0):
                return
            if records := self._log.input[partition][place : min(end, place + _CHUNK)]:
                yield records

    def seek(self, partition: int, offset: int) -> None:
        """See `Broker.seek`."""
        self._check(partition)
        self._positions[partition] = offset

    def lag(self, partition: int, next_offset: int) -> int:
        """See `Broker.lag`."""
        return max(0, len(self._log.input[partition]) - next_offset)

    async def send(self, partition: int, outputs: Mapping[str, Sequence[Output]]) -> None:
        """See `Broker.send`."""
        self._check_claim(partition)
        log = self._log
        transaction = log.open.setdefault(partition, MemoryTransaction())
        for topic, records in outputs.items():
            partitions = log.records[topic]
            target = partitions[partition % len(partitions)]
            offset = target[-1].offset + 1 if target else 0
            target += [
                MemoryRecord(offset + place, 0, *record, transaction)
                for place, record in enumerate(records)
            ]

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """See `Broker.commit`."""
        log = self._log
        for partition, offset in offsets.items():
            self._check_claim(partition)
            log.offsets[partition] = offset
            transaction = log.open.pop(partition, None)
            if transaction is not None:
                transaction.outcome = Outcome.COMMITTED
        await log.notify()
