"""`fieldline verify` over a plant in memory: what is right passes, each fault is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from fieldline.influx.layout import UNKNOWN_STATUS
from fieldline.site import check_text
from fieldline.verify import run as run_module
from fieldline.verify.catalogue import Catalogue, catalogue_of
from fieldline.verify.points import Points, points
from fieldline.verify.records import Recorded
from fieldline.verify.report import EXAMPLES, Report
from fieldline.verify.run import Verification, Window
from fieldline.verify.store import Stored, Unknown

SITE = check_text((Path(__file__).parents[3] / "site.toml").read_bytes(), "site.toml")
SECOND = 10**9
BEGIN = 1_800_000_000 * SECOND
END = BEGIN + 20 * SECOND
UNCERTAIN, BAD = 0x408F0000, 0x80050000

Row = tuple[float, int]
"""A value and its status."""


@dataclass
class Plant:
    """A record, a store of values and one of results, each by (asset, name, time)."""

    catalogue: Catalogue = field(default_factory=lambda: catalogue_of(SITE))
    recorded: dict[tuple[str, str, int], Row] = field(default_factory=dict)
    stored: dict[tuple[str, str, int], Row] = field(default_factory=dict)
    given: dict[tuple[str, str, int], float] = field(default_factory=dict)
    unknown: list[Unknown] = field(default_factory=list)
    record_begin: int = 0
    now: int = END + 100 * SECOND
    at_sleep: Callable[[Plant], None] = lambda _plant: None
    slept: int = 0

    def produce(self) -> None:
        """What a plant that works has, from 10 s before the window on."""
        random = np.random.default_rng(7)
        for name, variable in SITE.types["sensors"].variables.items():
            period = variable.period_ms * 10**6
            for time in range(BEGIN - 10 * SECOND, END + SECOND, period):
                # As from a real clock: not two variables at one time, and not at full milliseconds.
                at = time + int(random.integers(0, period // 2))
                self.recorded["Sensors", name, at] = (float(random.normal(20, 5)), 0)
        self.stored = dict(self.recorded)
        self.given = definition(self.stored)

    def values(self, since: int, until: int) -> Stored:
        return Stored(self._columns(self.stored, since, until), self.unknown)

    def results(self, since: int, until: int) -> Stored:
        rows = [(k, v) for k, v in self.given.items() if since <= k[2] < until]
        index = np.array([self.catalogue.model_index[k[:2]] for k, _ in rows], np.int64)
        time = np.array([k[2] for k, _ in rows], np.int64)
        return Stored(points(index, time, np.array([v for _, v in rows], float), None), [])

    def latest_before(self, until: int) -> np.ndarray:
        latest = np.full(len(self.catalogue.variables), np.nan)
        for (asset, name, time), (value, status) in sorted(self.stored.items()):
            if time < until and status < BAD:
                latest[self.catalogue.variable_index[asset, name]] = value
        return latest

    def newest(self, since: int, until: int) -> tuple[np.ndarray, np.ndarray]:
        values = np.zeros(len(self.catalogue.variables), np.int64)
        results = np.zeros(len(self.catalogue.models), np.int64)
        for asset, name, time in self.stored:
            if since <= time < until:
                index = self.catalogue.variable_index[asset, name]
                values[index] = max(values[index], time)
        for asset, name, time in self.given:
            if since <= time < until:
                index = self.catalogue.model_index[asset, name]
                results[index] = max(results[index], time)
        return values, results

    def begin(self) -> np.ndarray:
        return np.full(len(self.catalogue.variables), self.record_begin, np.int64)

    def sleep(self, seconds: float) -> None:
        self.slept += 1
        self.now += round(seconds * SECOND)
        self.at_sleep(self)

    def verify(self, deadline: int = 0) -> Report:
        record = Record(self)
        verification = Verification(
            self.catalogue, self, record, now=lambda: self.now, sleep=self.sleep
        )
        return verification.run(Window(BEGIN, END, deadline), lambda _text: None)

    def times(self, name: str) -> list[int]:
        """The source times of a variable in the window."""
        return sorted(t for _a, n, t in self.recorded if n == name and BEGIN <= t < END)

    def _columns(self, rows: dict[tuple[str, str, int], Row], since: int, until: int) -> Points:
        inside = [(k, v) for k, v in rows.items() if since <= k[2] < until]
        return Points(
            np.array([self.catalogue.variable_index[k[:2]] for k, _ in inside], np.int64),
            np.array([k[2] for k, _ in inside], np.int64),
            np.array([v[0] for _, v in inside], np.float64),
            np.array([v[1] for _, v in inside], np.uint32),
        )


class Record:
    """The plant's record, as `Records`."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant

    def values(self, since: int, until: int) -> Recorded:
        return Recorded(self.plant._columns(self.plant.recorded, since, until), 0)

    def begin(self) -> np.ndarray:
        return self.plant.begin()


def definition(stored: dict[tuple[str, str, int], Row]) -> dict[tuple[str, str, int], float]:
    """Results by their meaning, with nothing but loops."""
    names = ["Temperature", "Pressure", "SlowSensor"]
    usable = {k: v for k, (v, status) in stored.items() if status < BAD and np.isfinite(v)}
    results = {}
    for time in {k[2] for k in usable}:
        inputs = []
        for name in names:
            past = [t for _a, n, t in usable if n == name and t <= time]
            if past:
                inputs.append(abs(usable["Sensors", name, max(past)]))
        if len(inputs) == len(names):
            results["Sensors", "model1", time] = sum(inputs) / 3
            product = inputs[0] * inputs[1] * inputs[2]
            results["Sensors", "model2", time] = float(np.cbrt(product))
    return results


@pytest.fixture
def plant() -> Plant:
    made = Plant()
    made.produce()
    return made


def kinds(report: Report) -> dict[str, int]:
    """The kinds of findings that were found."""
    return {what: f.count for what, f in report.findings().items() if f.count}


def test_a_plant_that_works_holds(plant: Plant) -> None:
    report = plant.verify()
    assert report.ok, report.lines()
    assert kinds(report) == {}
    inside = sum(BEGIN <= t < END for _a, _n, t in plant.recorded)
    assert report.values.required == report.values.matched == report.values.stored == inside
    assert report.models.required == report.models.matched == 2 * inside


def test_pieces_give_the_same_as_the_whole(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = plant.verify()
    monkeypatch.setattr(run_module, "_STRETCH_POINTS", 50)
    monkeypatch.setattr(run_module, "_PIECE_POINTS", 7)
    pieces = plant.verify()
    assert pieces.ok
    assert pieces.values == whole.values
    assert pieces.models == whole.models


def test_a_missing_value_is_named_and_changes_no_result(plant: Plant) -> None:
    # The last but one: results after it are computed from what is stored.
    lost = plant.times("SlowSensor")[1]
    value = plant.stored.pop(("Sensors", "SlowSensor", lost))
    plant.given = definition(plant.stored)
    report = plant.verify()
    assert kinds(report) == {"values missing": 1}
    example = report.values.missing.examples[0]
    assert (example.asset, example.name, example.time_ns) == ("Sensors", "SlowSensor", lost)
    assert repr(value[0]) in example.detail


def test_values_before_the_first_stored_one_are_not_missing(plant: Plant) -> None:
    early = plant.times("Temperature")[:10]
    for time in early:
        del plant.stored["Sensors", "Temperature", time]
    for key in [k for k in plant.stored if k[2] < BEGIN and k[1] == "Temperature"]:
        del plant.stored[key]
    plant.given = definition(plant.stored)
    report = plant.verify()
    assert report.ok, report.lines()
    assert report.values.before_collection == 10


def test_an_invented_value_is_named(plant: Plant) -> None:
    plant.stored["Sensors", "Pressure", BEGIN + 5] = (1.5, 0)
    plant.given = definition(plant.stored)
    report = plant.verify()
    assert kinds(report) == {"values invented": 1}
    assert report.values.invented.examples[0].time_ns == BEGIN + 5


def test_what_is_older_than_the_record_cannot_be_verified(plant: Plant) -> None:
    plant.record_begin = BEGIN + 10 * SECOND
    for key in [k for k in plant.recorded if k[2] < plant.record_begin]:
        del plant.recorded[key]
    report = plant.verify()
    assert report.ok
    assert report.values.unverifiable == sum(
        BEGIN <= k[2] < plant.record_begin for k in plant.stored
    )


def test_a_wrong_value_is_named_to_the_last_bit(plant: Plant) -> None:
    key = ("Sensors", "Temperature", plant.times("Temperature")[30])
    right = plant.recorded[key][0]
    plant.stored[key] = (float(np.nextafter(right, np.inf)), 0)
    plant.given = definition(plant.stored)
    report = plant.verify()
    assert kinds(report) == {"values wrong": 1}
    assert repr(right) in report.values.wrong_value.examples[0].detail


def test_a_time_shifted_by_128_ns_is_a_lost_and_an_invented_value(plant: Plant) -> None:
    time = plant.times("Temperature")[30]
    plant.stored["Sensors", "Temperature", time + 128] = plant.stored.pop(
        ("Sensors", "Temperature", time)
    )
    plant.given = definition(plant.stored)
    report = plant.verify()
    assert kinds(report) == {"values missing": 1, "values invented": 1}
    assert "+128 ns" in report.values.missing.examples[0].detail


@pytest.mark.parametrize("status", [UNCERTAIN, BAD, UNKNOWN_STATUS])
def test_a_wrong_quality_is_named(plant: Plant, status: int) -> None:
    key = ("Sensors", "Temperature", plant.times("Temperature")[30])
    plant.stored[key] = (plant.stored[key][0], status)
    plant.given = definition(plant.stored)
    assert kinds(plant.verify()) == {"qualities wrong": 1}


def test_a_bad_value_need_not_be_stored_but_is_checked_if_it_is(plant: Plant) -> None:
    absent, valueless, wrong = plant.times("Temperature")[20:23]
    for time in (absent, valueless, wrong):
        plant.recorded["Sensors", "Temperature", time] = (float("nan"), BAD)
    del plant.stored["Sensors", "Temperature", absent]
    plant.stored["Sensors", "Temperature", valueless] = (float("nan"), BAD)
    plant.stored["Sensors", "Temperature", wrong] = (float("nan"), BAD + 0x10000)
    plant.given = definition(plant.stored)
    report = plant.verify()
    assert kinds(report) == {"qualities wrong": 1}
    assert report.values.bad == 3


def test_a_good_value_that_is_no_number_is_not_required(plant: Plant) -> None:
    key = ("Sensors", "Temperature", plant.times("Temperature")[20])
    plant.recorded[key] = (float("inf"), 0)
    del plant.stored[key]
    plant.given = definition(plant.stored)
    assert plant.verify().ok


def test_an_uncertain_value_is_required_and_used(plant: Plant) -> None:
    key = ("Sensors", "Temperature", plant.times("Temperature")[20])
    plant.recorded[key] = plant.stored[key] = (plant.recorded[key][0], UNCERTAIN)
    assert plant.verify().ok
    del plant.stored[key]
    assert "values missing" in kinds(plant.verify())


def test_a_wrong_result_is_named(plant: Plant) -> None:
    key = ("Sensors", "model2", plant.times("Temperature")[30])
    plant.given[key] *= 1 + 1e-11
    report = plant.verify()
    assert kinds(report) == {"results wrong": 1}
    assert report.models.wrong_value.examples[0].name == "model2"


def test_the_last_bits_of_a_result_may_differ(plant: Plant) -> None:
    for key in plant.given:
        plant.given[key] *= 1 + 4e-16
    assert plant.verify().ok


def test_a_result_missing_at_one_time_is_named(plant: Plant) -> None:
    key = ("Sensors", "model1", plant.times("Pressure")[4])
    del plant.given[key]
    report = plant.verify()
    assert kinds(report) == {"results missing": 1}
    assert report.models.missing.examples[0].time_ns == key[2]


def test_a_result_at_a_time_without_an_input_is_invented(plant: Plant) -> None:
    plant.given["Sensors", "model1", BEGIN + 7] = 3.0
    assert kinds(plant.verify()) == {"results invented": 1}


def test_two_inputs_with_one_time_require_one_result(plant: Plant) -> None:
    pressure, temperature = plant.times("Pressure")[4], plant.times("Temperature")[30]
    for rows in (plant.recorded, plant.stored):
        rows["Sensors", "Pressure", temperature] = rows.pop(("Sensors", "Pressure", pressure))
    plant.given = definition(plant.stored)
    at = [k for k in plant.given if k[2] == temperature and k[1] == "model1"]
    assert len(at) == 1
    assert plant.verify().ok
    # The result that a service gives which has seen only one of the two.
    plant.given[at[0]] += 1.0
    assert kinds(plant.verify()) == {"results wrong": 1}


def test_no_result_is_required_before_all_inputs_are_known(plant: Plant) -> None:
    late = plant.times("SlowSensor")[1]
    for rows in (plant.recorded, plant.stored):
        for key in [k for k in rows if k[1] == "SlowSensor" and k[2] < late]:
            del rows[key]
    plant.given = definition(plant.stored)
    assert min(k[2] for k in plant.given) == late
    assert plant.verify().ok
    plant.given["Sensors", "model1", plant.times("Temperature")[0]] = 1.0
    assert kinds(plant.verify()) == {"results invented": 1}


def test_a_declared_variable_or_model_without_points_is_named(plant: Plant) -> None:
    for rows in (plant.recorded, plant.stored):
        for key in [k for k in rows if k[1] == "Pressure"]:
            del rows[key]
    plant.given = definition(plant.stored)
    report = plant.verify()
    assert report.without_points == ["Sensors/Pressure", "Sensors/model1", "Sensors/model2"]
    assert not report.ok


def test_a_series_that_is_not_declared_is_invented(plant: Plant) -> None:
    plant.unknown = [Unknown("Sensors", "Humidity", BEGIN + 1, 12, "is not declared")]
    assert kinds(plant.verify()) == {"values invented": 12}


def test_only_the_first_of_many_findings_are_examples(plant: Plant) -> None:
    for time in plant.times("Temperature")[1:]:
        del plant.stored["Sensors", "Temperature", time]
    plant.given = definition(plant.stored)
    report = plant.verify()
    assert report.values.missing.count == len(plant.times("Temperature")) - 1
    assert len(report.values.missing.examples) == EXAMPLES


def test_what_arrives_before_the_deadline_is_waited_for(plant: Plant) -> None:
    plant.now = END
    last = plant.times("Temperature")[-1]
    value = plant.stored.pop(("Sensors", "Temperature", last))
    held = {k: plant.given.pop(k) for k in list(plant.given) if k[2] == last}

    def deliver(world: Plant) -> None:
        if world.slept == 20:
            world.stored["Sensors", "Temperature", last] = value
        if world.slept == 30:
            world.given.update(held)

    plant.at_sleep = deliver
    report = plant.verify(deadline=END + 30 * SECOND)
    assert report.ok
    assert plant.slept == 30


def test_a_hole_that_is_filled_before_the_deadline_is_waited_for(plant: Plant) -> None:
    """The newest value is there, so that only the comparison sees what is missing."""
    plant.now = END
    middle = plant.times("Temperature")[10]
    value = plant.stored.pop(("Sensors", "Temperature", middle))
    right, plant.given = plant.given, definition(plant.stored)

    def deliver(world: Plant) -> None:
        if world.slept == 8:
            world.stored["Sensors", "Temperature", middle] = value
            world.given = right

    plant.at_sleep = deliver
    assert plant.verify(deadline=END + 30 * SECOND).ok


def test_the_deadline_ends_the_waiting(plant: Plant) -> None:
    plant.now = END
    del plant.stored["Sensors", "Temperature", plant.times("Temperature")[-1]]
    report = plant.verify(deadline=END + 3 * SECOND)
    assert not report.ok
    assert plant.now <= END + 5 * SECOND
