"""The broker in memory keeps the contract."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from fieldline.stream import Broker, Topics, UnavailableError
from fieldline.stream.memory import MemoryBroker, MemoryLog
from stream_contract import PARTITIONS, Contract, Read

TOPICS = Topics("group", "in", "state", ("out", "in.dead-letter"))


class MemoryCluster:
    """A `MemoryLog` as the contract sees it."""

    def __init__(self) -> None:
        self.topics = TOPICS
        self.log = MemoryLog(TOPICS, PARTITIONS, outputs=2)

    async def produce(
        self, partition: int, value: bytes | None, key: bytes | None = None, timestamp_ms: int = 0
    ) -> None:
        await self.log.produce(partition, value, key, timestamp_ms)

    def member(self) -> Broker:
        return MemoryBroker(self.log)

    async def committed(self, topic: str, count: int) -> Sequence[Read]:
        log = self.log
        async with asyncio.timeout(10), log.changed:
            await log.changed.wait_for(lambda: sum(map(len, log.committed(topic))) >= count)
        return [
            Read(number, record.key, record.value, list(record.headers))
            for number, records in enumerate(log.committed(topic))
            for record in records
        ]

    async def forget(self, partition: int, first: int) -> None:
        self.log.first[partition] = first

    async def steal(self, partition: int) -> None:
        thief = MemoryBroker(self.log)
        thief.take(frozenset([partition]))
        await thief.claim([partition])


class TestMemory(Contract):
    @pytest.fixture
    def cluster(self) -> MemoryCluster:
        return MemoryCluster()

    async def test_a_log_that_is_down_is_unavailable(self, cluster: MemoryCluster) -> None:
        broker = MemoryBroker(cluster.log)
        cluster.log.down = True
        with pytest.raises(UnavailableError):
            await broker.open()
