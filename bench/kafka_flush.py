"""What it costs that Kafka has on disk what it has acknowledged.

    python bench/kafka_flush.py [--rounds 2] [--inputs 100000]

Prints one JSON object. Three brokers in turns: one that leaves flushing to the kernel (Kafka's
default), one that flushes each log a second after a write, one that flushes at each write. On each
the stream model, exactly-once: the latency at 1,000 inputs/s, and a backlog. Beside it the disk's
own `fdatasync` of 500 bytes. `--folder` must be on a real disk: on a tmpfs flushing is free.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import structlog
from stream_cluster import Kafka, machine, service
from stream_model_drain import messages
from stream_model_exactly_once import JOB, OTHERS, Figures, drain, latency

Variant = TypeVar("Variant")

POLICIES = {
    "kernel": "",
    "each_second": "log.flush.interval.ms=1000\nlog.flush.scheduler.interval.ms=1000\n",
    "each_write": "log.flush.interval.messages=1\n",
}


def fdatasync_ms(folder: Path) -> Figures:
    """The disk alone: 300 times 500 bytes."""
    times = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(300):
            file.write(b"x" * 500)
            begin = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(1000 * (time.perf_counter() - begin))
    times.sort()
    return {"p50": round(statistics.median(times), 2), "p99": round(times[296], 2)}


async def one(kafka: Kafka, inputs: int) -> Figures:
    """One broker: latency, then a backlog."""
    os.sched_setaffinity(0, JOB | OTHERS)
    shown = await latency(kafka.place(1, 1), 1, 10_000, 1000)
    os.sched_setaffinity(0, OTHERS)
    made = messages(inputs, ["Sensors"])
    place = kafka.place(1, 1)
    await place.create()
    await place.fill(made)
    return {"latency": shown, "backlog": await drain(place, made, [service(place, JOB)])}


async def in_turns(
    options: argparse.Namespace,
    folder: Path,
    variants: Mapping[str, Variant],
    measured: Callable[[Path, Variant, int], Awaitable[Figures]],
) -> dict[str, list[Figures]]:
    """Each variant in a folder of its own, all of them in each round."""
    found: dict[str, list[Figures]] = {name: [] for name in variants}
    for number in range(options.rounds):
        for name, variant in variants.items():
            place = folder / f"{name}-{number}"
            place.mkdir()
            found[name].append(await measured(place, variant, options.inputs))
    return found


def command_line(
    description: str | None,
    inputs: int,
    main: Callable[[argparse.Namespace, Path], Awaitable[Figures]],
) -> None:
    """Run a benchmark of brokers, and print its result."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--inputs", type=int, default=inputs)
    parser.add_argument("--folder", type=Path, default=None, help="where the logs go")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    asked = parser.parse_args()

    async def run(scratch: Path) -> Figures:
        return await main(asked, scratch)

    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        print(json.dumps(asyncio.run(run(Path(scratch))), indent=1))


async def measure(folder: Path, settings: str, inputs: int) -> Figures:
    """One policy."""
    kafka = Kafka(folder, OTHERS, settings)
    try:
        return await one(kafka, inputs)
    finally:
        kafka.kill()


async def main(options: argparse.Namespace, folder: Path) -> Figures:
    """All policies, in turns."""
    figures: Figures = {"machine": machine(), "fdatasync_ms": fdatasync_ms(folder)}
    return {**figures, **await in_turns(options, folder, POLICIES, measure)}


if __name__ == "__main__":
    command_line(__doc__, 100_000, main)
