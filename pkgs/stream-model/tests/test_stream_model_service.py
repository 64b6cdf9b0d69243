"""The service around the loop: waiting for Kafka, readiness, stop, settings, command line."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import NotEnoughReplicasError, NotLeaderForPartitionError, ProducerFenced
from aiokafka.producer.message_accumulator import MessageAccumulator
from fieldline.service import Notifier, ServiceError
from fieldline.stream import Broker
from fieldline.stream.memory import MemoryBroker
from fieldline.stream.quiet import Quiet
from prometheus_client import CollectorRegistry
from stream_model.metrics import Metrics
from stream_model.service import Service
from stream_model.settings import Settings
from stream_model.shown import Shown
from stream_model_reference import SECOND, START, make_plan, reference, value
from stream_model_run import drained, fill, make_log, results
from structlog.testing import capture_logs

SITE = Path(__file__).parents[3] / "site.toml"
SETTINGS = Settings(
    site=SITE,
    bootstrap_servers="127.0.0.1:9092",
    input="opc",
    output="model",
    dead_letter="opc.dead-letter",
    changelog="model.changelog",
    group="stream-model",
    metrics_address="127.0.0.1",
    metrics_port=0,
    horizon_ms=60_000,
)


class Told(Notifier):
    """Remembers what the service manager was told."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self.changed = asyncio.Condition()

    def _send(self, message: str) -> None:
        self.messages.append(message)
        asyncio.ensure_future(self._notify())  # noqa: RUF006  # ends by itself

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(condition)

    def all(self) -> str:
        return "\n".join(self.messages)


def service(make_broker: Callable[[], Broker], told: Told, shown: Shown | None = None) -> Service:
    return Service(
        SETTINGS,
        make_plan(),
        60_000,
        7 * 86_400_000,
        metrics=Metrics(CollectorRegistry()),
        notifier=told,
        log=structlog.get_logger(),
        make_broker=make_broker,
        quiet=Quiet(),
        shown=shown,
        retry_s=0.01,
    )


ITEMS = [value("x", v, START + k * SECOND, k) for k in range(20) for v in "ABC"]


async def test_kafka_comes_late_goes_and_comes_back() -> None:
    log = make_log(down=True)
    await fill(log, ITEMS[:30])
    told, stop, shown = Told(), asyncio.Event(), Shown()
    with capture_logs() as events:
        running = asyncio.ensure_future(service(lambda: MemoryBroker(log), told, shown).run(stop))
        await told.until(lambda: told.all().count("EXTEND_TIMEOUT_USEC=") >= 3)
        assert "READY" not in told.all()
        assert shown.state().waiting == "The log in memory is down."
        assert shown.state().partitions == []
        log.down = False
        await told.until(lambda: "READY=1" in told.all())
        assert (shown.state().waiting, shown.state().waiting_since_ns) == ("", None)
        assert shown.state().partitions == [0]
        async with asyncio.timeout(20), log.changed:
            await log.changed.wait_for(lambda: drained(log))
        log.down = True
        await log.notify()
        await told.until(lambda: "down" in told.messages[-1] or "down" in told.messages[-2])
        await fill(log, ITEMS[30:])
        log.down = False
        async with asyncio.timeout(20), log.changed:
            await log.changed.wait_for(lambda: drained(log))
        stop.set()
        await asyncio.wait_for(running, 5)
    texts = [event["event"] for event in events]
    assert texts.count("The log in memory is down.") == 2
    assert texts.count("Kafka is there") == 1
    assert texts.count("Kafka is there again") == 1
    assert told.messages[-1] == "STOPPING=1"
    assert told.all().count("READY=1") == 1
    assert "partitions 0 of opc" in told.all()
    latest = {(r.asset, r.name, r.timestamp): r.value for r in results(log)}
    assert latest == reference(ITEMS)


async def test_a_stop_while_kafka_hangs_takes_less_than_5_s() -> None:
    log = make_log()
    await fill(log, ITEMS)
    delivering = asyncio.Event()

    class Hanging(MemoryBroker):
        async def commit(self, offsets: Mapping[int, int]) -> None:
            assert offsets
            delivering.set()
            await asyncio.Event().wait()

    stop = asyncio.Event()
    running = asyncio.ensure_future(service(lambda: Hanging(log), Told()).run(stop))
    await asyncio.wait_for(delivering.wait(), 20)
    stop.set()
    await asyncio.wait_for(running, 5)
    assert log.offsets == {}


async def test_a_stop_while_kafka_is_awaited_is_immediate() -> None:
    class Silent(MemoryBroker):
        async def open(self) -> None:
            opening.set()
            await asyncio.Event().wait()

    opening, stop = asyncio.Event(), asyncio.Event()
    running = asyncio.ensure_future(service(lambda: Silent(make_log()), Told()).run(stop))
    await asyncio.wait_for(opening.wait(), 20)
    stop.set()
    await asyncio.wait_for(running, 1)


async def test_a_fatal_error_ends_the_service() -> None:
    class Refusing(MemoryBroker):
        async def open(self) -> None:
            raise ServiceError("refused")

    with pytest.raises(ServiceError):
        await service(lambda: Refusing(make_log()), Told()).run(asyncio.Event())


def test_the_client_is_heard_once_a_minute_and_not_while_waiting() -> None:
    quiet = Quiet()

    def heard(name: str, text: str, *arguments: object) -> bool:
        return quiet.filter(logging.LogRecord(name, 40, "", 0, text, arguments, None))

    assert heard("aiokafka", "Unable connect to node with id %s", 1)
    assert not heard("aiokafka", "Unable connect to node with id %s", 2)
    assert heard("aiokafka.consumer", "Heartbeat failed: %s", 1)
    retried = "Got error produce response on topic-partition %s, retrying. Error: %s"
    assert not heard("aiokafka", retried, "model", NotEnoughReplicasError)
    assert heard("aiokafka", retried, "model", NotLeaderForPartitionError)
    fenced = (ProducerFenced, ProducerFenced(), None)
    ended = logging.LogRecord("asyncio", 40, "", 0, "Future exception", (), fenced)
    assert not quiet.filter(ended)
    quiet.waiting = True
    assert not heard("aiokafka.consumer", "Another sentence")
    assert not heard("asyncio", "Unclosed AIOKafkaProducer")
    assert heard("asyncio", "Task exception was never retrieved")
    assert heard("stream-model", "Kafka cannot be reached")
    assert heard("stream-model", "Kafka cannot be reached")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-m", "stream_model", *arguments],
        env=environment, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def test_help_has_examples() -> None:
    done = command("--help")
    assert done.returncode == 0
    assert "stream-model --site site.toml" in done.stdout
    for option in (
        "--horizon",
        "--dead-letter",
        "--group",
        "--metrics",
        "--lookback",
        "--changelog",
    ):
        assert option in done.stdout


def test_wrong_settings_and_sites_exit_with_78(tmp_path: Path) -> None:
    servers = ("--bootstrap-servers", "127.0.0.1:9")
    done = command("--site", str(SITE), *servers, "--horizon", "1")
    assert (done.returncode, "--horizon" in done.stderr) == (78, True)
    site = tmp_path / "site.toml"
    text = SITE.read_text().replace('"mean-absolute"', '"no-such-model"')
    site.write_text(text)
    done = command("--site", str(site), *servers, "--metrics", "127.0.0.1:0")
    assert done.returncode == 78
    assert "no-such-model" in done.stderr
    assert "geometric-mean-absolute" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_metrics_port_exits_with_69() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = command(
            "--site", str(SITE), "--bootstrap-servers", "127.0.0.1:9", "--metrics", address
        )
    assert done.returncode == 69
    assert address in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_batch_that_was_fenced_while_it_waited_is_no_news_and_other_errors_are() -> None:
    batches = MessageAccumulator(MagicMock(), 1000, 0, 60.0)
    await batches.add_message(TopicPartition("model", 0), b"key", b"value", 1.0)
    batch = batches._pop_batch(TopicPartition("model", 0))
    batch.failure(ProducerFenced())
    await asyncio.sleep(0)
    with pytest.raises(KeyError) as again:
        batches.reenqueue(batch)
    quiet = Quiet()

    def heard(error: BaseException) -> bool:
        told = (type(error), error, None)
        return quiet.filter(logging.LogRecord("asyncio", 40, "", 0, "Task exception", (), told))

    assert not heard(again.value)
    assert heard(KeyError("another"))
    assert heard(KeyError())
