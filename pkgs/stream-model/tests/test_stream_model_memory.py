"""The broker in memory keeps the contract."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from stream_model.broker import Broker, UnavailableError
from stream_model.memory import MemoryBroker, MemoryLog, MemoryRecord
from stream_model_contract import PARTITIONS, Contract, Read


class MemoryCluster:
    """A `MemoryLog` as the contract sees it."""

    def __init__(self) -> None:
        self.log = MemoryLog(PARTITIONS, outputs=2)

    async def produce(
        self, partition: int, value: bytes | None, key: bytes | None = None, timestamp_ms: int = 0
    ) -> None:
        await self.log.produce(partition, value, key, timestamp_ms)

    def member(self) -> Broker:
        return MemoryBroker(self.log)

    async def _read(self, topic: list[list[MemoryRecord]], count: int) -> Sequence[Read]:
        async with asyncio.timeout(10), self.log.changed:
            await self.log.changed.wait_for(lambda: sum(map(len, topic)) >= count)
        return [
            Read(number, record.key, record.value, list(record.headers))
            for number, records in enumerate(topic)
            for record in records
        ]

    async def results(self, count: int) -> Sequence[Read]:
        return await self._read(self.log.results, count)

    async def dead_letters(self, count: int) -> Sequence[Read]:
        return await self._read(self.log.dead_letters, count)


class TestMemory(Contract):
    @pytest.fixture
    def cluster(self) -> MemoryCluster:
        return MemoryCluster()

    async def test_a_log_that_is_down_is_unavailable(self, cluster: MemoryCluster) -> None:
        broker = MemoryBroker(cluster.log)
        cluster.log.down = True
        with pytest.raises(UnavailableError):
            await broker.open()
