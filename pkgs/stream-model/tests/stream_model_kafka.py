"""A real Kafka for tests: one broker on a free loopback port, in a folder of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from stream_model.settings import Settings

PARTITIONS = 3

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fieldline" / "parts"
# What a broker of a test needs.
JAVA_OPTIONS = ("-Xmx256m", "-XX:TieredStopAtLevel=1")
# Two JVM starts on a busy machine; a broker alone is ready in 2 to 4 s.
_START_S = 90

_PROPERTIES = """
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
log.dirs={folder}/log
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""


def jars() -> str:
    """The class path of Kafka; the test fails, and says how to get it, if it is not there."""
    found = sorted(CACHE.glob("kafka-*/libs"))
    if not found:
        pytest.fail(
            f"No Kafka in {CACHE}. Get it once with: python -m fieldline_lab.parts kafka "
            "(lab/parts/README.md)",
            pytrace=False,
        )
    return f"{found[-1]}/*"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class RealKafka:
    """A broker that can be stopped and started again on the same port with the same log.

    Args:
        settings: further lines of its server.properties.
        java: the JVM's options.
    """

    def __init__(
        self, folder: Path, settings: str = "", java: Sequence[str] = JAVA_OPTIONS
    ) -> None:
        self.port, controller = free_ports(2)
        self.address = f"127.0.0.1:{self.port}"
        self._folder = folder
        self._jars = jars()
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = folder / "server.properties"
        self._settings.write_text(
            _PROPERTIES.format(port=self.port, controller=controller, folder=folder) + settings
        )
        logging = folder / "log4j2.properties"
        logging.write_text(
            "rootLogger.level=warn\nrootLogger.appenderRef.0.ref=c\nappender.c.type=Console\nappender.c.name=c\n"
        )
        self._java = [
            "java",
            *java,
            f"-Dlog4j2.configurationFile={logging}",
            "-cp",
            self._jars,
        ]
        settings = str(self._settings)
        cluster = uuid.uuid4().hex[:22]
        subprocess.run(
            [*self._java, "kafka.tools.StorageTool", *f"format -t {cluster} -c".split(), settings],
            check=True,
            capture_output=True,
            timeout=_START_S,
        )

    @property
    def pid(self) -> int:
        """Of the broker's process, which has been started."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the broker and wait until it answers."""
        with (self._folder / "kafka.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java, "kafka.Kafka", str(self._settings)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.kill()
        pytest.fail("Kafka has not started:\n" + (self._folder / "kafka.log").read_text()[-3000:])

    def kill(self) -> None:
        """End the broker at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def cut(self, topic: str, partition: int, left: int) -> None:
        """Take all but so many records from a partition, as a disk does that had not written them.

        Between batches; to be called while it does not run.
        """
        folder = self._folder / "log" / f"{topic}-{partition}"
        segment = max(folder.glob("*.log"))
        data, position = segment.read_bytes(), 0
        # Source: https://kafka.apache.org/documentation/#recordbatch: base offset, length of what
        # follows, and at byte 23 the last record's offset from the base.
        while position < len(data):
            base, length = struct.unpack_from(">qi", data, position)
            (last,) = struct.unpack_from(">i", data, position + 23)
            if base + last >= left:
                break
            position += 12 + length
        with segment.open("r+b") as file:
            file.truncate(position)
        # What Kafka keeps beside its logs speaks of more than there is.
        for snapshot in folder.glob("*.snapshot"):
            snapshot.unlink()
        (self._folder / "log" / "recovery-point-offset-checkpoint").unlink(missing_ok=True)


_numbers = itertools.count()


class KafkaCluster:
    """Topics of their own on the real Kafka."""

    def __init__(self, address: str) -> None:
        number = next(_numbers)
        self.settings = Settings(
            site=Path("site.toml"),
            bootstrap_servers=address,
            input=f"in{number}",
            output=f"out{number}",
            dead_letter=f"in{number}.dead-letter",
            changelog=f"state{number}",
            group=f"group{number}",
            metrics_address="127.0.0.1",
            metrics_port=0,
            horizon_ms=60_000,
        )
        self._producer: AIOKafkaProducer | None = None
        self._readers: dict[str, tuple[AIOKafkaConsumer, list[ConsumerRecord]]] = {}

    async def open(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.bootstrap_servers)
        await admin.start()
        await admin.create_topics(
            [
                NewTopic(self.settings.input, PARTITIONS, 1),
                NewTopic(self.settings.changelog, PARTITIONS, 1),
                NewTopic(self.settings.output, 2, 1),
                NewTopic(self.settings.dead_letter, 2, 1),
            ]
        )
        async with asyncio.timeout(30):
            # The controller has them at once, the broker a moment later.
            while not await self._shown(admin):
                pass
        await admin.close()
        await self.reopen()

    async def _shown(self, admin: AIOKafkaAdminClient) -> bool:
        shown = {topic["topic"] for topic in await admin.describe_topics()}
        return shown >= set(self.settings.topics.all)

    async def reopen(self) -> None:
        """Connect again, to topics that are there."""
        self._producer = AIOKafkaProducer(bootstrap_servers=self.settings.bootstrap_servers)
        await self._producer.start()

    async def close(self) -> None:
        assert self._producer is not None
        await self._producer.stop()
        for consumer, _ in self._readers.values():
            await consumer.stop()
        self._readers.clear()

    async def produce(
        self, partition: int, value: bytes | None, key: bytes | None = None, timestamp_ms: int = 0
    ) -> None:
        assert self._producer is not None
        await self._producer.send_and_wait(
            self.settings.input, value, key, partition, timestamp_ms or None
        )

    async def produce_many(self, partition: int, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Keys and values, some at a time."""
        assert self._producer is not None
        for start in range(0, len(records), 50):
            for key, value in records[start : start + 50]:
                await self._producer.send(self.settings.input, value, key, partition)
            await self._producer.flush()

    async def _read(self, topic: str, count: int) -> Sequence[ConsumerRecord]:
        if topic not in self._readers:
            consumer = AIOKafkaConsumer(
                topic,
                bootstrap_servers=self.settings.bootstrap_servers,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
            )
            await consumer.start()
            self._readers[topic] = (consumer, [])
        consumer, found = self._readers[topic]
        async with asyncio.timeout(60):
            while True:
                for records in (await consumer.getmany(timeout_ms=50)).values():
                    found += records
                if len(found) >= count:
                    break
        return found

    async def results(self, count: int) -> Sequence[ConsumerRecord]:
        """At least `count` committed records of the output topic, waiting for them."""
        return await self._read(self.settings.output, count)

    async def dead_letters(self, count: int) -> Sequence[ConsumerRecord]:
        """At least `count` committed dead letters, waiting for them."""
        return await self._read(self.settings.dead_letter, count)
