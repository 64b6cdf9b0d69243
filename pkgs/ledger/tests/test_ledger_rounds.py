"""Rounds on a store and a Kafka in memory: count, compare, tell, ask again."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import structlog
from fieldline.influx import InfluxUnreachableError
from fieldline.messages.ledger import HOUR_NS, Refill
from ledger.book import Book
from ledger.metrics import Metrics
from ledger.refills import PAUSES, Refills
from ledger.rounds import Rounds
from ledger_fakes import HOUR, SECOND, MemoryLog, MemoryStore, catalogue, history, latest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

CATALOGUE = catalogue()
MINUTE = 60 * SECOND
BEFORE = HOUR - HOUR_NS


@dataclass
class Plant:
    """A ledger on everything in memory; times move by hand."""

    now: int = HOUR + 30 * MINUTE
    at: float = 0.0
    log: MemoryLog = field(default_factory=MemoryLog)
    store: MemoryStore = field(default_factory=lambda: MemoryStore(CATALOGUE))
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    refills: Refills = field(default_factory=Refills)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.registry, clock=lambda: self.now)
        self.rounds = Rounds(
            Book(CATALOGUE, 24 * HOUR_NS),
            self.log,
            self.store,
            refills=self.refills,
            metrics=self.metrics,
            logger=structlog.get_logger(),
            beat=lambda: None,
            clock=lambda: self.now,
            monotonic=lambda: self.at,
        )

    def produce(self, variable: str, begin: int, count: int, step: int = SECOND) -> list[int]:
        """Values that are in Kafka and in InfluxDB."""
        times = [begin + i * step for i in range(count)]
        self.store.put(variable, times)
        self.log.ends[0] += count
        self.log.written[0] = self.log.ends[0]
        return times

    async def round(self, times: int = 1) -> None:
        for _ in range(times):
            self.rounds.take(await self.log.read())
            async for _ in self.rounds.round():
                pass
            self.at += 10

    def told(self, variable: str, hour: int) -> dict[str, int]:
        return latest(self.log.ours()).get((variable, hour), {})

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"fieldline_ledger_{name}", labels)


@pytest.fixture
async def plant() -> Plant:
    made = Plant()
    await made.log.open(0)
    return made


async def whole_hour(plant: Plant) -> None:
    """The hour before is over, and all of it is stored."""
    plant.produce("Temperature", BEFORE, 3600)
    plant.produce("Pressure", BEFORE, 360, 10 * SECOND)
    plant.log.put(
        history("Temperature", BEFORE, 3600),
        history("Pressure", BEFORE, 360),
        history("Temperature", HOUR, 0),
    )
    await plant.round(3)


async def test_a_stored_hour_settles_once_both_sides_are_known(plant: Plant) -> None:
    plant.produce("Temperature", BEFORE, 3600)
    plant.log.put(history("Temperature", BEFORE, 3600))
    await plant.round(3)
    assert plant.told("Temperature", BEFORE) == {"stored": 3600, "settled": 0, "lacking": 0}
    plant.log.put(history("Temperature", HOUR, 0))
    await plant.round(2)
    assert plant.told("Temperature", BEFORE) == {"stored": 3600, "settled": 1, "lacking": 0}
    assert plant.told("SlowSensor", BEFORE) == {"stored": 0, "settled": 1, "lacking": 0}
    assert plant.told("Temperature", HOUR) == {"stored": 0, "settled": 0, "lacking": 0}
    assert plant.log.refills == []


async def test_nothing_new_is_told_once(plant: Plant) -> None:
    await whole_hour(plant)
    rows = len(plant.log.rows)
    await plant.round(5)
    assert len(plant.log.rows) == rows


async def test_what_telegraf_has_not_written_yet_is_not_lacking(plant: Plant) -> None:
    await whole_hour(plant)
    plant.log.ends[0] += 60
    plant.log.put(history("Temperature", HOUR, 60))
    await plant.round(4)
    assert plant.metric("writer_behind") == 1
    assert plant.log.refills == []
    plant.log.written = dict(plant.log.ends)
    await plant.round(2)
    assert plant.metric("writer_behind") == 0
    # Now it must be there, and is not.
    assert plant.log.refills == [Refill("Sensors", "Temperature", HOUR, plant.now)]


async def test_a_lost_piece_is_asked_for_and_comes_back(plant: Plant) -> None:
    await whole_hour(plant)
    lost = (BEFORE + 20 * MINUTE, BEFORE + 22 * MINUTE)
    plant.store.drop("Temperature", *lost)
    with capture_logs() as events:
        # All hours have their turn, whether anything was told or not.
        await plant.round(2)
    assert plant.told("Temperature", BEFORE) == {"stored": 3480, "settled": 1, "lacking": 120}
    assert plant.log.refills == [Refill("Sensors", "Temperature", *lost)]
    assert [e["lacking"] for e in events if "asked for again" in e["event"]] == [120]
    assert plant.metric("lacking", server="opc") == 120
    await plant.round(3)
    assert len(plant.log.refills) == 1
    plant.store.put("Temperature", [lost[0] + i * SECOND for i in range(120)])
    with capture_logs() as events:
        await plant.round(2)
    assert plant.told("Temperature", BEFORE) == {"stored": 3600, "settled": 1, "lacking": 0}
    assert [e["values"] for e in events if "stored again" in e["event"]] == [120]
    assert plant.metric("lacking", server="opc") == 0
    assert plant.metric("recovered_values_total") == 120


async def test_what_does_not_come_is_asked_for_by_the_hour_and_then_given_up(plant: Plant) -> None:
    await whole_hour(plant)
    plant.store.drop("Temperature", BEFORE, BEFORE + MINUTE)
    with capture_logs() as events:
        await plant.round(2)
        for pause in PAUSES:
            plant.at += pause
            await plant.round(2)
        await plant.round(2)
    asked = [(r.since - BEFORE, r.until - BEFORE) for r in plant.log.refills]
    assert asked == [(0, MINUTE), (0, HOUR_NS), (0, HOUR_NS)]
    lost = [e for e in events if e["log_level"] == "error"]
    assert [(e["lacking"], e["variable"]) for e in lost] == [(60, "Temperature")]
    assert plant.metric("given_up") == 1
    # It stays visible.
    assert plant.told("Temperature", BEFORE) == {"stored": 3540, "settled": 1, "lacking": 60}
    assert plant.metric("complete_age_seconds", server="opc") is None


async def test_one_request_larger_than_the_bound_waits_until_it_is_alone() -> None:
    plant = Plant(refills=Refills(most_values=1000))
    await plant.log.open(0)
    await whole_hour(plant)
    plant.store.drop("Pressure", BEFORE, HOUR)
    plant.store.drop("Temperature", BEFORE, HOUR)
    await plant.round(2)
    assert [r.variable for r in plant.log.refills] == ["Temperature"]
    plant.store.put("Temperature", [BEFORE + i * SECOND for i in range(3600)])
    await plant.round(3)
    assert [r.variable for r in plant.log.refills] == ["Temperature", "Pressure"]


async def test_an_hour_with_nothing_missing_is_the_last_complete_one(plant: Plant) -> None:
    assert plant.metric("complete_age_seconds", server="opc") is None
    await whole_hour(plant)
    assert plant.metric("complete_age_seconds", server="opc") == 30 * 60
    plant.now += 5 * MINUTE
    assert plant.metric("complete_age_seconds", server="opc") == 35 * 60
    assert plant.metric("produced", server="opc") == 3960
    assert plant.metric("stored", server="opc") == 3960


@pytest.mark.parametrize(("seconds", "hours"), [(30, [BEFORE, HOUR]), (61, [HOUR])])
async def test_the_hour_that_just_ended_goes_on_for_a_minute(
    plant: Plant, seconds: int, hours: list[int]
) -> None:
    """A value of its last second may be stored a little later."""
    plant.now = HOUR + seconds * SECOND
    await plant.round()
    assert list(dict.fromkeys(plant.store.counted)) == hours


async def test_older_hours_are_counted_in_turn(plant: Plant) -> None:
    for n in range(1, 6):
        plant.produce("Temperature", HOUR - n * HOUR_NS, 10)
        plant.log.put(history("Temperature", HOUR - n * HOUR_NS, 10))
    await plant.round(12)
    plant.store.counted.clear()
    await plant.round(5)
    assert set(plant.store.counted) == {HOUR - n * HOUR_NS for n in range(6)}


async def test_a_restart_tells_nothing_again(plant: Plant) -> None:
    await whole_hour(plant)
    rows = len(plant.log.rows)
    anew = Plant(log=plant.log, store=plant.store)
    await anew.log.open(0)
    await anew.round(6)
    assert len(anew.log.rows) == rows
    # Nor does it lose what it knew.
    anew.store.drop("Temperature", BEFORE, BEFORE + MINUTE)
    await anew.round(2)
    assert len(anew.log.refills) == 1


async def test_what_cannot_be_read_is_counted(plant: Plant) -> None:
    plant.log.rows += [b"", b"{}", b"\xff"]
    plant.log.put(history("Nothing", HOUR, 1), history("Temperature", HOUR, 1))
    await plant.round()
    assert plant.metric("records_total", kind="unreadable") == 3
    assert plant.metric("records_total", kind="unknown-variable") == 1
    assert plant.metric("records_total", kind="taken") == 1


async def test_influxdb_away_changes_nothing_that_is_known(plant: Plant) -> None:
    await whole_hour(plant)
    rows = len(plant.log.rows)
    plant.store.failure = InfluxUnreachableError("http://127.0.0.1:1", "refused")
    with pytest.raises(InfluxUnreachableError):
        await plant.round()
    plant.store.failure = None
    await plant.round(3)
    assert len(plant.log.rows) == rows
    assert plant.log.refills == []


async def test_open_hours_are_told_a_part_at_a_time(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.rounds._MOST_OPEN", 1)
    for variable in ("Temperature", "Pressure", "SlowSensor"):
        plant.produce(variable, HOUR, 7)
    for told in (1, 2, 3, 3):
        await plant.round()
        assert len(plant.log.ours()) == told
    assert {r.fields["stored"] for r in plant.log.ours()} == {7}
