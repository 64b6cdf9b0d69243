"""The service as systemd starts it, and what it must have written."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from fieldline.messages import OpcValue, decode_result
from stream_model_kafka import PARTITIONS, KafkaCluster
from stream_model_reference import SECOND, START, value
from stream_model_run import telegraf

SITE = Path(__file__).parents[3] / "site.toml"
VARIABLES = ("Temperature", "Pressure", "SlowSensor")


class Instance:
    """One process of the service, with the socket on which it speaks to systemd."""

    def __init__(self, cluster: KafkaCluster, folder: Path, site: Path) -> None:
        self._settings = cluster.settings
        self._site = site
        self.folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(folder / "notify"))
        self._notify.setblocking(False)
        self._heard = asyncio.Event()
        self.told = ""

    async def start(self) -> None:
        # Always, as systemd does: a process that is not listened to would stand still.
        asyncio.get_running_loop().add_reader(self._notify, self._hear)
        settings = self._settings
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "stream_model", "--site", str(self._site),
                "--bootstrap-servers", settings.bootstrap_servers, "--input", settings.input,
                "--output", settings.output, "--dead-letter", settings.dead_letter,
                "--changelog", settings.changelog,
                "--group", settings.group, "--metrics", "127.0.0.1:0", stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path),
                     "NOTIFY_SOCKET": str(self.folder / "notify"), "WATCHDOG_USEC": "10000000"},
            )  # fmt: skip

    def _hear(self) -> None:
        self.told += self._notify.recv(4096).decode() + "\n"
        self._heard.set()

    async def until_told(self, text: str, timeout_s: float = 60) -> None:
        """Wait for a message to the service manager."""
        try:
            async with asyncio.timeout(timeout_s):
                while text not in self.told:
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            pytest.fail(f"not told: {text}\n{self.told}\n{self.log()}")
        self.told = ""

    def signal(self, number: int) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self, timeout_s: float = 30) -> int:
        """Wait until it ends by itself; gives the exit code."""
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), timeout_s)

    async def end(self, number: int) -> int:
        """Send a signal and give the exit code."""
        self.signal(number)
        return await self.ended(10)

    def events(self) -> list[dict[str, object]]:
        lines = (self.folder / "log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._notify)
        self._notify.close()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


def plant_site(folder: Path, assets: int) -> Path:
    """The demonstration plant with so many more assets of its kind, `a1` and on."""
    text = SITE.read_text()
    more = f'\n[[assets]]\nnames = ["a{{1..{assets}}}"]\ntype = "sensors"\nserver = "opc"\n'
    path = folder / "site.toml"
    path.write_text(text + more)
    return path


def inputs(count: int, start: int = 0, asset: str = "Sensors") -> list[OpcValue]:
    """Values of an asset of the demonstration plant's kind, in order of time."""
    return [
        value(asset, VARIABLES[n % 3], START + n * SECOND // 100, n % 97 + 0.5)
        for n in range(start, start + count)
    ]


def expected(items: Sequence[OpcValue]) -> dict[tuple[str, str, int], float]:
    """By the definition, computed over the whole recording, in order of time for each asset."""
    known: dict[str, dict[str, float]] = {}
    results = {}
    for item in sorted(items, key=lambda item: item.time):
        state = known.setdefault(item.asset, {})
        state[item.variable] = float(item.value or 0)
        if len(state) == 3:
            row = [state[name] for name in VARIABLES]
            results[item.asset, "model1", item.time] = sum(row) / 3
            results[item.asset, "model2", item.time] = (row[0] * row[1] * row[2]) ** (1 / 3)
    return results


async def produce(cluster: KafkaCluster, items: Sequence[OpcValue]) -> None:
    """Write values, each asset to a partition of its own choice."""
    parts: dict[int, list[tuple[bytes, bytes]]] = {}
    for item in items:
        part = parts.setdefault(sum(item.asset.encode()) % PARTITIONS, [])
        part.append((item.asset.encode(), telegraf(item)))
    for partition, records in parts.items():
        await cluster.produce_many(partition, records)


async def complete(
    cluster: KafkaCluster, items: Sequence[OpcValue], revisions: Sequence[int] = (0,)
) -> None:
    """Wait until the topic has every result, and check that each is there, right, and once.

    Values come in order, so nothing is ever revised: a second record is a repeat.
    """
    wanted = expected(items)
    records = await cluster.results(len(wanted))
    results = [decode_result(record.value or b"") for record in records]
    assert {r.revision for r in results} == set(revisions)
    keys = Counter((r.asset, r.name, r.timestamp) for r in results)
    assert not [key for key, count in keys.items() if count > 1]
    assert keys.keys() == wanted.keys()
    got = {(r.asset, r.name, r.timestamp): r.value for r in results}
    assert got == pytest.approx(wanted)
