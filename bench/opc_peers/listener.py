"""The real Telegraf, subscribed to a server; it counts what it hears by source time."""

from __future__ import annotations

import fcntl
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from opc_peers.load import Load
from opc_peers.processes import running

PUBLISHING_MS = 100
# Of a monitored item: seconds of the quickest variable, as for a collector that is held up.
QUEUE_SIZE = 50
# Digits of a time in ns since 1970.
_DIGITS = 19
_POWERS = 10 ** np.arange(_DIGITS - 1, -1, -1, dtype=np.int64)
_PIPE = 1 << 20


def program() -> Path:
    """The lab's own Telegraf.

    Raises:
        SystemExit: it was not built yet.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fieldline/parts"
    found = sorted(cache.glob("telegraf-*/bin/telegraf"))
    if not found:
        raise SystemExit("There is no Telegraf. Get it with: python -m fieldline_lab.parts")
    return found[-1]


def settings(load: Load, port: int) -> dict[str, Any]:
    """One listener, one subscription, one request for all items, as `lib/telegraf` has it.

    All but the time and the number is dropped, so that counting costs Telegraf little.
    """
    monitoring = {"sampling_interval": "0s", "queue_size": QUEUE_SIZE, "discard_oldest": True}
    groups = [
        {
            "default_tags": {"asset": name},
            "nodes": [
                {
                    "name": variable,
                    "namespace": "2",
                    "identifier_type": "s",
                    "identifier": identifier,
                    "monitoring_params": monitoring,
                }
                for variable, identifier in variables
            ],
        }
        for name, variables in load.objects()
    ]
    listener = {
        "name": "o",
        "endpoint": f"opc.tcp://127.0.0.1:{port}",
        "timestamp": "source",
        "subscription_interval": f"{PUBLISHING_MS}ms",
        "security_policy": "None",
        "security_mode": "None",
        "certificate": "",
        "private_key": "",
        "auth_method": "Anonymous",
        "connect_timeout": "30s",
        "request_timeout": "30s",
        "fieldexclude": ["Quality"],
        "tagexclude": ["*"],
        "group": groups,
    }
    return {
        "agent": {
            "interval": "1s",
            "flush_interval": "100ms",
            "metric_batch_size": 5000,
            "metric_buffer_limit": 1_000_000,
            "omit_hostname": True,
        },
        "inputs": {"opcua_listener": [listener]},
        "outputs": {"file": [{"files": ["stdout"], "data_format": "influx"}]},
    }


def times_of(lines: bytes) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The times of whole lines of InfluxDB's line protocol, in ns."""
    octets = np.frombuffer(lines, np.uint8)
    ends = np.flatnonzero(octets == ord("\n"))
    digits = octets[ends[:, None] - np.arange(_DIGITS, 0, -1)] - ord("0")
    times: np.ndarray[Any, np.dtype[np.int64]] = digits.astype(np.int64) @ _POWERS
    return times


class Heard:
    """Counts what a Telegraf writes to a pipe.

    by_time: source time in ns → values that came with it.
    """

    def __init__(self, pipe: int) -> None:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
        self._pipe = pipe
        self._lock = threading.Lock()
        self._by_time: Counter[int] = Counter()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        rest = b""
        while chunk := os.read(self._pipe, _PIPE):
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                times, counts = np.unique(times_of(whole + newline), return_counts=True)
                with self._lock:
                    for at, count in zip(times.tolist(), counts.tolist(), strict=True):
                        self._by_time[at] += count
            # Small pieces would cost more than they tell.
            time.sleep(0.02)

    def end(self) -> None:
        """Wait for the end of the pipe, which comes with Telegraf's."""
        self._thread.join()

    @property
    def values(self) -> int:
        """How many so far."""
        with self._lock:
            return self._by_time.total()

    def by_time(self) -> Counter[int]:
        """A copy of the counts."""
        with self._lock:
            return self._by_time.copy()


@contextmanager
def listening(
    folder: Path, load: Load, port: int, core: int
) -> Iterator[tuple[subprocess.Popen[bytes], Heard]]:
    """Telegraf, subscribed to all variables of a load."""
    config = folder / "telegraf.toml"
    config.write_text(tomli_w.dumps(settings(load, port)))
    argv = [program(), "--config", config]
    with running(argv, core, folder / "telegraf.log", subprocess.PIPE) as process:
        assert process.stdout is not None
        heard = Heard(process.stdout.fileno())
        yield process, heard
    heard.end()
    process.stdout.close()
