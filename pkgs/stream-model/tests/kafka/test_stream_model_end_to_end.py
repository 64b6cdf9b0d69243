"""The service as systemd starts it, on a real Kafka: kills, outages, several instances."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from fieldline.messages import OpcValue, decode_result
from stream_model_kafka import KafkaCluster, RealKafka
from stream_model_reference import SECOND, START, value
from stream_model_run import telegraf

pytestmark = pytest.mark.kafka

SITE = Path(__file__).parents[4] / "site.toml"
VARIABLES = ("Temperature", "Pressure", "SlowSensor")


class Instance:
    """One process of the service, with the socket on which it speaks to systemd."""

    def __init__(self, cluster: KafkaCluster, folder: Path) -> None:
        self._settings = cluster.settings
        self.folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(folder / "notify"))
        self._notify.setblocking(False)
        self.told = ""

    async def start(self) -> None:
        settings = self._settings
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "stream_model", "--site", str(SITE),
                "--bootstrap-servers", settings.bootstrap_servers, "--input", settings.input,
                "--output", settings.output, "--dead-letter", settings.dead_letter,
                "--changelog", settings.changelog,
                "--group", settings.group, "--metrics", "127.0.0.1:0", stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path),
                     "NOTIFY_SOCKET": str(self.folder / "notify"), "WATCHDOG_USEC": "10000000"},
            )  # fmt: skip

    async def until_told(self, text: str, timeout_s: float = 60) -> None:
        """Wait for a message to the service manager."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                while text not in self.told:
                    self.told += (await loop.sock_recv(self._notify, 4096)).decode() + "\n"
        except TimeoutError:
            pytest.fail(f"not told: {text}\n{self.told}\n{self.log()}")
        self.told = ""

    async def end(self, number: int) -> int:
        """Send a signal and give the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return await asyncio.wait_for(self._process.wait(), 10)

    def events(self) -> list[dict[str, object]]:
        lines = (self.folder / "log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def close(self) -> None:
        self._notify.close()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


@pytest.fixture
async def instances(tmp_path: Path) -> AsyncIterator[Callable[[KafkaCluster], Instance]]:
    made: list[Instance] = []

    def make(cluster: KafkaCluster) -> Instance:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Instance(cluster, folder))
        return made[-1]

    yield make
    for instance in made:
        instance.close()


def inputs(count: int, start: int = 0) -> list[OpcValue]:
    """Values of the demonstration plant's asset."""
    return [
        value("Sensors", VARIABLES[n % 3], START + n * SECOND // 100, n % 97 + 0.5)
        for n in range(start, start + count)
    ]


def expected(items: Sequence[OpcValue]) -> dict[tuple[str, int], float]:
    """By the definition, written out for this asset."""
    known: dict[str, float] = {}
    results = {}
    for item in items:
        known[item.variable] = float(item.value or 0)
        if len(known) == 3:
            row = [known[name] for name in VARIABLES]
            results["model1", item.time] = sum(row) / 3
            results["model2", item.time] = (row[0] * row[1] * row[2]) ** (1 / 3)
    return results


async def produce(cluster: KafkaCluster, items: Sequence[OpcValue]) -> None:
    await cluster.produce_many(0, [(b"Sensors", telegraf(item)) for item in items])


async def complete(cluster: KafkaCluster, items: Sequence[OpcValue]) -> int:
    """Wait until the topic has every result, check them; gives the number of records read."""
    wanted = expected(items)
    got: dict[tuple[str, int], float] = {}
    count = len(wanted)
    while got.keys() != wanted.keys():
        records = await cluster.results(count)
        for record in records:
            result = decode_result(record.value or b"")
            got[result.name, result.timestamp] = result.value
        # Repeated ones are among them: as many more are still to come.
        count = len(records) + (len(wanted) - len(got))
    assert got == pytest.approx(wanted)
    return len(await cluster.results(0))


async def test_killed_at_any_time_nothing_is_lost(
    cluster: KafkaCluster, instances: Callable[[KafkaCluster], Instance]
) -> None:
    instance = instances(cluster)
    items = inputs(3000)
    for start in range(0, 3000, 750):
        await instance.start()
        await instance.until_told("READY=1")
        feeding = asyncio.ensure_future(produce(cluster, items[start : start + 750]))
        if start < 2250:
            # In the midst of the work: some hundred records are there, more are coming.
            await cluster.results(start * 2 + 300)
            assert await instance.end(signal.SIGKILL) == -signal.SIGKILL
        await feeding
    await complete(cluster, items)
    begin = time.monotonic()
    assert await instance.end(signal.SIGTERM) == 0
    assert time.monotonic() - begin < 5
    assert "Traceback" not in instance.log()


async def test_two_instances_share_and_one_dies(
    cluster: KafkaCluster, instances: Callable[[KafkaCluster], Instance]
) -> None:
    first, second = instances(cluster), instances(cluster)
    await first.start()
    await first.until_told("partitions 0, 1, 2 of")
    items = inputs(600)
    await produce(cluster, items[:200])
    await second.start()
    await second.until_told("READY=1")
    await produce(cluster, items[200:400])
    # Whichever has partition 0, the other must take it over.
    assert await first.end(signal.SIGKILL) == -signal.SIGKILL
    await produce(cluster, items[400:])
    await second.until_told("partitions 0, 1, 2 of")
    await complete(cluster, items)
    assert await second.end(signal.SIGTERM) == 0


async def test_kafka_comes_late_without_topics_goes_and_comes_back(
    tmp_path: Path, instances: Callable[[KafkaCluster], Instance]
) -> None:
    own = RealKafka(tmp_path)
    cluster = KafkaCluster(own.address)
    instance = instances(cluster)
    await instance.start()
    await instance.until_told("cannot be reached")
    await asyncio.to_thread(own.start)
    try:
        await instance.until_told("has no topic")
        await cluster.open()
        await instance.until_told("READY=1")
        items = inputs(400)
        await produce(cluster, items[:200])
        await complete(cluster, items[:200])
        await cluster.close()
        own.kill()
        await instance.until_told("cannot be reached")
        await asyncio.to_thread(own.start)
        await instance.until_told("works on partitions")
        await cluster.reopen()
        await produce(cluster, items[200:])
        await complete(cluster, items)
        assert await instance.end(signal.SIGTERM) == 0
        await cluster.close()
    finally:
        own.kill()
    said = [str(event["event"]) for event in instance.events()]
    assert sum("cannot be reached" in text for text in said) == 2
    assert sum("has no topic" in text for text in said) == 1
    assert "Kafka is there again" in said
    assert "Traceback" not in instance.log()
    assert len(said) < 60, instance.log()
