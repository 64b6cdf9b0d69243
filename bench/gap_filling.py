"""A hole of an hour, filled while live values go on.

    python bench/gap_filling.py [--hours 1] [--variables 300] [--hertz 5] [--rate 15000]

Prints one JSON object. Our OPC UA server with a record of the hour before, the real Telegraf and
the real Kafka, each a process of this machine. First a minute of live values alone; then the gap
filler starts, finds the hour missing in Kafka, and fills it. Latencies are from the source time to
Kafka's append, in whole ms, of values that were produced meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from stream_cluster import ROOT, machine

sys.path[:0] = [
    str(ROOT / "pkgs" / name)
    for name in ("gap-filler/src", "gap-filler/tests", "opc-server/src", "stream-model/tests")
]

import msgspec  # noqa: E402
import numpy as np  # noqa: E402
from aiokafka import AIOKafkaConsumer, TopicPartition  # noqa: E402
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # noqa: E402
from fieldline.record import RecordWriter  # noqa: E402
from fieldline.site import load_site  # noqa: E402
from gap_filler_telegraf import telegraf  # noqa: E402
from opc_server.points import points_of  # noqa: E402
from stream_model_kafka import RealKafka, free_ports  # noqa: E402

SECOND = 1_000_000_000
PARTITIONS = 4
LIVE_S = 60
TYPE = """
[asset_types.bench.variables.V]
unit = "V"
period = "{period}ms"
source = {{ kind = "random-walk", start = 20, step = 1 }}
[[assets]]
names = ["asset{{1..{variables}}}"]
type = "bench"
server = "opc"
"""


class Record(msgspec.Struct, gc=False):
    """What is looked at of a record."""

    timestamp: int


decode = msgspec.json.Decoder(Record).decode


def sites(folder: Path, variables: int, hertz: int, port: int) -> tuple[Path, Path]:
    """The same plant as our server serves it, and as a collector on loopback has it."""
    text = (ROOT / "site.toml").read_text()
    before, _, rest = text.partition("[asset_types.")
    after = "[collection]" + rest.partition("[collection]")[2]
    # A load that would need more of a collector's memory than is declared.
    after = after.replace('outage = "10min"', 'outage = "1min"')
    body = before + TYPE.format(period=1000 // hertz, variables=variables) + after
    own, other = folder / "own.toml", folder / "other.toml"
    own.write_text(body)
    server = f'[servers.opc]\nendpoint = "opc.tcp://127.0.0.1:{port}"\nnamespace = 2'
    plc = body.replace('[servers.opc]\nhost = "opc"', server)
    head, _, tail = plc.partition("[hosts.opc]")
    plc = head + "[hosts.collector]" + tail.partition("[hosts.collector]")[2]
    plc = plc.replace('server = "opc"\n', 'server = "opc"\nnodes = "s={asset}.{variable}"\n')
    other.write_text(plc)
    return own, other


def record(site: Path, state: Path, since_ns: int, until_ns: int) -> int:
    """Give the server a past: the values of [since, until); how many."""
    points = points_of(load_site(site), "opc")
    writer = RecordWriter(state / "record", [p.recorded for p in points], 86_400_000)
    indices = np.arange(len(points))
    statuses = np.zeros(len(points), np.uint32)
    count = 0
    for time_ns in range(since_ns, until_ns, points[0].period_ns):
        writer.append(time_ns, indices, statuses, np.full(len(points), time_ns % 1000 / 7))
        count += len(points)
    writer.close()
    return count


@contextmanager
def process(log: Path, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program beside the Python that runs this."""
    with log.open("wb") as file:
        started = subprocess.Popen(
            [str(Path(sys.executable).parent / argv[0]), *argv[1:]], stdout=file, stderr=file
        )
    try:
        yield started
    finally:
        started.terminate()
        started.wait(60)


def serving(log: Path) -> None:
    """Wait until the server says that it serves."""
    while "serving" not in log.read_text():
        time.sleep(0.1)


class Watch:
    """Reads the topic: how much there is of the past, and how late live values are."""

    def __init__(self, bootstrap: str, live_ns: int) -> None:
        self._bootstrap = bootstrap
        self._live_ns = live_ns
        self.past = 0
        self.late_ms: list[float] = []

    async def run(self) -> None:
        """Read for ever."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap)
        await consumer.start()
        try:
            partitions = [TopicPartition("opc", number) for number in range(PARTITIONS)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning()
            while True:
                found = await consumer.getmany(timeout_ms=100, max_records=5000)
                for row in (row for rows in found.values() for row in rows):
                    source = decode(row.value).timestamp
                    if source < self._live_ns:
                        self.past += 1
                    else:
                        self.late_ms.append(row.timestamp - source / 1e6)
        finally:
            await consumer.stop()

    def latency(self) -> dict[str, float]:
        """Of what came since the last call."""
        taken, self.late_ms = self.late_ms, []
        if not taken:
            sys.exit("no live value came")
        p50, p99 = np.percentile(taken, [50, 99])
        largest = round(max(taken), 1)
        return {
            "values": len(taken),
            "p50_ms": round(float(p50), 1),
            "p99_ms": round(float(p99), 1),
            "max_ms": largest,
        }


def scraped(port: int) -> dict[str, float]:
    """The gap filler's metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    rows = (line.rsplit(" ", 1) for line in lines if line and line[0] != "#")
    return {name: float(value) for name, value in rows}


def peak_mb(pid: int) -> float:
    """The most that a process has had in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("VmHWM:")]
    return round(int(line.split()[1]) / 1024, 1)


def cpu_s(pid: int) -> float:
    """Processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The whole benchmark."""
    about = machine()
    port, server_metrics, metrics = free_ports(3)
    own, other = sites(folder, options.variables, options.hertz, port)
    now = time.time_ns() // SECOND * SECOND
    state = folder / "server"
    values = record(own, state, now - round(options.hours * 3600) * SECOND, now)
    print(f"{values} values are on the server's record", file=sys.stderr, flush=True)
    kafka = RealKafka(folder)
    kafka.start()
    with ExitStack() as stack:
        stack.callback(kafka.kill)
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
        await admin.start()
        append = {"message.timestamp.type": "LogAppendTime"}
        await admin.create_topics(
            [
                NewTopic("opc", PARTITIONS, 1, topic_configs=append),
                *(NewTopic(f"opc.{name}", 1, 1) for name in ("ledger", "refill")),
            ]
        )
        await admin.close()
        server = stack.enter_context(
            process(
                folder / "server.log",
                *("opc-server", "--site", str(own), "--server", "opc", "--state", str(state)),
                *("--listen", f"127.0.0.1:{port}", "--metrics", f"127.0.0.1:{server_metrics}"),
            )
        )
        await asyncio.to_thread(serving, folder / "server.log")
        stack.enter_context(telegraf(folder, other, "collector", kafka.address, "opc"))
        # Live is what is produced when all of it runs.
        live_ns = time.time_ns() + 10 * SECOND
        watch = Watch(kafka.address, live_ns)
        watching = asyncio.create_task(watch.run())
        await asyncio.sleep(10 + LIVE_S)
        before = watch.latency()
        collected = watch.past
        filler = stack.enter_context(
            process(
                folder / "filler.log",
                *("gap-filler", "--site", str(other), "--collector", "collector"),
                *("--bootstrap-servers", kafka.address, "--state", str(folder / "filler")),
                *("--metrics", f"127.0.0.1:{metrics}", "--rate", str(options.rate)),
            )
        )
        begun, server_cpu = time.monotonic(), cpu_s(server.pid)
        shown = 0.0
        position = 'gap_filler_position_seconds{server="opc"}'
        while shown < now / 1e9:
            await asyncio.sleep(1)
            if filler.poll() is not None:
                sys.exit((folder / "filler.log").read_text())
            try:
                shown = scraped(metrics).get(position, 0.0)
            except OSError:
                continue
            filled = watch.past - collected
            print(f"{time.monotonic() - begun:5.0f} s  {filled} filled", file=sys.stderr)
        seconds = time.monotonic() - begun
        during = watch.latency()
        cpu = {"gap_filler": cpu_s(filler.pid), "opc_server": cpu_s(server.pid) - server_cpu}
        await asyncio.sleep(1)
        watching.cancel()
        return {
            "machine": about,
            "variables": options.variables,
            "hertz": options.hertz,
            "hours": options.hours,
            "rate_limit": options.rate,
            "hole": {
                "values": values,
                "filled": round(scraped(metrics)['gap_filler_filled_values_total{server="opc"}']),
                "seconds": round(seconds, 1),
                "values_per_s": round(values / seconds),
            },
            "live_before": before,
            "live_during": during,
            "cpu_s": {name: round(value, 1) for name, value in cpu.items()},
            "peak_mb": peak_mb(filler.pid),
        }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Fill a hole while live values go on.")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--variables", type=int, default=300)
    parser.add_argument("--hertz", type=int, default=5)
    parser.add_argument("--rate", type=int, default=15_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(measured(options, Path(folder)))))


if __name__ == "__main__":
    main()
