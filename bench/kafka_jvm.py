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
from pathlib import Path

from kafka_flush import POLICIES, command_line, in_turns, one
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
    return {"machine": machine(), **await in_turns(options, folder, OPTIONS, measured)}


if __name__ == "__main__":
    command_line(__doc__, 200_000, main)
