"""`fieldline verify` and outages: of the collection at the window's begin, and of the record."""

from __future__ import annotations

import numpy as np
import pytest
from fieldline.arguments import iso
from fieldline.verify import run as run_module
from fieldline.verify.catalogue import Catalogue, DeclaredVariable
from fieldline.verify.gaps import Gaps
from fieldline.verify.points import points
from fieldline.verify.report import EXAMPLES, NotProduced, Report

from .test_verify_window import BEGIN, END, SECOND, Plant, definition, kinds

MS = 10**6


@pytest.fixture
def plant() -> Plant:
    made = Plant()
    made.produce()
    return made


def silence(plant: Plant, name: str, since: int, until: int = END) -> None:
    """Neither recorded nor stored in [since, until)."""
    for rows in (plant.recorded, plant.stored):
        for key in [k for k in rows if k[1] == name and since <= k[2] < until]:
            del rows[key]
    plant.given = definition(plant.stored)


def shown(report: Report) -> str:
    return "\n".join(report.lines())


@pytest.mark.parametrize("piece", [500_000, 7])
def test_an_outage_at_the_begin_of_the_window_is_missing(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    """What is stored before the window tells that the variable was being collected."""
    monkeypatch.setattr(run_module, "_PIECE_POINTS", piece)
    times = plant.times("Temperature")
    for time in times[:-10]:
        del plant.stored["Sensors", "Temperature", time]
    plant.given = definition(plant.stored)
    report = plant.verify()
    assert kinds(report) == {"values missing": len(times) - 10}
    assert report.values.before_collection == 0
    assert report.values.missing.examples[0].time_ns == times[0]


def test_each_variable_has_its_own_begin(plant: Plant) -> None:
    """Pressure was collected before, SlowSensor was not."""
    for name in ("Pressure", "SlowSensor"):
        del plant.stored["Sensors", name, plant.times(name)[0]]
    for key in [k for k in plant.stored if k[1] == "SlowSensor" and k[2] < BEGIN]:
        del plant.stored[key]
    plant.given = definition(plant.stored)
    report = plant.verify()
    assert kinds(report) == {"values missing": 1}
    assert report.values.missing.examples[0].name == "Pressure"
    assert report.values.before_collection == 1


def test_a_plant_that_works_has_no_gaps(plant: Plant) -> None:
    report = plant.verify()
    assert report.as_json()["values"]["not_produced"] == {"count": 0, "examples": []}
    assert "not produced" not in shown(report)


@pytest.mark.parametrize("sizes", [(4_000_000, 500_000), (50, 7)])
def test_a_gap_in_the_record_is_shown_and_does_not_fail(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int]
) -> None:
    monkeypatch.setattr(run_module, "_STRETCH_POINTS", sizes[0])
    monkeypatch.setattr(run_module, "_PIECE_POINTS", sizes[1])
    times = plant.times("Temperature")
    silence(plant, "Temperature", times[20], times[30])
    report = plant.verify()
    assert report.ok, report.lines()
    found = report.as_json()["values"]["not_produced"]
    assert abs(found["count"] - 10) <= 1  # The jitter may take or give one.
    (gap,) = found["examples"]
    assert (gap["asset"], gap["variable"]) == ("Sensors", "Temperature")
    assert gap["periods"] == found["count"]
    assert (gap["from"], gap["to"]) == (iso(times[19]), iso(times[30]))
    assert f"{found['count']} not produced" in shown(report)
    assert f"Sensors Temperature {gap['from']} to {gap['to']}" in shown(report)


def test_a_record_that_ends_early_is_shown(plant: Plant) -> None:
    times = plant.times("Temperature")
    silence(plant, "Temperature", times[-20], END + SECOND)
    report = plant.verify()
    assert report.ok
    assert abs(report.values.not_produced.count - 20) <= 1
    assert report.values.not_produced.examples[0]["to"] == iso(END)


def test_a_record_that_begins_late_is_shown(plant: Plant) -> None:
    silence(plant, "Temperature", BEGIN - 3600 * SECOND, plant.times("Temperature")[20])
    assert abs(plant.verify().values.not_produced.count - 20) <= 1


def test_a_variable_without_any_record_is_shown(plant: Plant) -> None:
    silence(plant, "Pressure", BEGIN)
    assert plant.verify().values.not_produced.count == 9  # 10 periods of 2 s; the phase is unknown.


def test_nothing_is_due_before_the_record_begins(plant: Plant) -> None:
    plant.record_begin = BEGIN + 10 * SECOND
    for key in [k for k in plant.recorded if k[2] < plant.record_begin]:
        del plant.recorded[key]
    assert plant.verify().values.not_produced.count == 0


def test_nothing_is_due_yet_that_may_still_come_into_the_record(plant: Plant) -> None:
    plant.now = BEGIN + 10 * SECOND
    for name in ("Temperature", "Pressure", "SlowSensor"):
        silence(plant, name, plant.now - SECOND // 2)
    assert plant.verify().values.not_produced.count == 0


def counted(times: list[int], period_ms: int, until: int, *, own: bool = True) -> NotProduced:
    """The gaps of one variable in a record from time 0 on."""
    variable = DeclaredVariable("Sensors", "Temperature", "ns=2;i=2", "server", own, period_ms)
    gaps = Gaps(Catalogue((variable,), (), {}, {}), np.zeros(1, np.int64))
    series = np.zeros(len(times), np.int64)
    gaps.add(points(series, np.array(times, np.int64), np.zeros(len(times)), None))
    gaps.end(until)
    return gaps.report


@pytest.mark.parametrize(
    ("period", "gap", "missing"),
    [
        (1000, 1500, 0),  # Half a period is the jitter.
        (1000, 1501, 1),
        (1000, 2000, 1),
        (1000, 4100, 3),
        (50, 150, 0),  # Of short periods it is 100 ms.
        (50, 151, 2),
        (50, 200, 3),
    ],
)
def test_what_a_gap_is(period: int, gap: int, missing: int) -> None:
    between = [0, gap * MS, (gap + period) * MS]
    assert counted(between, period, between[-1] + MS).count == missing
    assert counted([0], period, gap * MS).count == missing
    assert counted([gap * MS], period, (gap + 1) * MS).count == missing


def test_a_server_without_a_record_has_no_gaps() -> None:
    assert counted([], 1000, 100 * SECOND, own=False) == NotProduced()


def test_only_the_first_of_many_gaps_are_examples() -> None:
    found = counted([i * 3 * SECOND for i in range(20)], 1000, 58 * SECOND)
    assert found.count == 19 * 2
    assert len(found.examples) == EXAMPLES
    assert found.examples[1] == {
        "asset": "Sensors",
        "variable": "Temperature",
        "from": iso(3 * SECOND),
        "to": iso(6 * SECOND),
        "periods": 2,
    }
