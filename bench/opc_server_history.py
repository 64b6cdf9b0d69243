"""What the OPC UA server's record and its history cost: prints JSON.

Measured, with the server in a process of its own:
- the CPU of a server with 200 variables at 5 Hz and one subscribed client, with the record flushed
  every 10 s, with the record flushed at each tick, and without any record;
- reading 1 h of 300 variables at 5 Hz (5.4 million values) with asyncua's client, while the server
  goes on publishing the same variables to a subscribed client in a third process;
- counting the values of all these variables in one request.

    PYTHONPATH=pkgs/fieldline/src:pkgs/opc-server/src python bench/opc_server_history.py
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.object_ids import ObjectIds
from fieldline.record import RecordWriter
from fieldline.record.reader import size_bytes
from fieldline.site import load_site
from opc_server.points import Point, points_of

SITE = """
schema = 1
[network]
gateway = "192.168.0.1"
nameservers = ["192.168.0.1"]
prefix = 24
[hosts.opc]
address = "192.168.0.5"
platforms = ["vbox"]
roles = ["opc-server", "collector", "kafka", "writer", "influxdb"]
memory = 65536
[servers.opc]
host = "opc"
seed = 1
record_flush = "%s"
[topics.opc]
[topics.model]
[influxdb]
organization = "o"
bucket = "b"
user = "u"
[[assets]]
names = ["asset{001..%03d}"]
type = "machine"
server = "opc"
"""
VARIABLE = """
[asset_types.machine.variables.v%d]
unit = "°C"
period = "200ms"
source = { kind = "random-walk", start = 20, step = 1 }
"""
PER_ASSET = 10
HERTZ = 5
HOUR_S = 3600
# A server that does all but recording: what the record costs is the difference.
WITHOUT_RECORD = """
from fieldline.record import RecordWriter
RecordWriter.append = lambda self, *_: None
RecordWriter.sync = lambda self: None
from opc_server.cli import main
main()
"""
# That difference is small beside what runs vary by, so that the record's own CPU is measured too:
# the time that its threads spend in it, said at the end.
WITH_CLOCK = """
import atexit, json, sys, time
from fieldline.record import RecordWriter
spent = {"cpu_s": 0.0, "values": 0}
def clocked(method, count):
    def call(self, *arguments):
        begun = time.thread_time()
        try:
            return method(self, *arguments)
        finally:
            spent["cpu_s"] += time.thread_time() - begun
            spent["values"] += count(arguments)
    return call
RecordWriter.append = clocked(RecordWriter.append, lambda arguments: len(arguments[1]))
RecordWriter.sync = clocked(RecordWriter.sync, lambda arguments: 0)
atexit.register(lambda: print(json.dumps(spent), file=sys.stderr))
from opc_server.cli import main
main()
"""
# As a collector: one subscription to everything.
SUBSCRIBER = """
import asyncio, sys
from asyncua.client.client import Client
class Handler:
    def datachange_notification(self, node, value, data): pass
async def main():
    async with Client(sys.argv[1]) as client:
        subscription = await client.create_subscription(200, Handler(), queue_maxsize=100_000)
        nodes = [client.get_node(text) for text in sys.stdin.read().split()]
        await subscription.subscribe_data_change(nodes, queuesize=100)
        print("subscribed", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def site_of(directory: Path, variables: int, flush: str) -> tuple[Path, list[Point]]:
    """A site with that many variables at 5 Hz, ten to an asset."""
    path = directory / f"{variables}-{flush}.toml"
    types = "".join(VARIABLE % number for number in range(PER_ASSET))
    path.write_text(SITE % (flush, variables // PER_ASSET) + types)
    return path, points_of(load_site(path), "opc")


@dataclass
class Running:
    """A server with its subscriber."""

    url: str
    http: str
    last: dict[str, float] | None = None

    def metrics(self) -> dict[str, float]:
        """What Prometheus would read."""
        with urlopen(self.http + "/metrics", timeout=10) as answer:
            text = answer.read().decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _space, value in lines}

    async def over(self, seconds: float) -> dict[str, float]:
        """The change of all metrics over a while, and the `seconds` it took."""
        before, begun = await asyncio.to_thread(self.metrics), time.perf_counter()
        await asyncio.sleep(seconds)
        after = await asyncio.to_thread(self.metrics)
        took = time.perf_counter() - begun
        return {name: after[name] - before.get(name, 0) for name in after} | {"seconds": took}


@asynccontextmanager
async def running(
    site: Path, state: Path, points: list[Point], code: str = ""
) -> AsyncIterator[Running]:
    """Run a server, and one client that has subscribed to all its variables."""
    program = ["-c", code] if code else ["-m", "opc_server.cli"]
    options = ["--site", str(site), "--server", "opc", "--state", str(state)]
    ports = ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]
    server = await asyncio.create_subprocess_exec(
        sys.executable, *program, *options, *ports, stderr=subprocess.PIPE
    )
    assert server.stderr is not None
    subscriber = None
    try:
        serving = json.loads(await server.stderr.readline())
        made = Running(
            f"opc.tcp://127.0.0.1:{serving['port']}/",
            f"http://127.0.0.1:{serving['metrics_port']}",
        )
        subscriber = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", SUBSCRIBER, made.url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert subscriber.stdin is not None
        assert subscriber.stdout is not None
        subscriber.stdin.write(" ".join(point.node.to_string() for point in points).encode())
        subscriber.stdin.close()
        await subscriber.stdout.readline()
        await asyncio.sleep(3)
        yield made
    finally:
        for child in (subscriber, server):
            if child is not None:
                child.terminate()
                await child.wait()
        said = (await server.stderr.read()).splitlines()
        if code == WITH_CLOCK:
            made.last = json.loads(said[-1])


async def recording(directory: Path, seconds: float, rounds: int) -> dict[str, Any]:
    """The server's CPU with and without the record, in turns."""
    kinds = {
        "flush_10_s": ("10s", WITH_CLOCK),
        "flush_each_tick": ("0s", WITH_CLOCK),
        "none": ("10s", WITHOUT_RECORD),
    }
    found: dict[str, dict[str, list[float]]] = {
        kind: {"server_us_per_value": [], "record_us_per_value": [], "flush_ms": []}
        for kind in kinds
    }
    size: list[float] = []
    for number in range(rounds):
        for kind, (flush, code) in kinds.items():
            site, points = site_of(directory, 200, flush)
            async with running(site, directory / f"{kind}-{number}", points, code) as server:
                change = await server.over(seconds)
            values = change["opc_server_values_total"]
            cpu = 1e6 * change["process_cpu_seconds_total"] / values
            found[kind]["server_us_per_value"].append(round(cpu, 2))
            if server.last is not None:
                own = 1e6 * server.last["cpu_s"] / server.last["values"]
                found[kind]["record_us_per_value"].append(round(own, 2))
                count = max(1, change["opc_server_record_flush_seconds_count"])
                flushed = 1e3 * change["opc_server_record_flush_seconds_sum"] / count
                found[kind]["flush_ms"].append(round(flushed, 2))
                size.append(change["opc_server_record_bytes_total"] / values)
    result: dict[str, Any] = dict(found)
    without = float(np.median(found["none"]["server_us_per_value"]))
    for kind in ("flush_10_s", "flush_each_tick"):
        cpu = float(np.median(found[kind]["server_us_per_value"]))
        own = float(np.median(found[kind]["record_us_per_value"]))
        result[kind] |= {
            "share_percent": round(100 * own / cpu, 1),
            "more_than_without_percent": round(100 * (cpu - without) / without, 1),
        }
    return result | {"bytes_per_value": round(float(np.mean(size)), 2)}


def fill(state: Path, points: list[Point], until_ns: int) -> dict[str, float]:
    """Write an hour of all variables, as the server does; what it cost."""
    writer = RecordWriter(state / "record", [point.recorded for point in points], 86_400_000)
    places, statuses = np.arange(len(points)), np.zeros(len(points), np.uint32)
    rng = np.random.default_rng(1)
    ticks = HOUR_S * HERTZ
    begun = time.process_time()
    for tick in range(ticks):
        time_ns = until_ns - (ticks - tick) * 1_000_000_000 // HERTZ
        writer.append(time_ns - time_ns % 1000, places, statuses, rng.random(len(points)))
    took = time.process_time() - begun
    writer.close()
    values = ticks * len(points)
    size = size_bytes(state / "record")
    return {
        "values": values,
        "bytes_per_value": round(size / values, 3),
        "append_us_per_value": round(1e6 * took / values, 3),
    }


def at(time_ns: int) -> Any:
    """A time for asyncua's client."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_ns // 1000)


async def read_together(client: Client, points: list[Point], details: Any) -> tuple[int, int, Any]:
    """All variables in one request, and again until none is left; (values, answers, sum)."""
    left: dict[ua.NodeId, bytes | None] = {point.node: None for point in points}
    values = answers = 0
    total = 0.0
    while left:
        nodes = [
            ua.HistoryReadValueId(node, None, ua.QualifiedName(), p) for node, p in left.items()
        ]
        asked = ua.HistoryReadParameters(details, ua.TimestampsToReturn.Source, False, nodes)
        results = await client.uaclient.history_read(asked)
        answers += 1
        for node, result in zip(list(left), results, strict=True):
            result.StatusCode.check()
            found = result.HistoryData.DataValues
            values += len(found)
            total += sum(value.Value.Value for value in found)
            left[node] = result.ContinuationPoint
            if result.ContinuationPoint is None:
                del left[node]
    return values, answers, total


async def reading(directory: Path, variables: int) -> dict[str, Any]:
    """Read the hour back while the server publishes."""
    site, points = site_of(directory, variables, "10s")
    state = directory / "state-history"
    until_ns = time.time_ns() - 10_000_000_000
    filled = fill(state, points, until_ns)
    since, until = at(until_ns - HOUR_S * 1_000_000_000), at(until_ns)
    async with running(site, state, points) as server:
        idle = await server.over(10)
        idle_cores = idle["process_cpu_seconds_total"] / idle["seconds"]
        resident = (await asyncio.to_thread(server.metrics))["process_resident_memory_bytes"]
        # On a busy machine the server may not be probed each second.
        async with Client(server.url, timeout=30, watchdog_intervall=10) as client:
            before, begun, cpu = server.metrics(), time.perf_counter(), time.process_time()
            details = ua.ReadRawModifiedDetails(False, since, until, 0, False)
            values, answers, _total = await read_together(client, points, details)
            cpu, took = time.process_time() - cpu, time.perf_counter() - begun
            after = server.metrics()
            change = {name: after[name] - before.get(name, 0) for name in after}
            own = change["process_cpu_seconds_total"] - idle_cores * took
            produced = change["opc_server_values_total"]
            together = {
                "values": values,
                "answers": answers,
                "seconds": round(took, 1),
                "values_per_s": round(values / took),
                "client_cpu_us_per_value": round(1e6 * cpu / values, 2),
                "server_cpu_us_per_value": round(1e6 * own / values, 2),
                "server_read_and_encode_us_per_value": round(
                    1e6 * change["opc_server_history_seconds_total"] / values, 2
                ),
                "meanwhile": {
                    "values_published": round(produced),
                    "values_due": round(took * variables * HERTZ),
                    "ticks_skipped": round(change["opc_server_overruns_total"]),
                    "lateness_mean_ms": round(
                        1e3
                        * change["opc_server_lateness_seconds_sum"]
                        / max(1, change["opc_server_lateness_seconds_count"]),
                        2,
                    ),
                    "ticks_later_than_50_ms": round(
                        change["opc_server_lateness_seconds_count"]
                        - change['opc_server_lateness_seconds_bucket{le="0.05"}']
                    ),
                },
                "resident_mib_before_and_after": [
                    round(resident / 2**20),
                    round(after["process_resident_memory_bytes"] / 2**20),
                ],
            }
            alone = await one_by_one(client, points[:10], since, until)
            counted = await counting(client, points, until_ns)
    return {"recorded": filled, "together": together, "one_by_one": alone, "count": counted}


async def one_by_one(client: Client, points: list[Point], since: Any, until: Any) -> dict[str, Any]:
    """As asyncua's `read_raw_history` does it."""
    begun, values = time.perf_counter(), 0
    for point in points:
        node = client.get_node(point.node)
        values += len(await node.read_raw_history(since, until, return_bounds=False))
    took = time.perf_counter() - begun
    return {"values": values, "seconds": round(took, 2), "values_per_s": round(values / took)}


async def counting(client: Client, points: list[Point], until_ns: int) -> dict[str, Any]:
    """Milliseconds to count the values of all variables, answers included."""
    kind = ua.NodeId(ObjectIds.AggregateFunction_Count)
    found: dict[str, Any] = {"variables": len(points)}
    for name, length_s, step_s in (
        ("the last minute", 60, 0),
        ("an hour", HOUR_S, 0),
        ("an hour by the minute", HOUR_S, 60),
    ):
        since = at(until_ns - length_s * 1_000_000_000)
        details = ua.ReadProcessedDetails(since, at(until_ns), step_s * 1000, [kind] * len(points))
        times = []
        for _ in range(5):
            begun = time.perf_counter()
            _count, answers, total = await read_together(client, points, details)
            times.append(time.perf_counter() - begun)
        found[name] = {
            "values": int(total),
            "answers": answers,
            "median_ms": round(1e3 * float(np.median(times)), 1),
        }
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="for each run of a server")
    parser.add_argument("--rounds", type=int, default=3, help="with and without the record")
    parser.add_argument("--variables", type=int, default=300, help="whose history is read")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        load = os.getloadavg()[0]
        result = {
            "machine": {
                "cpus": os.cpu_count(),
                "python": platform.python_version(),
                "load_before": round(load, 1),
            },
            "recording": asyncio.run(recording(directory, arguments.seconds, arguments.rounds)),
            "reading": asyncio.run(reading(directory, arguments.variables)),
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
