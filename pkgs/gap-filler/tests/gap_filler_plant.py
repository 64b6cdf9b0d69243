"""A gap filler on a real Kafka, with a server in this process and Telegraf's part played."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from fieldline.messages.telegraf import HEADERS, OpcEncoder, partition_of
from fieldline.service import Notifier
from fieldline.stream.quiet import Quiet
from gap_filler.metrics import Metrics
from gap_filler.plan import make_plans
from gap_filler.quality import quality_text
from gap_filler.service import Service
from gap_filler.settings import Settings
from gap_filler_server import SECOND, FakeServer, Sample, site_of
from prometheus_client import CollectorRegistry

PARTITIONS = 3
TOPICS = {"opc": PARTITIONS, "opc.ledger": 1, "opc.refill": 1}
# Against hangs only.
PATIENCE_S = 90.0
FLOW = ("pump1", "Flow")


class Plant:
    """Kafka's topics, a server, and a gap filler that can be started and stopped.

    Args:
        prefix: of the topics, so that each test has its own.
    """

    def __init__(self, bootstrap: str, folder: Path, prefix: str, pumps: int = 2) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix
        self._folder = folder
        self.pumps = pumps
        self.variables = [
            (f"pump{number}", name) for number in range(1, pumps + 1) for name in ("Flow", "Level")
        ]
        self.server = FakeServer([node(*variable) for variable in self.variables])
        self.memory_values = 1_000_000
        self.registry = CollectorRegistry()
        self.service: Service | None = None
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._producer: AIOKafkaProducer | None = None

    def topic(self, name: str) -> str:
        return f"{self.prefix}.{name}"

    async def open(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        append = {"message.timestamp.type": "LogAppendTime"}
        await admin.create_topics(
            [NewTopic(self.topic(n), p, 1, topic_configs=append) for n, p in TOPICS.items()]
        )
        async with asyncio.timeout(30):
            # The controller has them at once, the broker a moment later.
            while not {self.topic(n) for n in TOPICS} <= set(await admin.list_topics()):
                pass
        await admin.close()
        self._producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap)
        await self._producer.start()
        await self.server.start()

    async def close(self) -> None:
        await self.stop()
        await self.server.stop()
        if self._producer is not None:
            await self._producer.stop()

    @property
    def settings(self) -> Settings:
        return Settings(
            site=self._folder / "site.toml",
            collector="all",
            bootstrap_servers=self.bootstrap,
            state=self._folder,
            metrics=("127.0.0.1", 0),
            rate=100_000,
            topic=self.topic("opc"),
            ledger=self.topic("opc.ledger"),
            refill=self.topic("opc.refill"),
            restart=self._folder / "restart",
            settle_s=0.5,
            patience_s=1.0,
            memory_values=self.memory_values,
        )

    async def start(self) -> None:
        """Start the gap filler; after a stop, on what it has left behind."""
        site = site_of(self._folder, self.server.endpoint, pumps=self.pumps)
        self.registry = CollectorRegistry()
        self._stop = asyncio.Event()
        self.service = Service(
            self.settings,
            make_plans(site, "all"),
            metrics=Metrics(self.registry),
            notifier=Notifier(),
            log=structlog.stdlib.get_logger("gap-filler"),
            quiet=Quiet(),
        )
        self._running = asyncio.create_task(self.service.run(self._stop))

    async def stop(self) -> None:
        if self._running is not None:
            running, self._running = self._running, None
            self._stop.set()
            await running

    async def collect(self, variable: tuple[str, str], samples: Iterable[Sample]) -> None:
        """Put values into the topic as Telegraf would."""
        assert self._producer is not None
        asset, name = variable
        encoder = OpcEncoder(asset, name, node(asset, name))
        key = asset.encode()
        for time_ns, value, status in samples:
            await self._producer.send_and_wait(
                self.topic("opc"),
                encoder.encode(value, quality_text(status), time_ns),
                key,
                partition_of(key, PARTITIONS),
                headers=HEADERS,
            )

    async def request(self, raw: bytes) -> None:
        """Put a record into the topic of requests."""
        assert self._producer is not None
        await self._producer.send_and_wait(self.topic("opc.refill"), raw)

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"gap_filler_{name}", labels) or 0.0

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; the gap filler's own failure is raised."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                if self._running is not None and self._running.done():
                    self._running.result()
                await asyncio.sleep(0.02)

    async def records(self, topic: str = "opc") -> list[ConsumerRecord[Any, Any]]:
        """Everything that is in a topic now."""
        consumer = AIOKafkaConsumer(
            self.topic(topic), bootstrap_servers=self.bootstrap, auto_offset_reset="earliest"
        )
        await consumer.start()
        found: list[ConsumerRecord[Any, Any]] = []
        try:
            ends = await consumer.end_offsets(consumer.assignment())
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found += records
        finally:
            with suppress(Exception):
                await consumer.stop()
        return found

    async def times(self, variable: tuple[str, str]) -> list[int]:
        """The source times of one variable in the topic, in the order of the topic."""
        wanted = node(*variable)
        values = [json.loads(record.value) for record in await self.records()]
        return [v["timestamp"] for v in values if v["tags"]["id"] == wanted]


def node(asset: str, name: str) -> str:
    return f"ns=2;s={asset}.{name}"


def samples(count: int, begin: int, status: int = 0) -> list[Sample]:
    """A value each second."""
    return [(begin + i * SECOND, i + 0.5, status) for i in range(count)]


def past(seconds: int) -> int:
    """A whole second so long ago; hours are of no matter to who counts in them alone."""
    return time.time_ns() // SECOND * SECOND - seconds * SECOND


def serve(plant: Plant, count: int, begin: int) -> None:
    """Give the server a history of all variables."""
    for asset, name in plant.variables:
        plant.server.history.samples[node(asset, name)] = samples(count, begin)


async def filled(plant: Plant, until_ns: int) -> None:
    """Wait until all before a time is complete."""
    await plant.until(lambda: plant.metric("position_seconds", server="plc") * 1e9 >= until_ns)
