"""The store guard: what it asks for, what it tells, and that it never waits for anybody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path

import ledger.guard
import pytest
import structlog
from fieldline.service import ServiceError
from fieldline.states import Restarts
from ledger.deliveries import Place, Waiting, Writes
from ledger.guard import INFLUXDB, TELEGRAF, StoreGuard
from ledger.metrics import Metrics
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

SECOND = 10**9


class World:
    """InfluxDB, Kafka and a clock of a test's own; the real ones are beside the servers' tests."""

    def __init__(self, folder: Path) -> None:
        self.now = 0
        self.answer: Writes | None = Writes(0, 0)
        self.room = True
        self.wait: dict[Place, Waiting] | None = {}
        self.registry = CollectorRegistry()
        self.files = {unit: folder / f"restart-{unit}" for unit in (INFLUXDB, TELEGRAF)}
        self.guard = StoreGuard(
            self,
            self,
            self.files,
            metrics=Metrics(self.registry),
            log=structlog.get_logger(),
            look_s=0.001,
            monotonic_ns=lambda: self.now * SECOND,
        )

    def writes(self) -> Writes | None:
        return self.answer

    def has_room(self) -> bool:
        return self.room

    def waiting(self) -> Mapping[Place, Waiting] | None:
        return self.wait

    async def pass_s(self, seconds: int, *, refused: int = 0) -> None:
        """Let so much time pass, with so many writes refused each second."""
        for _ in range(seconds):
            self.now += 1
            if self.answer is not None:
                self.answer = Writes(self.answer.taken, self.answer.refused + refused)
            await self.guard.look_at_influxdb()
            await self.guard.look_at_writer()

    def asked(self) -> dict[str, str]:
        return {unit: file.read_text() for unit, file in self.files.items() if file.exists()}

    def counted(self, reason: str) -> float | None:
        return self.registry.get_sample_value("fieldline_ledger_restarts_total", {"reason": reason})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_influxdb_that_refuses_after_a_full_disk_is_restarted_when_there_is_room(
    world: World,
) -> None:
    # What waits does not move, but that is not the writer's fault.
    world.wait = {("telegraf-opc", 0): Waiting(5, 1000)}
    world.room = False
    await world.pass_s(30, refused=10)
    assert world.asked() == {}
    world.room = True
    with capture_logs() as events:
        await world.pass_s(2, refused=10)
    assert [event["event"] for event in events] == ["restarting InfluxDB"]
    assert "refused every write for 30 s" in events[0]["cause"]
    assert "its disk has room" in events[0]["cause"]
    assert world.asked().keys() == {INFLUXDB}
    assert events[0]["cause"] in world.asked()[INFLUXDB]
    assert world.counted("influxdb-refuses") == 1
    assert world.counted("writer-stands-still") is None
    told = world.guard.restarts
    assert (told[INFLUXDB].count, told[INFLUXDB].reason) == (1, events[0]["cause"])
    assert told[TELEGRAF] == Restarts(0)


async def test_a_writer_that_takes_nothing_is_restarted(world: World) -> None:
    world.wait = {
        ("telegraf-opc", 0): Waiting(5, 1000),
        ("telegraf-opc", 1): Waiting(6, 200),
        ("telegraf-model", 0): Waiting(7, 30),
    }
    with capture_logs() as events:
        await world.pass_s(27)
    assert [event["event"] for event in events] == ["restarting Telegraf"]
    assert "30 records for telegraf-model, 1200 records for telegraf-opc" in events[0]["cause"]
    assert world.asked().keys() == {TELEGRAF}
    assert world.counted("writer-stands-still") == 1


@pytest.mark.parametrize("gone", ["kafka", "influxdb"])
async def test_nobody_is_restarted_for_a_server_that_is_away(world: World, gone: str) -> None:
    if gone == "kafka":
        world.wait = None
    else:
        world.answer = None
        world.wait = {("telegraf-opc", 0): Waiting(5, 1000)}
    await world.pass_s(300)
    assert world.asked() == {}


async def test_a_file_that_cannot_be_written_is_said_and_ends_nothing(world: World) -> None:
    world.files[INFLUXDB].mkdir()
    with capture_logs() as events:
        await world.pass_s(15, refused=1)
    assert [event["event"] for event in events][-1] == "InfluxDB cannot be restarted"


async def test_it_watches_for_ever(world: World) -> None:
    running = asyncio.ensure_future(world.guard.run())
    world.wait = {("telegraf-opc", 0): Waiting(5, 1000)}
    try:
        async with asyncio.timeout(30):
            while TELEGRAF not in world.asked():
                world.now += 1
                await asyncio.sleep(0.002)
                assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_look_that_hangs_ends_the_service(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger.guard, "_HANGS_S", 0.01)
    end = threading.Event()
    monkeypatch.setattr(world, "waiting", lambda: end.wait(30) and None)
    try:
        with pytest.raises(ServiceError, match="hangs"):
            await world.guard.run()
    finally:
        end.set()
