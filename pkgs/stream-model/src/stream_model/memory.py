"""The broker interface in memory, for tests and measurements: no network, no process.

A `MemoryLog` stands for the cluster, each `MemoryBroker` for one member of its group. It behaves
as Kafka does where the loop could tell the difference; the contract tests hold both to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fieldline.messages import FORMAT_HEADERS

from stream_model.broker import Delivery, MovedError, Poll, UnavailableError


class MemoryRecord(NamedTuple):
    """A record in the log."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(slots=True)
class MemoryLog:
    """Topics, offsets and members of one group.

    down: every request fails, as if the cluster could not be reached.
    first: per partition of the input, the first offset that retention has left.
    """

    partitions: int = 1
    outputs: int = 1
    down: bool = False
    input: list[list[MemoryRecord]] = field(default_factory=list)
    results: list[list[MemoryRecord]] = field(default_factory=list)
    dead_letters: list[list[MemoryRecord]] = field(default_factory=list)
    offsets: dict[int, int] = field(default_factory=dict)
    first: dict[int, int] = field(default_factory=dict)
    members: list[MemoryBroker] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        self.input = [[] for _ in range(self.partitions)]
        self.results = [[] for _ in range(self.outputs)]
        self.dead_letters = [[] for _ in range(self.outputs)]

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
                member.assignment = None
                member.generation += 1
        for number, member in enumerate(self.members):
            async with member.busy:
                member.take(frozenset(range(number, self.partitions, len(self.members))))
        await self.notify()


class MemoryBroker:
    """A member of the group on a `MemoryLog`; see `broker.Broker`."""

    def __init__(self, log: MemoryLog) -> None:
        self.busy = asyncio.Lock()
        self.generation = 0
        self.assignment: frozenset[int] | None = None
        self._log = log
        self._positions: dict[int, int] = {}

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
            first = max(position, self._log.first.get(partition, 0))
            records = log[first : first + max_records]
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
        return Poll(generation, found, True)

    async def committed(self, partition: int) -> int | None:
        """See `Broker.committed`."""
        self._check(partition)
        return self._log.offsets.get(partition)

    async def beginning(self, partition: int) -> int:
        """See `Broker.beginning`."""
        self._check(partition)
        return self._log.first.get(partition, 0)

    async def offset_at(self, partition: int, timestamp_ms: int) -> int | None:
        """See `Broker.offset_at`."""
        self._check(partition)
        first = self._log.first.get(partition, 0)
        for record in self._log.input[partition][first:]:
            if record.timestamp >= timestamp_ms:
                return record.offset
        return None

    async def before(self, partition: int, offset: int, count: int) -> Sequence[MemoryRecord]:
        """See `Broker.before`."""
        first = max(await self.beginning(partition), offset - count)
        return self._log.input[partition][first:offset]

    def seek(self, partition: int, offset: int) -> None:
        """See `Broker.seek`."""
        self._check(partition)
        self._positions[partition] = offset

    def lag(self, partition: int, next_offset: int) -> int:
        """See `Broker.lag`."""
        return len(self._log.input[partition]) - next_offset

    async def deliver(self, deliveries: Mapping[int, Delivery]) -> None:
        """See `Broker.deliver`."""
        self._check()
        for partition, delivery in deliveries.items():
            target = self._log.results[partition % self._log.outputs]
            for key, value in delivery.results:
                target.append(MemoryRecord(len(target), 0, key, value, FORMAT_HEADERS))
            target = self._log.dead_letters[partition % self._log.outputs]
            for letter in delivery.dead_letters:
                target.append(MemoryRecord(len(target), 0, *letter))
        self._check()
        for partition, delivery in deliveries.items():
            self._check(partition)
            self._log.offsets[partition] = delivery.next_offset
        await self._log.notify()
