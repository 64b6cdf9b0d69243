"""How fast the stream model drains a backlog: the pure step, the work on records, and the loop.

    python bench/stream_model_drain.py [--inputs 300000] [--kafka] [--latency]

Prints one JSON object. Inputs are Telegraf's JSON of three variables arriving 40:4:1, two results
per input; `--assets` shares them among several assets. CPU is this process's own. With `--kafka`
a real Kafka from the parts' cache is started in a temporary folder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
for folder in ("pkgs/fieldline/src", "pkgs/stream-model/src", "pkgs/stream-model/tests"):
    sys.path.insert(0, str(ROOT / folder))

import structlog  # noqa: E402
from fieldline.messages import OpcValue, decode_opc  # noqa: E402
from fieldline.site import load_site  # noqa: E402
from prometheus_client import CollectorRegistry  # noqa: E402
from stream_model.kafka import KafkaBroker  # noqa: E402
from stream_model.loop import Loop  # noqa: E402
from stream_model.memory import MemoryRecord  # noqa: E402
from stream_model.metrics import Metrics  # noqa: E402
from stream_model.partition import Partition  # noqa: E402
from stream_model.plan import Plan, make_plan  # noqa: E402
from stream_model.reports import Reports  # noqa: E402
from stream_model.settings import Settings  # noqa: E402
from stream_model.step import State, replay, step  # noqa: E402

HORIZON_NS = 60 * 10**9
GOOD = "The operation succeeded. StatusGood (0x0)"
START = 1_700_000_000_000_000_000


def plan_for(assets: Sequence[str]) -> Plan:
    """The demonstration plant's models for these assets."""
    kind = make_plan(load_site(ROOT / "site.toml")).assets["Sensors"]
    return Plan(dict.fromkeys(assets, kind))


def messages(count: int, assets: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """Key and value of so many records, in order of arrival."""
    rng = random.Random(1)
    made: list[tuple[bytes, bytes]] = []
    turn = 0
    while len(made) < count:
        turn += 1
        for asset in assets:
            now = START + turn * 200_000_000
            for number, (variable, every) in enumerate(
                (("Temperature", 1), ("Pressure", 10), ("SlowSensor", 40))
            ):
                if turn % every == 0:
                    record = {
                        "fields": {variable: rng.uniform(-50, 150), "Quality": GOOD},
                        "name": "opc_server",
                        "tags": {"asset": asset, "id": f"ns=2;i={number + 2}"},
                        "timestamp": now + number * 1000,
                    }
                    text = json.dumps(record, separators=(",", ":")) + "\n"
                    made.append((asset.encode(), text.encode()))
    return made[:count]


def measure(count: int, work: Callable[[], int]) -> dict[str, float]:
    """Run `work`, which gives the number of results."""
    wall, cpu = time.perf_counter(), time.process_time()
    results = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "inputs_per_s": round(count / wall),
        "cpu_s_per_100k": round(cpu / count * 1e5, 3),
        "results": results,
    }


def pure(values: Sequence[OpcValue], plan: Plan, batch: int) -> dict[str, float]:
    """Only the step."""
    state = State(plan, HORIZON_NS)
    now = START + 10**15

    def work() -> int:
        results = 0
        for start in range(0, len(values), batch):
            results += len(step(state, values[start : start + batch], now)[1].results)
        return results

    return measure(len(values), work)


def replayed(values: Sequence[OpcValue], plan: Plan) -> dict[str, float]:
    """Rebuilding a state, which takes values one by one."""

    def work() -> int:
        replay(State(plan, HORIZON_NS), values, START + 10**15)
        return 0

    return measure(len(values), work)


def records(made: Sequence[tuple[bytes, bytes]], plan: Plan, batch: int) -> dict[str, float]:
    """Decode, step, encode: all that is done with a record, but Kafka."""
    stored = [MemoryRecord(n, 0, key, value) for n, (key, value) in enumerate(made)]
    partition = Partition("opc", 0, State(plan, HORIZON_NS), 0, 0)

    def work() -> int:
        results = 0
        for start in range(0, len(stored), batch):
            done = partition.work(stored[start : start + batch], START + 10**15)
            results += len(done.delivery.results) if done.delivery else 0
        return results

    return measure(len(made), work)


class Bench:
    """Topics on a real Kafka, and a loop on them."""

    def __init__(self, address: str, name: str, plan: Plan) -> None:
        self.settings = Settings(
            site=ROOT / "site.toml",
            bootstrap_servers=address,
            input=name,
            output=f"{name}-out",
            dead_letter=f"{name}.dead-letter",
            group=name,
            metrics_address="127.0.0.1",
            metrics_port=0,
            horizon_ms=60_000,
        )
        self.plan = plan
        self.registry = CollectorRegistry()

    async def topics(self) -> None:
        """Create them, one partition each."""
        from aiokafka.admin import AIOKafkaAdminClient, NewTopic

        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.bootstrap_servers)
        await admin.start()
        await admin.create_topics([NewTopic(name, 1, 1) for name in self.settings.topics])
        await admin.close()

    def loop(self, broker: KafkaBroker) -> Loop:
        """A loop as the service has it."""
        log = structlog.get_logger()
        return Loop(
            broker,
            self.plan,
            topic=self.settings.input,
            horizon_ns=HORIZON_NS,
            lookback_ms=60_000,
            metrics=Metrics(self.registry),
            reports=Reports(log),
            log=log,
        )

    def used(self) -> float:
        """Inputs whose results are acknowledged and committed."""
        name, labels = "stream_model_inputs_total", {"kind": "used"}
        return self.registry.get_sample_value(name, labels) or 0


async def fill(bench: Bench, made: Sequence[tuple[bytes, bytes]]) -> None:
    """Create the topics and put the records there."""
    from aiokafka import AIOKafkaProducer

    await bench.topics()
    producer = AIOKafkaProducer(
        bootstrap_servers=bench.settings.bootstrap_servers, max_batch_size=512 * 1024
    )
    await producer.start()
    batch = producer.create_batch()
    for key, value in made:
        while batch.append(timestamp=None, key=key, value=value) is None:
            await producer.send_batch(batch, bench.settings.input, partition=0)
            batch = producer.create_batch()
    await producer.send_batch(batch, bench.settings.input, partition=0)
    await producer.stop()


async def drain(bench: Bench, made: Sequence[tuple[bytes, bytes]]) -> dict[str, float]:
    """Drain a topic with a loop in this process."""
    await fill(bench, made)
    broker = KafkaBroker(bench.settings)
    await broker.open()
    loop = bench.loop(broker)
    while not broker.assignment:
        await loop.round()
    wall, cpu = time.perf_counter(), time.process_time()
    while bench.used() < len(made):
        await loop.round()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    await broker.close()
    return {
        "inputs_per_s": round(len(made) / wall),
        "cpu_s_per_100k": round(cpu / len(made) * 1e5, 3),
    }


def service(bench: Bench, made: Sequence[tuple[bytes, bytes]], port: int) -> dict[str, float]:
    """Drain a topic with the service in a process of its own, its start included."""
    asyncio.run(fill(bench, made))
    settings = bench.settings
    begin = time.perf_counter()
    options = {
        "site": settings.site,
        "bootstrap-servers": settings.bootstrap_servers,
        "input": settings.input,
        "output": settings.output,
        "dead-letter": settings.dead_letter,
        "group": settings.group,
        "metrics": f"127.0.0.1:{port}",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "stream_model", *(f"--{k}={v}" for k, v in options.items())],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    used = f'stream_model_inputs_total{{kind="used"}} {float(len(made))}'
    text = ""
    while used not in text:
        time.sleep(0.05)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                text = answer.read().decode()
        except OSError:
            text = ""
    wall = time.perf_counter() - begin
    status = Path(f"/proc/{process.pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    # utime and stime, proc(5): the 14th and 15th field, counted from the pid.
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    process.terminate()
    process.wait()
    return {
        "seconds_with_start": round(wall, 2),
        "cpu_s_with_start": round(cpu, 2),
        "rss_mb": round(int(peak.split()[1]) / 1024, 1),
    }


async def latency(bench: Bench, count: int, rate: float) -> dict[str, float]:
    """From sending an input to seeing its result, read_committed, at a steady rate."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    await bench.topics()
    address = bench.settings.bootstrap_servers
    broker = KafkaBroker(bench.settings)
    await broker.open()
    stop = asyncio.Event()
    running = asyncio.ensure_future(bench.loop(broker).run(stop))
    reader = AIOKafkaConsumer(
        bench.settings.output, bootstrap_servers=address, isolation_level="read_committed",
        auto_offset_reset="earliest",
    )  # fmt: skip
    await reader.start()
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all")
    await producer.start()
    sent: dict[int, float] = {}
    seen: dict[int, float] = {}

    async def read() -> None:
        while len(seen) < count:
            for found in (await reader.getmany(timeout_ms=100)).values():
                now = time.perf_counter()
                for record in found:
                    seen.setdefault(json.loads(record.value or b"")["timestamp"], now)

    made = messages(count * 2, ["Sensors"])
    first = START + 40 * 200_000_000 + 2000
    reading = asyncio.ensure_future(read())
    begin = time.perf_counter()
    for number, (key, value) in enumerate(made):
        stamp = json.loads(value)["timestamp"]
        if stamp >= first:
            sent[stamp] = time.perf_counter()
        await producer.send(bench.settings.input, value, key, 0)
        if len(sent) == count:
            break
        await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
    await asyncio.wait_for(reading, 60)
    stop.set()
    await running
    for client in (producer, reader):
        await client.stop()
    await broker.close()
    times = sorted(1000 * (seen[stamp] - at) for stamp, at in sent.items() if stamp in seen)
    return {
        "rate_per_s": rate,
        "p50_ms": round(statistics.median(times), 1),
        "p99_ms": round(times[int(len(times) * 0.99)], 1),
        "max_ms": round(times[-1], 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=300_000)
    parser.add_argument("--kafka", action="store_true")
    options = parser.parse_args()
    figures: dict[str, object] = {
        "inputs": options.inputs,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    for label, count in (("1_asset", 1), ("1000_assets", 1000)):
        assets = ["Sensors", *(f"asset{n}" for n in range(1, count))]
        plan = plan_for(assets)
        made = messages(options.inputs, assets)
        values = [decode_opc(value) for _, value in made]
        figures[f"step_{label}"] = {
            f"batch_{batch}": pure(values, plan, batch) for batch in (5000, 500, 50)
        }
        figures[f"single_{label}"] = pure(values[: options.inputs // 20], plan, 1)
        figures[f"replay_{label}"] = replayed(values, plan)
        figures[f"records_{label}"] = records(made, plan, 5000)
    if options.kafka:
        from stream_model_kafka import RealKafka, free_ports

        plan = plan_for(["Sensors"])
        made = messages(options.inputs, ["Sensors"])
        with tempfile.TemporaryDirectory() as folder:
            kafka = RealKafka(Path(folder))
            kafka.start()
            try:
                figures["loop"] = [
                    asyncio.run(drain(Bench(kafka.address, f"drain{n}", plan), made))
                    for n in range(3)
                ]
                figures["service"] = service(
                    Bench(kafka.address, "service", plan), made, free_ports(1)[0]
                )
                figures["latency"] = asyncio.run(
                    latency(Bench(kafka.address, "latency", plan), 10_000, 1000)
                )
            finally:
                kafka.kill()
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
