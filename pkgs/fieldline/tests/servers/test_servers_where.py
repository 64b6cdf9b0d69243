"""`fieldline where` on a real broker and a real InfluxDB."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from fieldline.influx import InfluxClient
from fieldline.influx.layout import GOOD_QUALITY
from fieldline.provision.influxdb import Secrets, ensure_influxdb
from fieldline.provision.kafka_admin import KafkaAdmin, connect
from fieldline.provision.topics import declared_topics, ensure_topics
from fieldline.remote.offsets import KafkaProbe
from fieldline.site import Site
from fieldline.where import rate
from fieldline.where.follower import series_of
from fieldline.where.watch import Watch

from .conftest import loopback_site

pytestmark = [pytest.mark.servers, pytest.mark.kafka]

SECOND = 10**9


async def provision(bootstrap: str, site: Site) -> None:
    client = await connect(bootstrap, 30, lambda _passed, _cause: None)
    try:
        await ensure_topics(KafkaAdmin(client), declared_topics(site))
    finally:
        await client.close()


async def produce(bootstrap: str, count: int, partition: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        for _ in range(count):
            await producer.send_and_wait("opc", b"x", partition=partition)
    finally:
        await producer.stop()


async def commit(bootstrap: str, group: str, offset: int) -> None:
    # Committing by itself, it would write its own position over this one as it stops.
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        partition = TopicPartition("opc", 2)
        consumer.assign([partition])
        await consumer.commit({partition: offset})
    finally:
        await consumer.stop()


async def test_ends_and_groups_are_read_from_a_broker(kafka: Any, tmp_path: Path) -> None:
    site = loopback_site(tmp_path)
    groups = ["stream-model", "telegraf-opc"]

    probe = KafkaProbe(kafka.bootstrap, {"opc": 4, "nothing": 1}, groups)
    try:
        # A broker without topics and without a coordinator: no error.
        reading = await asyncio.to_thread(probe.read)
        assert (reading.problem, dict(reading.topics)) == ("", {})
        await provision(kafka.bootstrap, site)
        before = time.time()
        await produce(kafka.bootstrap, 5, partition=2)
        await commit(kafka.bootstrap, "stream-model", 3)
        reading = await asyncio.to_thread(probe.read)
        assert reading.problem == ""
        assert dict(reading.topics["opc"].ends) == {0: 0, 1: 0, 2: 5, 3: 0}
        assert before - 1 < reading.topics["opc"].newest_ms / 1000 < time.time() + 1
        assert "nothing" not in reading.topics
        assert dict(reading.committed["stream-model"]) == {("opc", 2): 3}
        assert dict(reading.committed["telegraf-opc"]) == {}
    finally:
        await asyncio.to_thread(probe.close)


def test_a_broker_that_is_not_there_is_a_problem_in_plain_words() -> None:
    probe = KafkaProbe("127.0.0.1:1", {"opc": 4}, [])
    assert probe.read().problem == "unreachable: no broker answers at 127.0.0.1:1"
    assert probe.read().problem
    probe.close()


class Store:
    """A provisioned InfluxDB that a test writes to."""

    def __init__(self, influxdb: Any, folder: Path, kafka_port: int) -> None:
        self.influxdb = influxdb
        self.site = loopback_site(folder, influxdb=self.influxdb.port, kafka=kafka_port)
        self.tokens = folder / "tokens"
        secrets = Secrets("a-password", "operator-token-of-the-test")
        ensure_influxdb(self.influxdb.url, self.site.influxdb, secrets, self.tokens)
        self.client = self._client("reader")
        self._writer = self._client("writer")

    def _client(self, role: str) -> InfluxClient:
        return InfluxClient(self.influxdb.url, (self.tokens / f"influxdb-{role}-token").read_text())

    def write(self, value: float, at: int) -> None:
        """A temperature and a result of one time."""
        text = (
            f"opc_server,asset=Sensors,id=ns\\=2;i\\=2 Temperature={value},"
            f'Quality="{GOOD_QUALITY}" {at}\n'
            f"model,asset=Sensors,name=model1 value={value},revision=0i {at}"
        )
        query = {"org": "devorg", "bucket": "dev"}
        status, data = self._writer.request(
            "POST", "/api/v2/write", query=query, body=text.encode()
        )
        assert status == 204, data


@pytest.fixture
def store(influxdb: Any, kafka: Any, tmp_path: Path) -> Store:
    return Store(influxdb, tmp_path, kafka.port)


def test_each_new_point_is_seen_once_with_its_latency(store: Store) -> None:
    begin = time.time_ns() - 10 * SECOND
    for i in range(3):
        store.write(float(i), begin + i)
    series = series_of(store.site)
    watch = Watch(store.client, "dev", series)
    watch.poll()
    temperature, model = series[0], series[3]
    # What was there before is for the sparkline only.
    assert list(temperature.values) == [0.0, 1.0, 2.0]
    assert watch.latency["variable"].count == 0
    for i in range(3, 6):
        store.write(float(i), time.time_ns() - SECOND)
    watch.poll()
    watch.poll()
    assert list(temperature.values) == list(model.values) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert watch.latency["variable"].count == watch.latency["model"].count == 3
    median = watch.latency["variable"].percentile(0.5)
    assert median is not None
    # Told by the middle of a class of latencies, which may lie half a class below the truth.
    assert 1000 * math.exp(-rate._STEP / 2) <= median < 10_000
    watch.read_qualities()
    assert temperature.status == 0
    assert watch.problem == ""
    store.influxdb.process.stop()
    watch.poll()
    assert watch.problem


def follow(store: Store, *arguments: str) -> subprocess.Popen[bytes]:
    token = store.tokens / "influxdb-reader-token"
    command = [sys.executable, "-m", "fieldline.cli", "where", "--site", str(store.site.path)]
    command += ["--token-file", str(token), "--json", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_one_object_per_interval_until_sigterm(store: Store) -> None:
    process = follow(store, "--follow", "--interval", "200ms")
    assert process.stdout is not None
    hops: list[str] = []
    for _ in range(3):
        store.write(1.0, time.time_ns())
        seen = json.loads(process.stdout.readline())
        hops = [f"{hop['kind']} {hop['name']}" for hop in seen["hops"]]
    assert hops[0] == "server opc"
    assert hops[-1] == "store InfluxDB"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, b"")


def test_a_reader_that_goes_away_ends_it_cleanly(store: Store) -> None:
    process = follow(store, "--follow", "--interval", "100ms")
    assert process.stdout is not None
    assert process.stdout.readline()
    os.close(process.stdout.fileno())
    assert process.stderr is not None
    assert process.wait(10) == 0
    assert process.stderr.read() == b""


def test_one_snapshot_of_one_variable(store: Store) -> None:
    store.write(4.5, time.time_ns())
    process = follow(store, "Temperature")
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, b"")
    seen = json.loads(output)
    assert [(s["asset"], s["name"], s["value"]) for s in seen["series"]] == [
        ("Sensors", "Temperature", 4.5)
    ]
    assert seen["series"][0]["unit"] == "°C"
