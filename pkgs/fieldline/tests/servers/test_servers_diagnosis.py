"""What a diagnosis is judged by, read from a real broker and a real InfluxDB."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from fieldline.influx import InfluxClient
from fieldline.influx.layout import GOOD_QUALITY
from fieldline.messages import (
    FORMAT_HEADERS,
    DeadLetterOrigin,
    ModelResult,
    dead_letter_headers,
    encode_result,
)
from fieldline.provision.influxdb import Secrets, ensure_influxdb
from fieldline.provision.kafka_admin import KafkaAdmin, connect
from fieldline.provision.topics import DEAD_LETTER, declared_topics, ensure_topics
from fieldline.site import Site
from fieldline.verify.catalogue import catalogue_of
from fieldline.where import tail as tails
from fieldline.where.looking import Looker, Store
from fieldline.where.probes import Probes
from fieldline.where.stored import Past, read_stored
from fieldline.where.tail import Refused, Seen, read_tail

from .conftest import loopback_site

pytestmark = [pytest.mark.servers, pytest.mark.kafka]

SECOND = 10**9
BAD = "BadSensorFailure (0x808C0000)"
NODES = {"Temperature": "ns=2;i=2", "Pressure": "ns=2;i=3", "SlowSensor": "ns=2;i=4"}


def opc_record(variable: str, value: float | None, at: int, quality: str = GOOD_QUALITY) -> bytes:
    fields = {"Quality": quality} | ({} if value is None else {variable: value})
    tags = {"asset": "Sensors", "id": NODES[variable]}
    return json.dumps(
        {"fields": fields, "name": "opc_server", "tags": tags, "timestamp": at}
    ).encode()


def result(name: str, at: int) -> bytes:
    return encode_result(ModelResult(name, 1.5, at, "Sensors", 0))


async def provision(bootstrap: str, site: Site) -> None:
    client = await connect(bootstrap, 30, lambda _passed, _cause: None)
    try:
        await ensure_topics(KafkaAdmin(client), declared_topics(site))
    finally:
        await client.close()


async def send(
    bootstrap: str, records: Sequence[tuple[str, bytes]], headers: Sequence[Any] = FORMAT_HEADERS
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        for topic, value in records:
            await producer.send_and_wait(topic, value, key=b"Sensors", headers=list(headers))
    finally:
        await producer.stop()


TOPICS = {"opc": 4, "model": 4, DEAD_LETTER: 1}


async def test_the_ends_of_the_topics(
    kafka: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await provision(kafka.bootstrap, loopback_site(tmp_path))
    now = time.time_ns()
    old = now - 3600 * SECOND
    letter = dead_letter_headers(DeadLetterOrigin("bad-quality", "opc", 1, 7))
    await send(
        kafka.bootstrap,
        [
            ("opc", b"no record"),
            ("opc", opc_record("Temperature", 1.0, now - 2 * SECOND)),
            ("opc", opc_record("Temperature", 2.0, now)),
            # A gap that is filled: dated before, and later in the topic.
            ("opc", opc_record("Temperature", 0.5, old)),
            ("opc", opc_record("Pressure", 2.0, old, BAD)),
            ("model", result("model1", now)),
            ("model", b"{}"),
        ],
    )
    await send(kafka.bootstrap, [(DEAD_LETTER, opc_record("Pressure", 2.0, old, BAD))], letter)

    def read(since: int) -> tails.Tail:
        return read_tail(kafka.bootstrap, TOPICS, since)

    tail = await asyncio.to_thread(read, now // 10**6 - 60_000)
    assert tail.problem == ""
    arrival = tail.values["Sensors", "Temperature"].arrival_ms
    assert abs(arrival - now // 10**6) < 60_000
    assert tail.values["Sensors", "Temperature"] == Seen(now, arrival, 0)
    assert tail.values["Sensors", "Pressure"].quality == 0x808C0000
    assert set(tail.values) == {("Sensors", "Temperature"), ("Sensors", "Pressure")}
    assert tail.results["Sensors", "model1"].time_ns == now
    assert tail.values_since_ms == now // 10**6 - 60_000
    assert [(r.reason, r.asset, r.variable) for r in tail.refused] == [
        ("bad-quality", "Sensors", "Pressure")
    ]
    # What came before is not read, but for the last dead letters.
    later = await asyncio.to_thread(read, time.time_ns() // 10**6 + 1000)
    assert (later.values, later.results, len(later.refused)) == ({}, {}, 1)
    # With more records than are read, it says from when on it has all.
    monkeypatch.setattr(tails, "MOST_RECORDS", 9)
    cut = await asyncio.to_thread(read, now // 10**6 - 60_000)
    assert cut.values_since_ms >= arrival - 1000
    assert set(cut.values) == {("Sensors", "Pressure")}


def test_topics_that_cannot_be_read() -> None:
    assert read_tail("127.0.0.1:1", {}, 0).problem == "Kafka has no topics yet"
    tail = read_tail("127.0.0.1:1", TOPICS, 0)
    assert tail.problem.startswith("Kafka cannot be read")
    assert tail.refused == ()


class Database:
    """A provisioned InfluxDB that a test writes to."""

    def __init__(self, influxdb: Any, folder: Path, kafka_port: int | None = None) -> None:
        ports = {} if kafka_port is None else {"kafka": kafka_port}
        self.site = loopback_site(folder, influxdb=influxdb.port, **ports)
        self.tokens = folder / "tokens"
        secrets = Secrets("a-password", "operator-token-of-the-test")
        ensure_influxdb(influxdb.url, self.site.influxdb, secrets, self.tokens)
        self.reader = self._client(influxdb.url, "reader")
        self._writer = self._client(influxdb.url, "writer")

    def _client(self, url: str, role: str) -> InfluxClient:
        return InfluxClient(url, (self.tokens / f"influxdb-{role}-token").read_text())

    def write(self, variable: str, at: int, quality: str = GOOD_QUALITY) -> None:
        """A value; without one where the quality is bad, as Telegraf does it."""
        field = "" if quality == BAD else f"{variable}=1.5,"
        node = NODES[variable].replace("=", "\\=")
        self._send(f'opc_server,asset=Sensors,id={node} {field}Quality="{quality}" {at}')

    def result(self, name: str, at: int) -> None:
        self._send(f"model,asset=Sensors,name={name} value=1.5,revision=0i {at}")

    def _send(self, line: str) -> None:
        query = {"org": "devorg", "bucket": "dev"}
        status, data = self._writer.request(
            "POST", "/api/v2/write", query=query, body=line.encode()
        )
        assert status == 204, data


def test_newest_stored_near_and_far(influxdb: Any, tmp_path: Path) -> None:
    database = Database(influxdb, tmp_path)
    catalogue = catalogue_of(database.site)
    now = time.time_ns()
    database.write("Temperature", now - SECOND)
    database.write("Temperature", now - 2 * SECOND)
    database.write("Pressure", now - 50 * SECOND)
    database.write("Pressure", now - SECOND, BAD)
    database.write("SlowSensor", now - 3 * 86_400 * SECOND)
    database.result("model1", now - 1800 * SECOND)

    near = read_stored(database.reader, "dev", catalogue, now - 60 * SECOND)
    assert near.values.tolist() == [now - SECOND, now - SECOND, 0]
    assert near.status.tolist()[:2] == [0, 0x808C0000]
    assert near.results.tolist() == [0, 0]

    past = Past(database.reader, "dev", catalogue)
    past.look([2], [0, 1], now)
    assert past.values == {2: now - 3 * 86_400 * SECOND}
    assert past.results == {0: now - 1800 * SECOND, 1: 0}
    # What is known is not asked for again, and forgotten when it flows.
    database.result("model2", now - 1700 * SECOND)
    past.look([], [1], now)
    assert (past.values, past.results) == ({}, {1: 0})
    past.look([], [0, 1], now)
    assert past.results == {1: 0, 0: now - 1800 * SECOND}
    assert past.last_usable([1], now) == {1: now - 50 * SECOND}


def run_where(database: Database, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "fieldline.cli", "where", "--site", str(database.site.path)]
    command += ["--token-file", str(database.tokens / "influxdb-reader-token"), "--json"]
    done = subprocess.run([*command, *arguments], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


async def test_where_says_what_stopped_and_at_which_hop(
    influxdb: Any, kafka: Any, tmp_path: Path
) -> None:
    """No service runs but Kafka and InfluxDB: Temperature arrives, Pressure waits for the writer,
    SlowSensor and the models stopped at the server."""
    database = Database(influxdb, tmp_path, kafka.port)
    await provision(kafka.bootstrap, database.site)
    now = time.time_ns()
    database.write("Temperature", now)
    database.write("Pressure", now - 3000 * SECOND)
    database.write("SlowSensor", now - 100 * SECOND)
    database.result("model1", now - 100 * SECOND)
    await send(kafka.bootstrap, [("opc", opc_record("Pressure", 2.0, now))])
    seen = await asyncio.to_thread(run_where, database)
    diagnosis = seen["diagnosis"]
    assert (diagnosis["declared"], diagnosis["seen_at"]) == (5, "InfluxDB")
    groups = {(g["hop"], g["name"], g["code"]): g for g in diagnosis["stopped"]}
    # Each host of this site is an address of the loopback, where nothing listens.
    assert ("server", "opc", "not-running") in groups
    assert ("writer", "db", "not-running") in groups
    writer = groups["writer", "db", "not-running"]
    assert writer["worst"][0] == {"series": "Sensors/Pressure", "since_ns": now - 3000 * SECOND}
    assert "Sensors/SlowSensor" not in [one["series"] for one in writer["worst"]]
    server = groups["server", "opc", "not-running"]
    assert "Sensors/SlowSensor" in [one["series"] for one in server["worst"]]
    assert diagnosis["arriving"] >= 1
    assert any("no gap filler answers on collector" in text for text in diagnosis["unseen"])
    only = await asyncio.to_thread(run_where, database, "Pressure")
    assert [group["hop"] for group in only["diagnosis"]["stopped"]] == ["writer"]


def test_a_database_that_hangs_or_refuses_is_a_finding(influxdb: Any, tmp_path: Path) -> None:
    database = Database(influxdb, tmp_path)
    probes = Probes(database.site)
    try:
        readings = probes.read()
    finally:
        probes.close()
    wrong = InfluxClient(influxdb.url, "no-token-of-this-server")
    found = Looker(database.site, Store(wrong)).look(readings)
    assert any("InfluxDB: it refuses to be read" in text for text in found.unseen)
    assert found.seen_at == ""
    influxdb.process.stop()
    found = Looker(database.site, Store(database.reader)).look(readings)
    # The server is down as well, and stands before it.
    assert [(g.hop, g.code) for g in found.stopped] == [("server", "not-running")]


def test_a_dead_letter_without_headers_is_of_unknown_reason() -> None:
    class Record:
        timestamp, headers, value = 5, (), b"x"

    assert tails._refused(Record()) == Refused(5, "unknown")
