"""What the JVM's options cost and give: a broker with its defaults, and one as a small host has it.

    python bench/kafka_jvm.py [--rounds 2] [--inputs 200000]

Prints one JSON object. Two brokers in turns, both with 256 MiB of heap and with each write flushed:
one with the JVM's own choice (on two cores and 2 GB: G1, both compilers), one with the serial
collector and the first compiler only, as lib/kafka.nix has it up to 8 GiB. On each: the start until
the port answers, then the stream model, exactly-once: the latency at 1,000 inputs/s, and a backlog;
and the broker's processor time for all of that. Neither maps an archive of Kafka's classes, which
in a lab saves both another second (fieldline_lab.cds).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

import structlog
from kafka_flush import POLICIES, one
from stream_cluster import Kafka, cpu_s, machine, peak_mb
from stream_model_exactly_once import OTHERS, Figures

HEAP = ("-Xms256m", "-Xmx256m")
OPTIONS = {
    "defaults": HEAP,
    "small_host": (*HEAP, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
}


async def measured(folder: Path, java: tuple[str, ...], inputs: int) -> Figures:
    """One broker, from its start."""
    kafka = Kafka(folder, OTHERS, POLICIES["each_write"], java)
    try:
        start = {"s": round(kafka.started_s, 2), "cpu_s": cpu_s(kafka.pid)}
        shown = await one(kafka, inputs)
        return {"start": start, **shown, "cpu_s": cpu_s(kafka.pid), "peak_mb": peak_mb(kafka.pid)}
    finally:
        kafka.kill()


async def main(options: argparse.Namespace, folder: Path) -> Figures:
    """Both, in turns."""
    found: dict[str, list[Figures]] = {name: [] for name in OPTIONS}
    for number in range(options.rounds):
        for name, java in OPTIONS.items():
            place = folder / f"{name}-{number}"
            place.mkdir()
            found[name].append(await measured(place, java, options.inputs))
    return {"machine": machine(), **found}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, default=None, help="where the logs go")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        print(json.dumps(asyncio.run(main(asked, Path(scratch))), indent=1))
