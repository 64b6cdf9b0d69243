"""What every store and every log must do, those in memory and the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from fieldline.messages.ledger import HOUR_NS, Refill, encode_ledger
from ledger.kafka import Entry, Log
from ledger.store import MINUTE_NS, Store
from ledger_fakes import SECOND, catalogue, history, told

CATALOGUE = catalogue()
TEMPERATURE, PRESSURE, SLOW = (
    CATALOGUE.variable_index["Sensors", name] for name in ("Temperature", "Pressure", "SlowSensor")
)


class StoreWorld(Protocol):
    """A store, and how values get into it; `hour` begins one that a store takes."""

    store: Store
    hour: int

    def put(
        self, variable: str, times: Sequence[int], *, good: bool = True, asset: str = "Sensors"
    ) -> None:
        """Store values; a bad one is its quality alone."""


class StoreContract:
    """Inherit it, with a fixture `world`."""

    def counted(self, world: StoreWorld, hour: int) -> list[int]:
        parts = [world.store.hour(hour, part).tolist() for part in range(world.store.parts)]
        return [sum(of_variable) for of_variable in zip(*parts, strict=True)]

    def test_nothing_is_stored_at_first(self, world: StoreWorld) -> None:
        assert self.counted(world, world.hour) == [0, 0, 0]
        assert world.store.minutes(world.hour, [SLOW]).tolist() == [[0] * 60]

    def test_an_hour_has_its_begin_and_not_its_end(self, world: StoreWorld) -> None:
        hour = world.hour
        world.put("Temperature", [hour - 1, hour, hour + HOUR_NS - 1, hour + HOUR_NS])
        world.put("Pressure", [hour + 5])
        assert self.counted(world, hour)[TEMPERATURE] == 2
        assert self.counted(world, hour)[PRESSURE] == 1
        assert self.counted(world, hour - HOUR_NS)[TEMPERATURE] == 1
        assert self.counted(world, hour + HOUR_NS)[TEMPERATURE] == 1

    def test_a_source_time_counts_once(self, world: StoreWorld) -> None:
        world.put("Temperature", [world.hour + 7, world.hour + 8])
        world.put("Temperature", [world.hour + 8])
        assert self.counted(world, world.hour)[TEMPERATURE] == 2

    def test_bad_values_count_as_well(self, world: StoreWorld) -> None:
        world.put("Temperature", [world.hour + 7])
        world.put("Temperature", [world.hour + 9], good=False)
        assert self.counted(world, world.hour)[TEMPERATURE] == 2

    def test_what_is_not_declared_does_not_count(self, world: StoreWorld) -> None:
        world.put("Temperature", [world.hour + 7], asset="Other")
        assert self.counted(world, world.hour) == [0, 0, 0]

    def test_the_minutes_of_some_variables(self, world: StoreWorld) -> None:
        hour = world.hour
        world.put("Temperature", [hour + i * SECOND for i in range(180)])
        world.put("SlowSensor", [hour + HOUR_NS - 1], good=False)
        world.put("Pressure", [hour - 1, hour + HOUR_NS])
        slow, temperature, pressure = world.store.minutes(
            hour, [SLOW, TEMPERATURE, PRESSURE]
        ).tolist()
        assert temperature == [60, 60, 60] + [0] * 57
        assert slow == [0] * 59 + [1]
        assert pressure == [0] * 60
        assert MINUTE_NS * 60 == HOUR_NS


class LogWorld(Protocol):
    """Topics of their own: a log on them, and what another one sees there."""

    def log(self) -> Log: ...

    async def refills(self, count: int) -> Sequence[Refill]:
        """What was asked for, waiting until there is so much."""

    async def produce(self, partition: int, count: int) -> None:
        """Put records into the topic of values, which has two partitions."""

    async def write(self, partition: int, offset: int) -> None:
        """Commit that Telegraf has stored everything before an offset."""


class LogContract:
    """Inherit it, with a fixture `topics`."""

    async def test_what_is_told_is_read_in_its_order(self, topics: LogWorld) -> None:
        records = [history("Temperature", HOUR_NS, n) for n in range(5)]
        log = topics.log()
        await log.open(0)
        try:
            assert list(await log.read()) == []
            await log.tell(records[:3])
            await log.tell([])
            await log.tell(records[3:])
            found = await read(log, 5)
        finally:
            await log.close()
        assert found == [Entry(encode_ledger(record), False) for record in records]

    async def test_what_was_there_before_is_marked(self, topics: LogWorld) -> None:
        first = topics.log()
        await first.open(0)
        await first.tell([told("Pressure", HOUR_NS, stored=1, settled=0)])
        await first.close()
        second = topics.log()
        await second.open(0)
        try:
            await second.tell([told("Pressure", HOUR_NS, stored=2, settled=0)])
            assert [entry.before for entry in await read(second, 2)] == [True, False]
        finally:
            await second.close()

    async def test_what_is_asked_for_is_in_the_topic(self, topics: LogWorld) -> None:
        wanted = [Refill("Sensors", "Temperature", 5, 9), Refill("Sensors", "Pressure", 1, 2)]
        log = topics.log()
        await log.open(0)
        try:
            await log.ask(wanted)
        finally:
            await log.close()
        assert list(await topics.refills(2)) == wanted

    async def test_the_writer_is_where_it_has_committed(self, topics: LogWorld) -> None:
        await topics.produce(0, 3)
        await topics.produce(1, 2)
        log = topics.log()
        await log.open(0)
        try:
            mark = (await log.position()).ends
            assert mark == {0: 3, 1: 2}
            assert not (await log.position()).written_up_to(mark)
            await topics.write(0, 3)
            assert not (await log.position()).written_up_to(mark)
            await topics.write(1, 2)
            await topics.produce(1, 1)
            position = await log.position()
            assert position.written_up_to(mark)
            assert not position.written_up_to(position.ends)
        finally:
            await log.close()


async def read(log: Log, count: int) -> list[Entry]:
    """Read until there are so many records."""
    found: list[Entry] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += await log.read()
    return found


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask until something holds."""
    async with asyncio.timeout(30):
        while not await condition():
            pass
