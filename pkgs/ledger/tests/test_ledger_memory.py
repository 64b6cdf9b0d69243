"""The store and the log in memory keep the contracts that the real ones pass."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fieldline.messages.ledger import Refill
from ledger.kafka import Log
from ledger_contract import CATALOGUE, LogContract, StoreContract
from ledger_fakes import HOUR, MemoryLog, MemoryStore


class MemoryStoreWorld:
    """`StoreWorld` in memory."""

    def __init__(self) -> None:
        self.store = MemoryStore(CATALOGUE)
        self.hour = HOUR

    def put(
        self, variable: str, times: Sequence[int], *, good: bool = True, asset: str = "Sensors"
    ) -> None:
        del good  # A store in memory has source times only.
        if asset == "Sensors":
            self.store.put(variable, times)


class MemoryLogWorld:
    """`LogWorld` in memory."""

    def __init__(self) -> None:
        self._log = MemoryLog()
        self._log.ends = {0: 0, 1: 0}

    def log(self) -> Log:
        return self._log

    async def refills(self, count: int) -> Sequence[Refill]:
        assert len(self._log.refills) == count
        return self._log.refills

    async def produce(self, partition: int, count: int) -> None:
        self._log.ends[partition] += count

    async def write(self, partition: int, offset: int) -> None:
        self._log.written[partition] = offset


class TestStore(StoreContract):
    """The contract."""

    @pytest.fixture
    def world(self) -> MemoryStoreWorld:
        return MemoryStoreWorld()


class TestLog(LogContract):
    """The contract."""

    @pytest.fixture
    def topics(self) -> MemoryLogWorld:
        return MemoryLogWorld()
