"""The doctor's questions to a real broker and a real InfluxDB."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from fieldline.doctor import Context, Finding
from fieldline.doctor.clocks import clocks
from fieldline.doctor.influxdb import influxdb as influxdb_check
from fieldline.doctor.kafka import kafka as kafka_check
from fieldline.doctor.kafka import read_broker
from fieldline.doctor.versions import versions
from fieldline.local import LocalHost
from fieldline.provision.topics import declared_topics
from fieldline.remote.offsets import KafkaReading
from fieldline.where.probes import Readings

from .conftest import loopback_site
from .test_servers_diagnosis import SECOND, Database, opc_record, provision, send

pytestmark = [pytest.mark.servers, pytest.mark.kafka]


def found(findings: Any) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


async def test_topics_and_groups_of_a_broker(kafka: Any, tmp_path: Path) -> None:
    site = loopback_site(tmp_path, kafka=kafka.port)
    declared = declared_topics(site)
    # A broker of which nobody has asked for anything.
    empty = await read_broker(kafka.bootstrap, declared)
    assert (empty.partitions, empty.groups, empty.ends) == ({}, {}, {})
    await provision(kafka.bootstrap, site)
    await send(kafka.bootstrap, [("opc", opc_record("Temperature", 1.0, 5))] * 3)
    reader = AIOKafkaConsumer(
        "opc",
        bootstrap_servers=kafka.bootstrap,
        group_id="telegraf-opc",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await reader.start()
    try:
        for _ in range(2):
            await reader.getone()
        await reader.commit()
        broker = await read_broker(kafka.bootstrap, declared)
        assert broker.partitions == {topic.name: topic.partitions for topic in declared}
        assert broker.groups["telegraf-opc"].members == 1
        read = broker.groups["telegraf-opc"].committed
        assert sum(read.values()) == 2
        assert sum(at for (topic, _), at in broker.ends.items() if topic == "opc") == 3
        readings = Readings({}, {}, KafkaReading(), here=LocalHost("db"))
        context = Context(site, readings, tmp_path, time.time_ns())
        seen = found(await asyncio.to_thread(lambda: list(kafka_check(context))))
    finally:
        await reader.stop()
    assert seen["topic opc"].verdict == seen["topic model.changelog"].verdict == "ok"
    assert seen["group telegraf-opc"].text == "1 member(s), 1 records wait"
    assert seen["group stream-model"].verdict == "failed"
    # Another retention than the broker has.
    topics = {**site.topics, "opc": replace(site.topics["opc"], retention_ms=3_600_000)}
    context = replace(context, site=replace(site, topics=topics))
    seen = found(await asyncio.to_thread(lambda: list(kafka_check(context))))
    assert seen["topic opc"].verdict == "failed"
    assert "retention.ms is 604800000, declared: 3600000" in seen["topic opc"].text
    assert seen["group telegraf-opc"].text == "nobody reads; 1 records wait"


def test_bucket_times_and_version_of_a_database(influxdb: Any, tmp_path: Path) -> None:
    database = Database(influxdb, tmp_path)
    readings = Readings({}, {}, KafkaReading(), here=LocalHost("db"))
    token = database.tokens / "influxdb-reader-token"
    now = time.time_ns()
    context = Context(database.site, readings, token, now)
    assert found(influxdb_check(context))["bucket dev"].text == "it is kept for 30 d"
    assert found(versions(context))["InfluxDB"].text.startswith("v2.")
    assert found(clocks(context))["source times"].verdict == "ok"
    database.write("Temperature", now + 3600 * SECOND)
    future = found(clocks(context))["source times"]
    assert future.verdict == "failed"
    assert "Sensors" in future.text
    shorter = replace(database.site.influxdb, retention_ms=86_400_000)
    changed = replace(context, site=replace(database.site, influxdb=shorter))
    finding = found(influxdb_check(changed))["bucket dev"]
    assert (finding.verdict, finding.text) == ("failed", "it is kept for 30 d, declared: 1 d")
    other = replace(database.site.influxdb, bucket="other")
    changed = replace(context, site=replace(database.site, influxdb=other))
    assert found(influxdb_check(changed))["bucket other"].verdict == "failed"


def test_the_command_ends_with_1_while_nothing_runs(tmp_path: Path) -> None:
    site = loopback_site(tmp_path)
    command = [sys.executable, "-m", "fieldline.cli", "doctor", "--site", str(site.path)]
    done = subprocess.run([*command, "--json"], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, b"")
    report = json.loads(done.stdout)
    assert report["ok"] is False
    verdicts = {c["check"]: {f["verdict"] for f in c["findings"]} for c in report["checks"]}
    assert "failed" in verdicts["ports"]
    assert verdicts["kafka"] == {"failed"}
    assert verdicts["units"] >= {"skipped"}
    assert "ok" in verdicts["versions"]
