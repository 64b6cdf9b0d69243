"""A hole of hours that is filled on a real Kafka: the recomputation, and live results meanwhile.

    python bench/stream_model_recompute.py [--inputs 300000] [--rate 200]

Prints one JSON object. The middle third of the inputs of one asset comes after all the others,
while new ones go on at a steady rate. A latency is from sending an input to seeing its result, as
a reader of committed records does: `before`, and `meanwhile` (by the time of sending, from the
begin of the recomputation to its end).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import stream_model_drain
from stream_cluster import Kafka, Place, machine, service

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer  # isort: skip
from stream_model.repairs import REVISION

CORES = sorted(os.sched_getaffinity(0))
JOB, OTHERS = {CORES[0]}, set(CORES[1:]) or {CORES[0]}
ASSET = "Sensors"
# Before a latency counts, for the broker's compiler; and how long it is measured then.
WARM_S, BEFORE_S = 5.0, 10.0


class Results:
    """Reads the results: when each was seen, and when those that were given again came."""

    def __init__(self, place: Place) -> None:
        self.seen: dict[int, float] = {}
        self.again: list[float] = []
        self._arrived = asyncio.Condition()
        self._consumer = AIOKafkaConsumer(
            place.topics.outputs[0], bootstrap_servers=place.address,
            isolation_level="read_committed", auto_offset_reset="earliest",
        )  # fmt: skip

    async def read(self) -> None:
        """Go on until cancelled."""
        await self._consumer.start()
        try:
            while True:
                for records in (await self._consumer.getmany(timeout_ms=50)).values():
                    now = time.perf_counter()
                    for record in records:
                        item = json.loads(record.value or b"")
                        if item["revision"] >= REVISION:
                            self.again.append(now)
                        else:
                            self.seen.setdefault(item["timestamp"], now)
                async with self._arrived:
                    self._arrived.notify_all()
        finally:
            await self._consumer.stop()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something."""
        async with asyncio.timeout(300), self._arrived:
            await self._arrived.wait_for(condition)


def latencies(sent: dict[int, float], seen: dict[int, float], begin: float, end: float) -> object:
    """Of what was sent within these times."""
    found = sorted(1000 * (seen[stamp] - at) for stamp, at in sent.items() if begin <= at < end)
    return {
        "inputs": len(found),
        "p50_ms": round(statistics.median(found), 1),
        "p99_ms": round(found[int(len(found) * 0.99)], 1),
        "max_ms": round(found[-1], 1),
    }


async def measure(place: Place, count: int, rate: float) -> dict[str, object]:
    """Drain all but the hole, go on live, fill the hole."""
    os.sched_setaffinity(0, OTHERS)
    await place.create()
    # Late values must not be older than the topic's retention.
    per_s = 5 * (1 + 1 / 10 + 1 / 40)
    stream_model_drain.START = time.time_ns() - int((count / per_s + 60) * 10**9)
    made = stream_model_drain.messages(count, [ASSET])
    third = count // 3
    await place.fill([*made[:third], *made[2 * third :]])
    job = service(place, JOB)
    results = Results(place)
    reading = asyncio.ensure_future(results.read())
    await results.until(lambda: len(results.seen) >= 2 * third - 100)
    producer = AIOKafkaProducer(bootstrap_servers=place.address, acks="all")
    await producer.start()
    sent: dict[int, float] = {}
    stop = asyncio.Event()

    async def live() -> None:
        begin, number = time.perf_counter(), 0
        base = time.time_ns()
        while not stop.is_set():
            stamp = base + number * 1000
            record = {
                "fields": {"Temperature": number * 0.5, "Quality": "StatusGood (0x0)"},
                "name": "opc_server",
                "tags": {"asset": ASSET, "id": "ns=2;i=2"},
                "timestamp": stamp,
            }
            sent[stamp] = time.perf_counter()
            key = ASSET.encode()
            value = json.dumps(record).encode()
            await producer.send(place.topics.input, value, key, place.partition(key))
            number += 1
            await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))

    going = asyncio.ensure_future(live())
    await asyncio.sleep(WARM_S)
    warm = time.perf_counter()
    await asyncio.sleep(BEFORE_S)
    filling = time.perf_counter()
    await place.fill(made[third : 2 * third])
    filled = time.perf_counter()
    await results.until(lambda: bool(results.again))
    cpu = job.cpu_s()
    await results.until(lambda: len(results.again) >= 2 * third)
    cpu = job.cpu_s() - cpu
    first, last = results.again[0], results.again[-1]
    await asyncio.sleep(1.0)
    stop.set()
    await going
    await results.until(lambda: sent.keys() <= results.seen.keys())
    reading.cancel()
    await producer.stop()
    memory = job.peak_mb()
    job.stop()
    return {
        "inputs": count,
        "hole": third,
        "rate_per_s": rate,
        "machine": machine(),
        "before": latencies(sent, results.seen, warm, filling),
        "while_filled": latencies(sent, results.seen, filling, filled + 1.0),
        "meanwhile": latencies(sent, results.seen, first - 1.0, last),
        "results_given_again": len(results.again),
        "seconds_from_filled_to_first": round(first - filled, 1),
        "seconds_from_first_to_last": round(last - first, 1),
        "cpu_s_from_first_to_last": round(cpu, 1),
        "rss_mb": memory,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=300_000)
    parser.add_argument("--rate", type=float, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        kafka = Kafka(Path(scratch), OTHERS)
        try:
            figures = asyncio.run(measure(kafka.place(1, 1), options.inputs, options.rate))
        finally:
            kafka.kill()
    print(json.dumps(figures, indent=1))
