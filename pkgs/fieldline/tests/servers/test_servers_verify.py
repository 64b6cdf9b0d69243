"""`fieldline verify` and `fieldline wait` against a real InfluxDB and a served record."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fieldline.influx import InfluxClient
from fieldline.influx.layout import GOOD_QUALITY
from fieldline.models import load_model
from fieldline.provision.influxdb import Secrets, ensure_influxdb
from fieldline.record import RecordVariable, RecordWriter, record_routes
from fieldline.service import HttpServer, ServiceError
from fieldline.site import Site
from fieldline.verify.catalogue import catalogue_of
from fieldline.verify.command import app as verify_app
from fieldline.verify.store import InfluxStore
from fieldline.where.wait import app as wait_app
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from .conftest import free_port, loopback_site

pytestmark = pytest.mark.servers

SECOND = 10**9
NODES = {"Temperature": "ns=2;i=2", "Pressure": "ns=2;i=3", "SlowSensor": "ns=2;i=4"}
UNCERTAIN = "The value is uncertain. StatusUncertainInitialValue (0x40920000)"
BAD = "The sensor failed. StatusBadSensorFailure (0x808C0000)"


@dataclass
class Point:
    """A point of a variable as line protocol has it; without a value it has its quality only."""

    asset: str
    id: str
    name: str
    time: int
    value: float | None
    quality: str | None = GOOD_QUALITY

    def line(self) -> str:
        fields = [] if self.value is None else [f"{self.name}={self.value!r}"]
        fields += [] if self.quality is None else [f'Quality="{self.quality}"']
        node = self.id.replace("=", "\\=")
        return f"opc_server,asset={self.asset},id={node} {','.join(fields)} {self.time}"


@dataclass
class Plant:
    """A provisioned InfluxDB, a served record, and 20 s of values that are in the record."""

    site: Site
    url: str
    tokens: Path
    writer: RecordWriter
    http: HttpServer
    begin: int
    values: list[Point] = field(default_factory=list)
    results: dict[tuple[str, int], float] = field(default_factory=dict)

    def produce(self) -> None:
        random = np.random.default_rng(3)
        for second in range(20 * 5):
            base = self.begin + second * SECOND // 5
            for place, (name, node) in enumerate(NODES.items()):
                # Temperature each 200 ms, Pressure each 2 s, SlowSensor each 8 s.
                if second % (1, 10, 40)[place]:
                    continue
                at = base + int(random.integers(0, 10**8))
                value = float(random.normal(20, 3))
                self.writer.append(at, np.array([place]), np.array([0]), np.array([value]))
                self.values.append(Point("Sensors", node, name, at, value))

    def compute(self) -> None:
        """The results that the good values require."""
        usable = [p for p in self.values if p.value is not None and p.quality not in (None, BAD)]
        self.results = {}
        for at in {p.time for p in usable}:
            row = []
            for name in NODES:
                past = [p for p in usable if p.name == name and p.time <= at]
                if past:
                    row.append(max(past, key=lambda p: p.time).value)
            if len(row) == 3:
                for name, function in (("model1", "mean-absolute"), ("model2", GEOMETRIC)):
                    inputs = np.array([row], np.float64)
                    self.results[name, at] = float(load_model(function)(inputs)[0])

    def store(self) -> None:
        lines = [point.line() for point in self.values]
        lines += [
            f"model,asset=Sensors,name={name} value={value!r},revision=0i {at}"
            for (name, at), value in self.results.items()
        ]
        self.write("\n".join(lines))

    def write(self, text: str) -> None:
        token = (self.tokens / "influxdb-writer-token").read_text()
        query = {"org": "devorg", "bucket": "dev"}
        client = InfluxClient(self.url, token)
        status, data = client.request("POST", "/api/v2/write", query=query, body=text.encode())
        assert status == 204, data

    def run(self, app: Any, *arguments: str) -> tuple[int, dict[str, Any]]:
        common = ["--site", str(self.site.path), "--json"]
        common += ["--token-file", str(self.tokens / "influxdb-reader-token")]
        result = CliRunner().invoke(app, [*common, *arguments], catch_exceptions=False)
        return result.exit_code, json.loads(result.output)

    def verify(self) -> tuple[int, dict[str, Any]]:
        window = ["--since", str(self.begin), "--until", str(self.begin + 20 * SECOND)]
        return self.run(verify_app, *window, "--settle", "0s")


GEOMETRIC = "geometric-mean-absolute"


@pytest.fixture
def plant(influxdb: Any, tmp_path: Path) -> Iterator[Plant]:
    metrics = free_port("127.0.0.5")
    site = loopback_site(tmp_path, influxdb=influxdb.port, opc_server=metrics)
    secrets = Secrets("a-password", "operator-token-of-the-test")
    ensure_influxdb(influxdb.url, site.influxdb, secrets, tmp_path / "tokens")
    variables = [RecordVariable("Sensors", name, node) for name, node in NODES.items()]
    writer = RecordWriter(tmp_path / "record", variables, 3_600_000)
    routes = record_routes(tmp_path / "record")
    http = HttpServer("127.0.0.5", metrics, registry=CollectorRegistry(), routes=routes)
    http.start()
    begin = (time.time_ns() // SECOND - 60) * SECOND
    made = Plant(site, influxdb.url, tmp_path / "tokens", writer, http, begin)
    made.produce()
    yield made
    http.stop()  # Stopping twice does no harm.


def counts(report: dict[str, Any]) -> dict[str, int]:
    """The findings that were made."""
    return {
        f"{part} {kind}": finding["count"]
        for part in ("values", "models")
        for kind, finding in report[part].items()
        if isinstance(finding, dict) and finding["count"]
    }


def test_what_is_right_holds(plant: Plant) -> None:
    plant.compute()
    plant.store()
    code, report = plant.verify()
    assert (code, counts(report)) == (0, {})
    assert report["values"]["matched"] == len(plant.values)
    assert report["models"]["matched"] == len(plant.results)


def shift(plant: Plant) -> None:
    plant.values[30].time += 128


def lose(plant: Plant) -> None:
    del plant.values[30]


def invent(plant: Plant) -> None:
    plant.values.append(Point("Sensors", NODES["Pressure"], "Pressure", plant.begin + SECOND, 1.0))


def change(plant: Plant) -> None:
    value = plant.values[30].value
    assert value is not None
    plant.values[30].value = float(np.nextafter(value, 1e9))


def mark_uncertain(plant: Plant) -> None:
    plant.values[30].quality = UNCERTAIN


def lose_quality(plant: Plant) -> None:
    plant.values[30].quality = None


def another_node(plant: Plant) -> None:
    plant.values.append(Point("Sensors", "ns=2;i=9", "Pressure", plant.begin + SECOND, 1.0))


@pytest.mark.parametrize(
    ("fault", "findings"),
    [
        (shift, {"values missing": 1, "values invented": 1}),
        (lose, {"values missing": 1}),
        (invent, {"values invented": 1}),
        (change, {"values wrong_value": 1}),
        (mark_uncertain, {"values wrong_quality": 1}),
        (lose_quality, {"values wrong_quality": 1}),
    ],
)
def test_each_fault_is_found(
    plant: Plant, fault: Callable[[Plant], None], findings: dict[str, int]
) -> None:
    fault(plant)
    plant.compute()
    plant.store()
    code, report = plant.verify()
    assert (code, counts(report)) == (1, findings)


def test_a_series_of_another_node_is_found(plant: Plant) -> None:
    plant.compute()
    another_node(plant)
    plant.store()
    assert counts(plant.verify()[1]) == {"values invented": 1}


def test_the_same_value_in_a_second_series_is_found(plant: Plant) -> None:
    plant.compute()
    plant.store()
    plant.write(plant.values[30].line().replace(",id=", ",host=x,id="))
    assert counts(plant.verify()[1]) == {"values stored_twice": 1}


def test_results_are_checked(plant: Plant) -> None:
    plant.compute()
    (lost, wrong), at = list(plant.results)[10:12], plant.begin + 7
    del plant.results[lost]
    plant.results[wrong] += 1e-6
    plant.results["model1", at] = 1.0
    plant.store()
    code, report = plant.verify()
    assert code == 1
    assert counts(report) == {
        "models missing": 1,
        "models wrong_value": 1,
        "models invented": 1,
    }


def test_a_bad_value_may_come_with_or_without_a_value_or_not_at_all(plant: Plant) -> None:
    """And none of them is an input: the last usable one before the window is what counts."""
    status = np.array([0x808C0000])
    for offset, value, quality in ((1, None, BAD), (2, 3.0, BAD), (3, None, None)):
        at = plant.begin - SECOND + offset
        for shifted in (at, at + 10 * SECOND):
            plant.writer.append(shifted, np.array([0]), status, np.array([np.nan]))
            if quality is not None:
                point = Point("Sensors", NODES["Temperature"], "Temperature", shifted, value, BAD)
                plant.values.append(point)
    early = plant.begin - 2 * SECOND
    for place, (name, node) in enumerate(NODES.items()):
        plant.writer.append(early, np.array([place]), np.array([0]), np.array([7.0]))
        plant.values.append(Point("Sensors", node, name, early, 7.0))
    plant.compute()
    plant.store()
    code, report = plant.verify()
    assert (code, counts(report)) == (0, {})
    assert report["values"]["bad"] == 3


def test_an_outage_at_the_begin_of_the_window_is_missing(plant: Plant) -> None:
    """A value that is stored from before the window tells that its variable was collected."""
    early = plant.begin - 2 * SECOND
    temperatures = [p for p in plant.values if p.name == "Temperature"]
    for point in temperatures[:10]:
        plant.values.remove(point)
    plant.values.append(Point("Sensors", NODES["Temperature"], "Temperature", early, 7.0))
    plant.compute()
    plant.store()
    code, report = plant.verify()
    assert (code, counts(report)) == (1, {"values missing": 10})
    assert report["values"]["before_collection"] == 0


def test_a_record_that_ends_early_is_shown_and_does_not_fail(plant: Plant) -> None:
    plant.compute()
    plant.store()
    window = ["--since", str(plant.begin), "--until", str(plant.begin + 30 * SECOND)]
    code, report = plant.run(verify_app, *window, "--settle", "0s")
    assert code == 0
    found = report["values"]["not_produced"]
    # 10 s of Temperature, 12 s of Pressure, 14 s of SlowSensor, less a jitter of 0.1 s.
    assert found["count"] in (49 + 5 + 1, 50 + 5 + 1)
    assert [gap["variable"] for gap in found["examples"]] == list(NODES)


def test_the_newest_and_the_last_before_are_read(plant: Plant) -> None:
    plant.compute()
    plant.store()
    catalogue = catalogue_of(plant.site)
    token = (plant.tokens / "influxdb-reader-token").read_text()
    store = InfluxStore(InfluxClient(plant.url, token), plant.site.influxdb, catalogue)
    values, results = store.newest(0, 2**62)
    for index, variable in enumerate(catalogue.variables):
        times = [p.time for p in plant.values if p.name == variable.variable]
        assert values[index] == max(times)
        until = max(times)
        before = max(
            (p for p in plant.values if p.name == variable.variable and p.time < until),
            key=lambda p: p.time,
        )
        assert store.latest_before(until)[index] == before.value
    for index, model in enumerate(catalogue.models):
        assert results[index] == max(at for name, at in plant.results if name == model.name)


def test_wait_ends_when_all_series_are_fresh(plant: Plant) -> None:
    plant.compute()
    plant.store()
    code, waited = plant.run(wait_app, "--fresh-within", "300ms")
    assert code == 1
    assert {one["name"] for one in waited["missing"]} == {*NODES, "model1", "model2"}
    assert all(one["newest"] for one in waited["missing"])
    # Values of the near future are newer than the command's start, however slow this machine is.
    ahead = time.time_ns() + 600 * SECOND - plant.begin
    for point in plant.values:
        point.time += ahead
    plant.compute()
    plant.store()
    code, waited = plant.run(wait_app, "--fresh-within", "10s")
    assert code == 0
    assert waited["seconds"] < 10


def test_a_server_that_does_not_answer_is_another_exit_code(plant: Plant) -> None:
    window = ("--since", "-10s", "--settle", "0s")
    with pytest.raises(ServiceError, match="InfluxDB does not answer") as caught:
        plant.run(verify_app, *window, "--url", "http://127.0.0.1:1")
    assert caught.value.code == 69
    plant.http.stop()
    with pytest.raises(ServiceError, match="record cannot be read") as caught:
        plant.run(verify_app, *window)
    assert caught.value.code == 69
