"""Runs the engine on the log in memory."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterable

import structlog
from fieldline.messages import ModelResult, OpcValue, decode_result
from fieldline.stream import Broker, Topics
from fieldline.stream.memory import MemoryBroker, MemoryLog, MemoryRecord
from prometheus_client import CollectorRegistry
from stream_model.loop import ModelObserver, make_engine
from stream_model.metrics import Metrics
from stream_model.plan import Plan
from stream_model.reports import Reports
from stream_model.step import FOR_EVER_NS
from stream_model_reference import NOW, SECOND, make_plan

GOOD_TEXT = "The operation succeeded. StatusGood (0x0)"


def telegraf(item: OpcValue) -> bytes:
    """A good value as Telegraf writes it."""
    record = {
        "fields": {item.variable: item.value, "Quality": GOOD_TEXT},
        "name": "opc_server",
        "tags": {"asset": item.asset, "id": "ns=2;i=2"},
        "timestamp": item.time,
    }
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


TOPICS = Topics("stream-model", "opc", "model.changelog", ("model", "opc.dead-letter"))


def make_log(partitions: int = 1, outputs: int = 1, *, down: bool = False) -> MemoryLog:
    """A log in memory with the service's topics."""
    return MemoryLog(TOPICS, partitions, outputs, down)


class Runner:
    """An engine with its metrics, on a broker in memory."""

    def __init__(
        self,
        log: MemoryLog,
        *,
        plan: Plan | None = None,
        broker: Broker | None = None,
        metrics: Metrics | None = None,
        registry: CollectorRegistry | None = None,
        lookback_ms: int = 60_000,
        clock: Callable[[], int] = lambda: NOW,
        timer: Callable[[], float] | None = None,
        retention_ns: int = FOR_EVER_NS,
    ) -> None:
        self.log = log
        self.registry = registry or CollectorRegistry()
        self.broker = broker or MemoryBroker(log)
        self.rounds = 0
        self.settled: list[frozenset[int]] = []
        logger = structlog.get_logger()
        self.engine = make_engine(
            self.broker,
            plan or make_plan(),
            TOPICS,
            horizon_ns=60 * SECOND,
            lookback_ms=lookback_ms,
            retention_ns=retention_ns,
            observer=ModelObserver(
                metrics or Metrics(self.registry),
                Reports(logger),
                progress=self._round,
                settled=self.settled.append,
                clock=clock,
            ),
            log=logger,
            clock=clock,
            # Each look finds that much time has gone by: what is due is due at once.
            timer=timer or itertools.count(0.0, 1000.0).__next__,
        )

    def _round(self) -> None:
        self.rounds += 1

    async def until(self, condition: Callable[[], bool]) -> None:
        """Open the broker, run the engine until something holds, and close."""
        await self.broker.open()
        try:
            async with asyncio.timeout(20):
                while not condition():
                    await self.engine.round()
        finally:
            await self.engine.close()
            await self.broker.close()

    async def drain(self) -> None:
        """Run until everything in the log is committed, and nothing is left to recompute."""
        await self.until(self.done)

    def done(self) -> bool:
        """Everything is committed, and nothing is left to recompute."""
        partitions = self.engine.partitions.values()
        owed = any(partition.processor.owed() for partition in partitions)
        return bool(self.settled) and drained(self.log) and not owed

    def metric(self, name: str, **labels: str) -> float:
        """A metric's value, 0 where it is not there yet."""
        return self.registry.get_sample_value(f"stream_model_{name}", labels) or 0.0


def drained(log: MemoryLog) -> bool:
    return all(
        log.offsets.get(p, 0) >= len(records) for p, records in enumerate(log.input) if records
    )


def records(log: MemoryLog) -> list[list[MemoryRecord]]:
    """The committed records of the topic of results, per partition."""
    return log.committed("model")


def results(log: MemoryLog) -> list[ModelResult]:
    """All committed results."""
    return [decode_result(record.value or b"") for topic in records(log) for record in topic]


def dead_letters(log: MemoryLog) -> list[MemoryRecord]:
    """All committed dead letters."""
    return [record for topic in log.committed("opc.dead-letter") for record in topic]


async def fill(log: MemoryLog, items: Iterable[OpcValue]) -> None:
    """Put values into the log, each asset in a partition of its own as far as there are.

    Kafka's clock is the latest source time that it has seen.
    """
    for item in items:
        partition = ord(item.asset[0]) % log.partitions
        before = log.input[partition][-1].timestamp if log.input[partition] else 0
        now_ms = max(before, item.time // 10**6)
        await log.produce(partition, telegraf(item), item.asset.encode(), now_ms)
