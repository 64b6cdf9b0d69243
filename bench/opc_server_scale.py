"""How far one opc-server goes: prints JSON.

Measured: seconds to add 10,000 variables in 1,000 assets to the address space, and, on a server
with 3,000 variables at 1 Hz with one subscribed client for 20 s: overruns, lateness, CPU, and
whether the client got every value recorded. The server runs in a process of its own; its client
is this one, on the same machine.

    PYTHONPATH=pkgs/fieldline/src:pkgs/opc-server/src python bench/opc_server_scale.py
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from asyncua import ua
from asyncua.client.client import Client
from fieldline.record import RecordTable, fetch_record
from fieldline.site import load_site
from opc_server.address_space import build
from opc_server.opcua import Server
from opc_server.points import NAMESPACE_URI, points_of

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
[topics.opc]
[topics.model]
[influxdb]
organization = "o"
bucket = "b"
user = "u"
[[assets]]
names = ["asset{0001..%04d}"]
type = "machine"
server = "opc"
"""
VARIABLE = """
[asset_types.machine.variables.v%d]
unit = "°C"
range = [-50, 150]
period = "1s"
source = { kind = "random-walk", start = 20, step = 1 }
"""
PER_ASSET = 10
# Telegraf adds nodes to a subscription in such portions too.
PORTION = 500


def write_site(directory: Path, variables: int) -> Path:
    """A site with that many variables, ten to an asset, each once a second."""
    path = directory / f"{variables}.toml"
    types = "".join(VARIABLE % number for number in range(PER_ASSET))
    path.write_text(SITE % (variables // PER_ASSET) + types)
    return path


async def adding(directory: Path, variables: int) -> dict[str, float]:
    """Seconds for OPC UA's own address space, and for the variables."""
    points = points_of(load_site(write_site(directory, variables)), "opc")
    server = Server()
    # As the service does it while it starts.
    gc.disable()
    begun = time.perf_counter()
    await server.init()
    await server.register_namespace(NAMESPACE_URI)
    own, cpu = time.perf_counter(), time.process_time()
    build(server, points)
    gc.enable()
    return {
        "variables": len(points),
        "assets": len(points) // PER_ASSET,
        "standard_address_space_s": round(own - begun, 2),
        "adding_variables_s": round(time.perf_counter() - own, 2),
        "adding_variables_cpu_s": round(time.process_time() - cpu, 2),
    }


class Heard:
    """Counts what comes, and keeps each source time's count."""

    def __init__(self) -> None:
        self.values = 0
        self.pairs: set[tuple[ua.NodeId, Any]] = set()

    def datachange_notification(self, node: Any, _value: object, data: Any) -> None:
        """asyncua calls this for each value."""
        self.values += 1
        self.pairs.add((node.nodeid, data.monitored_item.Value.SourceTimestamp))


def scrape(url: str) -> dict[str, float]:
    """The server's metrics."""
    with urlopen(url + "/metrics", timeout=10) as answer:
        text = answer.read().decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _space, value in lines}


def recorded(table: RecordTable, since_ns: int, until_ns: int) -> set[tuple[str, int]]:
    """(node id, source time in µs) of each recorded value in the interval."""
    inside = (table.time >= since_ns) & (table.time < until_ns)
    times = (table.time[inside] // 1000).tolist()
    places = table.variable[inside].tolist()
    return {(table.variables[place].id, at) for place, at in zip(places, times, strict=True)}


async def running(directory: Path, variables: int, seconds: float) -> dict[str, object]:
    """Run a server and one client of all its variables."""
    site = write_site(directory, variables)
    command = [sys.executable, "-m", "opc_server.cli", "--site", str(site), "--server", "opc"]
    command += ["--state", str(directory / "state"), "--listen", "127.0.0.1:0"]
    begun = time.perf_counter()
    child = await asyncio.create_subprocess_exec(
        *command, "--metrics", "127.0.0.1:0", stderr=subprocess.PIPE
    )
    assert child.stderr is not None
    serving = json.loads(await child.stderr.readline())
    started = time.perf_counter() - begun
    http = f"http://127.0.0.1:{serving['metrics_port']}"
    heard = Heard()
    try:
        async with Client(f"opc.tcp://127.0.0.1:{serving['port']}/") as client:
            subscription = await client.create_subscription(100, heard, queue_maxsize=100_000)
            points = points_of(load_site(site), "opc")
            nodes = [client.get_node(point.node) for point in points]
            for first in range(0, len(nodes), PORTION):
                await subscription.subscribe_data_change(
                    nodes[first : first + PORTION], queuesize=10
                )
            await asyncio.sleep(2)
            before, since_ns, at = (
                await asyncio.to_thread(scrape, http),
                time.time_ns(),
                time.time(),
            )
            await asyncio.sleep(seconds)
            after, until_ns = await asyncio.to_thread(scrape, http), time.time_ns()
            took = time.time() - at
            # What is on its way still arrives.
            await asyncio.sleep(2)
            table = await asyncio.to_thread(fetch_record, http, since_ns, until_ns)
    finally:
        child.terminate()
        await child.wait()
    produced = recorded(table, since_ns, until_ns)
    got = {(node.to_string(), round(when.timestamp() * 1e6)) for node, when in heard.pairs}
    ticks = np.unique(table.time)

    def change(name: str) -> float:
        return after[name] - before[name]

    return {
        "variables": variables,
        "seconds": round(took, 1),
        "start_to_serving_s": round(started, 2),
        "values_produced": int(change("opc_server_values_total")),
        "values_recorded": len(produced),
        "values_recorded_and_not_heard_by_the_client": len(produced - got),
        "overruns": int(change("opc_server_overruns_total")),
        "lateness_mean_ms": round(
            1e3
            * change("opc_server_lateness_seconds_sum")
            / max(1, change("opc_server_lateness_seconds_count")),
            2,
        ),
        "lateness_max_since_start_ms": round(1e3 * after["opc_server_lateness_max_seconds"], 1),
        "interval_of_ticks_ms": [
            round(float(np.diff(ticks).min()) / 1e6, 1),
            round(float(np.diff(ticks).max()) / 1e6, 1),
        ],
        "server_cpu_cores": round(change("process_cpu_seconds_total") / took, 3),
        "server_cpu_us_per_value": round(
            1e6 * change("process_cpu_seconds_total") / change("opc_server_values_total"), 1
        ),
        "server_resident_mib": round(after["process_resident_memory_bytes"] / 2**20),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--add", type=int, default=10_000, help="variables to add")
    parser.add_argument("--run", type=int, default=3_000, help="variables to run")
    parser.add_argument("--seconds", type=float, default=20.0)
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
            "adding": asyncio.run(adding(directory, arguments.add)),
            "running": asyncio.run(running(directory, arguments.run, arguments.seconds)),
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
