"""The stream model, exactly-once on a real Kafka: rates, latency, memory, restore, and its peers.

    python bench/stream_model_exactly_once.py [--inputs 300000] [--rounds 3] [--without-quix]

Prints one JSON object. A Kafka from the parts' cache runs in a temporary folder on one core, the
job under test on the other. Inputs are Telegraf's JSON of three variables arriving 40:4:1, two
results per input. A rate counts from the first committed result to the last, as a reader of
committed records sees them; `inputs_per_cpu_s` is what one whole core would do, which tells more
where other work shares the machine. quixstreams is installed into a scratch environment; kcat is
Debian's (`apt-get install kcat`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from stream_cluster import Job, Kafka, Message, Place, drained, machine, peer, service

import structlog  # isort: skip
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from fieldline.stream import Changelog
from fieldline.stream.changelog import Position
from fieldline.stream.kafka import KafkaBroker
from prometheus_client import CollectorRegistry
from stream_model.loop import ModelObserver, make_engine
from stream_model.metrics import Metrics
from stream_model.partition import ModelProcessor
from stream_model.reports import Reports
from stream_model.step import State
from stream_model_drain import HORIZON_NS, START, messages, plan_for

CORES = sorted(os.sched_getaffinity(0))
JOB, OTHERS = {CORES[0]}, set(CORES[1:]) or {CORES[0]}
Figures = dict[str, object]
# Inputs before a latency is measured, for the broker's compiler.
WARM_UP = 5000
VARIABLES = (b"Temperature", b"Pressure", b"SlowSensor")


def assets_of(count: int) -> list[str]:
    """The names that `Kafka.place` declares."""
    return ["Sensors", *(f"asset{n}" for n in range(1, count))]


def results_of(made: Sequence[Message]) -> int:
    """Two for each input from which on all three of its asset are known."""
    known: dict[bytes, set[bytes]] = {}
    count = 0
    for key, value in made:
        seen = known.setdefault(key, set())
        seen.add(next(name for name in VARIABLES if name in value))
        count += 2 * (len(seen) == 3)
    return count


async def drain(
    place: Place,
    made: Sequence[Message],
    jobs: Sequence[Job],
    isolation: str = "read_committed",
) -> Figures:
    """Let jobs, which wait for the topics, work off a backlog."""
    try:
        figures: Figures = {**await drained(place, jobs, results_of(made), isolation)}
    finally:
        for job in jobs:
            job.stop()
    size = place.changelog_bytes()
    if size:
        figures["changelog_bytes_per_input"] = round(size / len(made), 1)
    return figures


async def latency(place: Place, assets: int, count: int, rate: float) -> Figures:
    """From sending an input to seeing its result, read committed, at a steady rate."""
    os.sched_setaffinity(0, CORES)
    await place.create()
    job = service(place, JOB)
    output = place.topics.outputs[0]
    reader = AIOKafkaConsumer(
        output, place.topics.input, bootstrap_servers=place.address,
        isolation_level="read_committed", fetch_max_wait_ms=100,
        auto_offset_reset="earliest",
    )  # fmt: skip
    producer = AIOKafkaProducer(bootstrap_servers=place.address, acks="all")
    await reader.start()
    await producer.start()
    sent: dict[tuple[str, int], float] = {}
    on_input: dict[tuple[str, int], float] = {}
    seen: dict[tuple[str, int], float] = {}
    arrived = asyncio.Condition()

    async def wait_for(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(120), arrived:
            await arrived.wait_for(condition)

    async def read() -> None:
        while True:
            async with arrived:
                arrived.notify_all()
            for tp, found in (await reader.getmany(timeout_ms=100)).items():
                now = time.perf_counter()
                for record in found:
                    item = json.loads(record.value or b"")
                    if tp.topic == output:
                        seen.setdefault((item["asset"], item["timestamp"]), now)
                    else:
                        key = (item["tags"]["asset"], item["timestamp"])
                        on_input.setdefault(key, now)

    reading = asyncio.ensure_future(read())
    names = assets_of(assets)
    # All inputs of all assets are known, so that from now on each gives its results.
    await place.fill(_each_variable(names))
    await wait_for(lambda: len(seen) >= assets)
    begin = time.perf_counter()
    for number in range(-WARM_UP, count):
        if number == 0:
            before, cpu, measured = place.changelog_bytes(), job.cpu_s(), time.perf_counter()
            warm = set(sent)
        asset, turn = names[number % assets], number // assets
        stamp = START + (WARM_UP + 100 + turn) * 200_000_000 + number % assets
        record = {
            "fields": {"Temperature": number * 0.5, "Quality": "StatusGood (0x0)"},
            "name": "opc_server",
            "tags": {"asset": asset, "id": "ns=2;i=2"},
            "timestamp": stamp,
        }
        key = asset.encode()
        sent[asset, stamp] = time.perf_counter()
        value = json.dumps(record).encode()
        await producer.send(place.topics.input, value, key, place.partition(key))
        await asyncio.sleep(max(0.0, begin + (WARM_UP + number + 1) / rate - time.perf_counter()))
    await wait_for(lambda: sent.keys() <= seen.keys())
    reading.cancel()
    size = place.changelog_bytes() - before
    share = (job.cpu_s() - cpu) / (time.perf_counter() - measured)
    memory = job.peak_mb()
    job.stop()
    for client in (producer, reader):
        await client.stop()
    for key in warm:
        del sent[key]
    bare = sorted(1000 * (on_input[key] - at) for key, at in sent.items() if key in on_input)
    times = sorted(1000 * (seen[key] - at) for key, at in sent.items())
    return {
        "rate_per_s": rate,
        "p50_ms": round(statistics.median(times), 1),
        "p99_ms": round(times[int(len(times) * 0.99)], 1),
        "max_ms": round(times[-1], 1),
        # The same reader on the input: what Kafka and this machine alone take.
        "input_itself_p50_ms": round(statistics.median(bare), 1),
        "input_itself_p99_ms": round(bare[int(len(bare) * 0.99)], 1),
        "cpu_share": round(share, 2),
        "rss_mb": memory,
        "changelog_bytes_per_input": round(size / count, 1),
    }


def _each_variable(names: Sequence[str]) -> list[Message]:
    made = []
    for asset in names:
        for number, variable in enumerate(VARIABLES):
            record = {
                "fields": {variable.decode(): 1.5, "Quality": "StatusGood (0x0)"},
                "name": "opc_server",
                "tags": {"asset": asset, "id": f"ns=2;i={number + 2}"},
                "timestamp": START + number,
            }
            made.append((asset.encode(), json.dumps(record).encode()))
    return made


async def restore(place: Place, assets: int) -> Figures:
    """Read back windows of 60 s at the declared periods, 338 values an asset, all partitions."""
    await place.create()
    names = assets_of(assets)
    plan = plan_for(names)
    broker = await _joined(place)
    await broker.claim(range(place.partitions))
    begin = time.perf_counter()
    for number in range(place.partitions):
        state = State(plan, HORIZON_NS)
        for asset in names:
            if place.partition(asset.encode()) == number:
                _fill_window(state, asset)
        changelog = Changelog()
        processor = ModelProcessor(place.topics, number, state, 60_000)
        changelog.save_all(processor.keys())
        records = changelog.add(Position(0, 0), b"\x90", [], processor.snapshot)
        for place_ in range(0, len(records), 1000):
            part = records[place_ : place_ + 1000]
            await broker.send(number, {place.topics.changelog: part})
        await broker.commit({number: 0})
    written = time.perf_counter() - begin
    await broker.close()
    broker = await _joined(place)
    engine = make_engine(
        broker, plan, place.topics, horizon_ns=HORIZON_NS, lookback_ms=60_000,
        observer=ModelObserver(Metrics(CollectorRegistry()), Reports(structlog.get_logger())),
        log=structlog.get_logger(),
    )  # fmt: skip
    begin = time.perf_counter()
    while not engine.partitions:
        await engine.round()
    seconds = time.perf_counter() - begin
    await broker.close()
    return {
        "seconds": round(seconds, 2),
        "values_per_asset": 300 + 30 + 8,
        "changelog_mb": round(place.changelog_bytes() / 1e6, 1),
        "seconds_to_write_all": round(written, 2),
    }


async def _joined(place: Place) -> KafkaBroker:
    broker = KafkaBroker(place.address, "bench", place.topics)
    await broker.open()
    while broker.assignment is None:
        await broker.poll(0.01, 1)
    return broker


def _fill_window(state: State, asset: str) -> None:
    window = state.window(asset)
    assert window is not None
    for variable, every in ((2, 1), (0, 10), (1, 40)):
        for turn in range(0, 300, every):
            window.add(variable, START + turn * 200_000_000, turn * 0.5)
    window.count_as_given()


def quix_python(folder: Path) -> str:
    """A Python that has quixstreams, in an environment of the bench's own."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "quixstreams"], check=True)
    return python


def fetched(place: Place, count: int) -> Figures:
    """The limit: kcat fetches the same input and does nothing with it."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, JOB)
    begin = time.perf_counter()
    argv = ["kcat", "-C", "-b", place.address, "-t", place.topics.input, "-o", "beginning"]
    subprocess.run([*argv, "-e", "-q"], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - begin
    os.sched_setaffinity(0, own)
    return {"inputs_per_s": round(count / seconds), "seconds": round(seconds, 2)}


async def rounds(kafka: Kafka, made: Sequence[Message], count: int, quix: str) -> Figures:
    """One asset, one partition: ours and the peers, in turns."""
    found: dict[str, list[Figures]] = {
        "exactly_once": [], "plain": [], "quixstreams": [], "kcat": []
    }  # fmt: skip
    for _ in range(count):
        place = kafka.place(1, 1)
        await place.create()
        await place.fill(made)
        found["exactly_once"].append(await drain(place, made, [service(place, JOB)]))
        found["kcat"].append(fetched(place, len(made)))
        for name, python, part in (
            ("plain", sys.executable, made[: len(made) // 60]),
            ("quixstreams", quix, made[: len(made) // 5]),
        ):
            if python:
                place = kafka.place(1, 1)
                await place.create()
                await place.fill(part)
                script = "quix" if name == "quixstreams" else name
                job = peer(script, place, JOB, python)
                # Seen when they are written: quixstreams ends a transaction each 5 s only.
                found[name].append(await drain(place, part, [job], "read_uncommitted"))
    ours = statistics.median(float(str(f["inputs_per_cpu_s"])) for f in found["exactly_once"])
    ratios = {
        name: round(ours / statistics.median(float(str(f["inputs_per_cpu_s"])) for f in figures), 1)
        for name, figures in found.items()
        if figures and name not in ("exactly_once", "kcat")
    }
    return {**found, "times_faster_per_cpu_s_than": ratios}


async def main(options: argparse.Namespace, folder: Path) -> Figures:
    """All measurements, one after the other."""
    if shutil.which("kcat") is None:
        sys.exit("kcat is the limit beside it, and is not here: apt-get install kcat")
    quix = "" if options.without_quix else options.quix or quix_python(folder / "quix")
    figures: Figures = {"inputs": options.inputs, "machine": machine()}
    kafka = Kafka(folder, OTHERS)
    os.sched_setaffinity(0, OTHERS)
    try:
        made = messages(options.inputs, ["Sensors"])
        figures["one_asset"] = await rounds(kafka, made, options.rounds, quix)
        # The first is for the broker's compiler, too: all of them are shown.
        figures["latency_one_asset"] = [
            await latency(kafka.place(1, 1), 1, 10_000, 1000) for _ in range(3)
        ]
        os.sched_setaffinity(0, OTHERS)
        many = messages(options.inputs, assets_of(10_000))
        # So few inputs of so many assets are known too late; let each have them all at first.
        many = [*_each_variable(assets_of(10_000)), *many]
        scaling = []
        for cpus in ([JOB], [JOB, OTHERS]):
            place = kafka.place(10_000, 4)
            await place.create()
            await place.fill(many)
            jobs = [service(place, one) for one in cpus]
            scaling.append(await drain(place, many, jobs))
        figures["10000_assets"] = scaling[0]
        figures["10000_assets_two_instances"] = scaling[1]
        rates = [float(str(one["inputs_per_s"])) for one in scaling]
        figures["two_instances_times"] = round(rates[1] / rates[0], 2)
        figures["latency_10000_assets"] = await latency(
            kafka.place(10_000, 4), 10_000, 30_000, 1000
        )
        os.sched_setaffinity(0, JOB)
        figures["restore_10000_assets"] = await restore(kafka.place(10_000, 4), 10_000)
    finally:
        kafka.kill()
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-quix", action="store_true")
    parser.add_argument("--quix", default="", help="a Python that has quixstreams already")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(asyncio.run(main(parser.parse_args(), Path(scratch))), indent=1))
