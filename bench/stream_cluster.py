"""A real Kafka for the stream benchmarks, jobs on it as processes, and how far they have come."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
for folder in ("pkgs/fieldline/src", "pkgs/stream-model/src", "pkgs/stream-model/tests"):
    sys.path.insert(0, str(ROOT / folder))

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition  # noqa: E402
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # noqa: E402
from fieldline.provision.topics import CHANGELOG, declared_topics  # noqa: E402
from fieldline.site import load_site  # noqa: E402
from fieldline.stream import Topics  # noqa: E402
from stream_model_kafka import JAVA_OPTIONS, RealKafka, free_ports, jars  # noqa: E402

SITE = ROOT / "site.toml"
_COMPACTED = next(t.configs for t in declared_topics(load_site(SITE)) if t.name == CHANGELOG)
Message = tuple[bytes, bytes]


@dataclass(frozen=True)
class Place:
    """Topics of one measurement.

    folder: of Kafka's logs. assets: the site's file that declares them.
    """

    address: str
    folder: Path
    site: Path
    topics: Topics
    partitions: int

    async def create(self) -> None:
        """Create the topics, and wait until the broker shows them."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        await admin.start()
        configs = {self.topics.changelog: dict(_COMPACTED)}
        new = [
            NewTopic(n, self.partitions, 1, topic_configs=configs.get(n, {}))
            for n in self.topics.all
        ]
        await admin.create_topics(new)
        while not {t["topic"] for t in await admin.describe_topics()} >= set(self.topics.all):
            pass
        await admin.close()

    async def fill(self, made: Sequence[Message]) -> None:
        """Put records into the input, each asset into a partition of its own choice."""
        producer = AIOKafkaProducer(bootstrap_servers=self.address, max_batch_size=512 * 1024)
        await producer.start()
        batches = [producer.create_batch() for _ in range(self.partitions)]
        for key, value in made:
            number = self.partition(key)
            while batches[number].append(timestamp=None, key=key, value=value) is None:
                await producer.send_batch(batches[number], self.topics.input, partition=number)
                batches[number] = producer.create_batch()
        for number, batch in enumerate(batches):
            await producer.send_batch(batch, self.topics.input, partition=number)
        await producer.stop()

    def partition(self, key: bytes) -> int:
        """Where an asset's records go; the same in each run."""
        return sum(key) % self.partitions

    def changelog_bytes(self) -> int:
        """What the changelog takes on disk, markers and batch headers included."""
        found = self.folder.glob(f"log/{self.topics.changelog}-*/*.log")
        return sum(path.stat().st_size for path in found)

    def options(self) -> list[str]:
        """What the service is told."""
        topics = self.topics
        options: Mapping[str, object] = {
            "site": self.site,
            "bootstrap-servers": self.address,
            "input": topics.input,
            "output": topics.outputs[0],
            "dead-letter": topics.outputs[1],
            "changelog": topics.changelog,
            "group": topics.group,
        }
        return [f"--{name}={value}" for name, value in options.items()]


def cpu_s(pid: int) -> float:
    """A process' time so far; proc(5): utime and stime, the 14th and 15th field."""
    text = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(text[11]) + int(text[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> float:
    """The largest memory that a process had resident so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return round(int(peak.split()[1]) / 1024, 1)


class Job:
    """A process that works on a place's input; cpus: where it may run."""

    def __init__(self, command: Sequence[str], cpus: set[int]) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cpus)
        self._process = subprocess.Popen(
            command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        os.sched_setaffinity(0, own)

    def cpu_s(self) -> float:
        """Processor time so far."""
        return cpu_s(self._process.pid)

    def peak_mb(self) -> float:
        """The largest resident memory so far."""
        return peak_mb(self._process.pid)

    def running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def service(place: Place, cpus: set[int]) -> Job:
    """The stream model as systemd starts it."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "stream_model", *place.options()]
    return Job([*command, f"--metrics=127.0.0.1:{port}"], cpus)


def peer(name: str, place: Place, cpus: set[int], python: str = sys.executable) -> Job:
    """A job of `stream_peers`, on the same topics."""
    topics = place.topics
    script = str(ROOT / "bench" / "stream_peers" / f"{name}.py")
    arguments = [place.address, topics.input, topics.outputs[0], topics.group]
    return Job([python, script, *arguments], cpus)


async def drained(
    place: Place, jobs: Sequence[Job], results: int, isolation: str = "read_committed"
) -> dict[str, float]:
    """Watch jobs until so many results are there; the rate counts from the first ones on.

    Two results are one input. CPU is that of the jobs between the same two moments.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=place.address, isolation_level=isolation, enable_auto_commit=False
    )
    await consumer.start()
    tps = [TopicPartition(place.topics.outputs[0], n) for n in range(place.partitions)]
    begin = (0.0, 0.0, 0)
    try:
        async with asyncio.timeout(300):
            while True:
                seen = sum((await consumer.end_offsets(tps)).values())
                now = time.perf_counter()
                if seen and not begin[2]:
                    begin = (now, sum(job.cpu_s() for job in jobs), seen)
                if seen >= results:
                    break
                if not any(job.running() for job in jobs):
                    raise RuntimeError("the job has ended by itself")
                await asyncio.sleep(0.02)
    finally:
        await consumer.stop()
    cpu = sum(job.cpu_s() for job in jobs) - begin[1]
    inputs = (results - begin[2]) / 2
    seconds = max(now - begin[0], 0.001)
    return {
        "inputs_per_s": round(inputs / seconds),
        "inputs_per_cpu_s": round(inputs / max(cpu, 0.01)),
        "cpu_share": round(cpu / seconds, 2),
        "rss_mb": max(job.peak_mb() for job in jobs),
    }


class Kafka:
    """A broker for all measurements.

    Args:
        cpus: where it may run.
        settings: further properties.
        java: the JVM's options.
    """

    def __init__(
        self,
        folder: Path,
        cpus: set[int],
        settings: str = "",
        java: Sequence[str] = JAVA_OPTIONS,
    ) -> None:
        self._folder = folder
        self._kafka = RealKafka(folder, settings, java)
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cpus)
        begun = time.perf_counter()
        self._kafka.start()
        self.started_s = time.perf_counter() - begun
        os.sched_setaffinity(0, own)
        self.pid = self._kafka.pid
        self._number = 0

    def place(self, assets: int, partitions: int) -> Place:
        """Topics of their own, and a site that declares so many assets."""
        self._number += 1
        name = f"bench{self._number}"
        site = self._folder / f"{name}.toml"
        names = f'"Sensors", "asset{{1..{assets - 1}}}"' if assets > 1 else '"Sensors"'
        # Thousands of assets would need more of a collector's memory than is declared.
        text = SITE.read_text().replace('outage = "10min"', 'outage = "1s"')
        before, _, rest = text.partition("[[assets]]")
        after = rest[rest.index("\n[") :]
        listed = f'[[assets]]\nnames = [{names}]\ntype = "sensors"\nserver = "opc"\n'
        site.write_text(f"{before}{listed}{after}")
        topics = Topics(name, name, f"{name}-state", (f"{name}-out", f"{name}-dead"))
        return Place(self._kafka.address, self._folder, site, topics, partitions)

    def kill(self) -> None:
        """End it."""
        self._kafka.kill()


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    cpu = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "kafka": Path(jars()).parent.parent.name,
        "load_average_before": round(os.getloadavg()[0], 1),
    }
