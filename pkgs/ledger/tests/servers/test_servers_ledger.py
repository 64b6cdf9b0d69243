"""The ledger's store and log on a real InfluxDB and a real Kafka, and the service on both."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from fieldline.arguments import iso
from fieldline.influx import InfluxClient
from fieldline.influx.layout import GOOD_QUALITY
from fieldline.messages.ledger import HOUR_NS, Refill, decode_ledger, decode_refill, hour_of
from fieldline.provision.influxdb import Secrets, ensure_influxdb
from fieldline.stream import UnavailableError
from fieldline.verify.catalogue import Catalogue, DeclaredVariable
from fieldline_servers import Influxdb, loopback_site, start_influxdb
from ledger.deliveries import Waiting
from ledger.kafka import KafkaLog, Log, Topics
from ledger.probes import WriterProbe
from ledger.store import InfluxStore
from ledger.threads import in_thread
from ledger_contract import CATALOGUE, LogContract, StoreContract, until
from ledger_fakes import SECOND, VARIABLES, history

pytestmark = [pytest.mark.servers, pytest.mark.kafka]

NODES = {v.variable: v.id for v in CATALOGUE.variables}
BAD = "The sensor failed. StatusBadSensorFailure (0x808C0000)"


class RealStore:
    """`StoreWorld` on a provisioned InfluxDB."""

    def __init__(self, influxdb: Influxdb, folder: Path, at_once: int = 10_000_000) -> None:
        folder.mkdir()
        self.site = loopback_site(folder, influxdb=influxdb.port)
        self.tokens = folder / "tokens"
        secrets = Secrets("a-password", "operator-token-of-the-test")
        ensure_influxdb(influxdb.url, self.site.influxdb, secrets, self.tokens)
        self.hour = hour_of(time.time_ns()) - 24 * HOUR_NS
        self.url = influxdb.url
        self.store = InfluxStore(
            self.client("reader"), self.site.influxdb, CATALOGUE, at_once=at_once
        )

    def client(self, role: str) -> InfluxClient:
        return InfluxClient(self.url, (self.tokens / f"influxdb-{role}-token").read_text())

    def write(self, text: str) -> None:
        query = {"org": "devorg", "bucket": "dev"}
        status, data = self.client("writer").request(
            "POST", "/api/v2/write", query=query, body=text.encode()
        )
        assert status == 204, data

    def put(
        self, variable: str, times: Sequence[int], *, good: bool = True, asset: str = "Sensors"
    ) -> None:
        node = NODES[variable].replace("=", "\\=")
        fields = f'{variable}=1.5,Quality="{GOOD_QUALITY}"' if good else f'Quality="{BAD}"'
        self.write("\n".join(f"opc_server,asset={asset},id={node} {fields} {t}" for t in times))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxdb]:
    made = start_influxdb(tmp_path_factory.mktemp("influxdb"))
    yield made
    made.process.stop()


def emptied(world: RealStore) -> RealStore:
    """Without what a test before has left."""
    body = {"start": "1970-01-01T00:00:00Z", "stop": "2200-01-01T00:00:00Z"}
    operator = InfluxClient(world.url, "operator-token-of-the-test")
    query = {"org": "devorg", "bucket": "dev"}
    status, data = operator.request("POST", "/api/v2/delete", query=query, body=body)
    assert status == 204, data
    return world


class TestStore(StoreContract):
    """The contract, with one question for an hour."""

    @pytest.fixture
    def world(self, server: Influxdb, tmp_path: Path) -> RealStore:
        return emptied(RealStore(server, tmp_path / "store"))


class TestStoreInParts(StoreContract):
    """The contract, with a question for each minute of an hour."""

    @pytest.fixture
    def world(self, server: Influxdb, tmp_path: Path) -> RealStore:
        return emptied(RealStore(server, tmp_path / "store", at_once=100))


def test_assets_are_counted_in_groups(server: Influxdb, tmp_path: Path) -> None:
    """Each by itself here, whatever is in its name; and nothing counts twice."""
    world = emptied(RealStore(server, tmp_path / "store"))
    names = ["press.1", "press/1", "pressx1", "press1", 'a "b" (c|d)*', "ä\\b", "press-1_2"]
    variables = tuple(DeclaredVariable(n, "V", f"ns=2;s={n}", "opc", True, 1000) for n in names)
    index = {(v.asset, v.variable): i for i, v in enumerate(variables)}
    of = Catalogue(variables, (), index, {})
    store = InfluxStore(world.client("reader"), world.site.influxdb, of, at_once=1)
    escapes = str.maketrans({c: "\\" + c for c in ",= "})
    world.write(
        "\n".join(
            f"opc_server,asset={v.asset.translate(escapes)},id={v.id.translate(escapes)} "
            f'V=1,Quality="{GOOD_QUALITY}" {world.hour + i * SECOND}'
            for place, v in enumerate(variables)
            for i in range(place + 1)
        )
    )
    parts = np.array([store.hour(world.hour, part) for part in range(store.parts)])
    assert parts.sum(axis=0).tolist() == [place + 1 for place in range(len(names))]
    assert ((parts > 0).sum(axis=1) <= 1).all()


_numbers = itertools.count()


class RealLog:
    """`LogWorld` on a real Kafka."""

    def __init__(self, bootstrap: str) -> None:
        number = next(_numbers)
        self.topics = Topics(f"opc{number}", f"ledger{number}", f"refill{number}", f"t{number}")
        self.bootstrap = bootstrap

    async def open(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        topics = self.topics
        await admin.create_topics(
            [
                NewTopic(topics.values, 2, 1),
                NewTopic(topics.ledger, 1, 1),
                NewTopic(topics.refill, 1, 1),
            ]
        )
        await admin.close()
        log = self.log()

        async def shown() -> bool:
            try:
                return len((await log.position()).ends) == 2
            except UnavailableError:
                return False

        await until(shown)
        await log.close()

    def log(self) -> Log:
        return KafkaLog(self.bootstrap, self.topics, 2)

    async def refills(self, count: int) -> Sequence[Refill]:
        rows = await rows_of(self.bootstrap, self.topics.refill, count)
        return [decode_refill(row) for row in rows]

    async def produce(self, partition: int, count: int) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap)
        await producer.start()
        try:
            for _ in range(count):
                await producer.send_and_wait(self.topics.values, b"x", partition=partition)
        finally:
            await producer.stop()

    async def write(self, partition: int, offset: int) -> None:
        # Committing by itself, it would write its own position over this one as it stops.
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=self.topics.writer,
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            place = TopicPartition(self.topics.values, partition)
            consumer.assign([place])
            await consumer.commit({place: offset})
        finally:
            await consumer.stop()


async def rows_of(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """The first records of a topic, waiting until there are so many."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", group_id=None
    )
    await consumer.start()
    try:
        rows = []
        async with asyncio.timeout(30):
            while len(rows) < count:
                rows.append((await consumer.getone()).value)
        return rows
    finally:
        await consumer.stop()


@pytest.fixture
async def topics(kafka: Any) -> RealLog:
    made = RealLog(kafka.bootstrap)
    await made.open()
    return made


class TestLog(LogContract):
    """The contract."""


async def test_what_kafka_took_before_is_not_read(topics: RealLog) -> None:
    log = topics.log()
    await log.open(0)
    await log.tell([history("Temperature", HOUR_NS, 1)])
    await log.close()
    await log_reads(topics, since_ms=0, expected=1)
    await log_reads(topics, since_ms=(time.time_ns() + 3600 * SECOND) // 10**6, expected=0)


async def test_the_guard_sees_what_waits_for_a_group(topics: RealLog) -> None:
    values, group = topics.topics.values, topics.topics.writer
    probe = WriterProbe(topics.bootstrap, {values: 2}, {group: values})
    try:
        await topics.produce(0, 5)
        await topics.produce(1, 1)
        waiting = {(group, 0): Waiting(-1, 5)}
        assert await in_thread(probe.waiting) == waiting
        await topics.write(0, 2)
        assert await in_thread(probe.waiting) == {(group, 0): Waiting(2, 3)}
        await topics.write(0, 5)
        assert await in_thread(probe.waiting) == {}
    finally:
        await in_thread(probe.close)


async def test_without_kafka_the_guard_knows_nothing() -> None:
    probe = WriterProbe("127.0.0.1:1", {"opc": 2}, {"telegraf-opc": "opc"})
    assert await in_thread(probe.waiting) is None
    await in_thread(probe.close)


async def log_reads(topics: RealLog, since_ms: int, expected: int) -> None:
    log = topics.log()
    await log.open(since_ms)
    # What is there is read before what comes now.
    await log.tell([history("Pressure", HOUR_NS, 1)])
    rows = []
    while not rows or b"Pressure" not in rows[-1]:
        rows += [entry.value for entry in await log.read()]
    await log.close()
    assert sum(b"Temperature" in row for row in rows) == expected


async def test_no_kafka_and_no_topics_are_said_in_plain_words(kafka: Any) -> None:
    for bootstrap, words in (("127.0.0.1:1", "does not answer"), (kafka.bootstrap, "no topic opc")):
        log = KafkaLog(bootstrap, Topics(), 4)
        with pytest.raises(UnavailableError, match=words):
            await log.open(0)
        await log.close()


async def test_the_service_counts_tells_and_asks_again(
    topics: RealLog, server: Influxdb, tmp_path: Path
) -> None:
    """From a loss in InfluxDB to the request, with real servers and the real process."""
    world = emptied(RealStore(server, tmp_path / "store"))
    now = time.time_ns()
    hour = hour_of(now) - HOUR_NS
    times = [hour + i * SECOND for i in range(3600)]
    world.put("Temperature", times)
    await topics.produce(0, 1)
    await topics.write(0, 1)
    outside = topics.log()
    await outside.open(0)
    await outside.tell(
        [history("Temperature", hour, 3600), history("Temperature", hour + HOUR_NS, 0)]
    )
    names = topics.topics
    token = world.tokens / "influxdb-reader-token"
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ledger", "--site", str(world.site.path)),
            *("--bootstrap-servers", topics.bootstrap, "--url", server.url),
            *("--token-file", str(token), "--input", names.values, "--output", names.ledger),
            *("--refill", names.refill, "--writer-group", names.writer),
            *("--metrics", "127.0.0.1:0", "--interval", "1s"),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=log,
        )

    async def stored(count: int) -> None:
        wanted = (hour, VARIABLES[0], {"stored": count, "settled": 1, "lacking": 3600 - count})
        async with asyncio.timeout(60):
            while True:
                assert process.returncode is None, (tmp_path / "log").read_text()
                records = [decode_ledger(entry.value) for entry in await outside.read()]
                if wanted in [(r.timestamp, r.tags.variable, r.fields) for r in records]:
                    return

    try:
        await stored(3600)
        lost = (hour + 600 * SECOND, hour + 720 * SECOND)
        body = {
            # The end is deleted, too.
            "start": iso(lost[0]),
            "stop": iso(lost[1] - 1),
            "predicate": 'asset="Sensors"',
        }
        operator = InfluxClient(server.url, "operator-token-of-the-test")
        query = {"org": "devorg", "bucket": "dev"}
        status, data = operator.request("POST", "/api/v2/delete", query=query, body=body)
        assert status == 204, data
        await stored(3480)
        assert list(await topics.refills(1)) == [Refill("Sensors", "Temperature", *lost)]
        world.put("Temperature", times)
        await stored(3600)
    finally:
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 10)
        await outside.close()
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert code == 0, events
    assert events[-1] == "stopped"
    assert any("asked for again" in event for event in events)
    assert any("stored again" in event for event in events)
