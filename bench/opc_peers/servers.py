"""The servers that are measured, each as a process that serves a load on a port of loopback."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from fieldline.record import fetch_record

from opc_peers import install
from opc_peers.load import Load
from opc_peers.processes import running

# A server that is not up by then is not waited for: asyncua makes some 1,000 variables a second.
START_S = 60
Ticks = dict[int, int]


@dataclass(frozen=True)
class Serving:
    """A server that runs.

    ticks: [since, until) in ns since 1970 → source times of values produced, with how many.
    """

    pid: int
    port: int
    ticks: Callable[[int, int], Ticks]


@dataclass(frozen=True)
class Kind:
    """A server that can be started.

    argv: what to run, from a folder, a load and a port; ready: the word in what it prints when
    clients may come.
    """

    version: str
    argv: Callable[[Path, Load, int], list[str]]
    ready: str
    ticks: Callable[[Path, int, int], Ticks]


def _own_argv(folder: Path, load: Load, port: int) -> list[str]:
    site = folder / "site.toml"
    site.write_text(load.site())
    return [
        *(sys.executable, "-m", "opc_server.cli", "--site", str(site), "--server", "opc"),
        *("--state", str(folder / "state"), "--listen", f"127.0.0.1:{port}"),
        *("--metrics", "127.0.0.1:0"),
    ]


def _own_ticks(log: Path, since_ns: int, until_ns: int) -> Ticks:
    """By the server's own record."""
    lines = (json.loads(line) for line in log.read_text().splitlines() if line[:1] == "{")
    port = next(line["metrics_port"] for line in lines if "metrics_port" in line)
    table = fetch_record(f"http://127.0.0.1:{port}", since_ns, until_ns)
    inside = table.time[(table.time >= since_ns) & (table.time < until_ns)]
    times, counts = np.unique(inside, return_counts=True)
    return dict(zip(times.tolist(), counts.tolist(), strict=True))


def _printed_ticks(log: Path, since_ns: int, until_ns: int) -> Ticks:
    """By what a peer prints at each tick."""
    rows = (line.split() for line in log.read_text().splitlines())
    found = {int(row[0]): int(row[1]) for row in rows if len(row) == 2 and row[0].isdigit()}
    return {at: count for at, count in found.items() if since_ns <= at < until_ns}


def _peer(release: str, *argv: str | Path) -> Kind:
    def command(_folder: Path, load: Load, port: int) -> list[str]:
        return [*map(str, argv), str(port), *load.argv]

    return Kind(release, command, "ready", _printed_ticks)


def _asyncua() -> Kind:
    return _peer(version("asyncua"), sys.executable, install.HERE / "plain_asyncua.py")


def _node_opcua() -> Kind:
    node, folder = install.node_opcua()
    script = install.HERE / "node_opcua/server.mjs"
    return _peer(install.NODE_OPCUA, node, script, folder)


def _open62541() -> Kind:
    return _peer(install.OPEN62541, install.open62541())


def kinds() -> tuple[dict[str, Kind], dict[str, str]]:
    """(the servers that are to be had here by name, the others with the reason)."""
    makers: Mapping[str, Callable[[], Kind]] = {
        "opc_server": lambda: Kind(version("opc-server"), _own_argv, '"serving"', _own_ticks),
        "open62541": _open62541,
        "node_opcua": _node_opcua,
        "asyncua": _asyncua,
    }
    had: dict[str, Kind] = {}
    missing: dict[str, str] = {}
    for name, make in makers.items():
        try:
            had[name] = make()
        except install.NotHadError as error:
            missing[name] = f"not to be had here: {error}"
            print(f"{name} is {missing[name]}", file=sys.stderr, flush=True)
    return had, missing


@contextmanager
def serving(kind: Kind, folder: Path, load: Load, port: int, core: int) -> Iterator[Serving]:
    """A server of this kind on a core of its own.

    Raises:
        RuntimeError: it ended, or was not up in time.
    """
    log = folder / "server.log"
    with running(kind.argv(folder, load, port), core, log) as process:
        deadline = time.monotonic() + START_S
        while kind.ready not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server does not serve: {log.read_text()[-500:]}")
            time.sleep(0.05)
        yield Serving(process.pid, port, lambda *window: kind.ticks(log, *window))
