"""Processes on a core of their own: their processor time, their memory, their end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
# Then a process that does not end by itself is killed.
_END_S = 10


def cores() -> tuple[int, int]:
    """(the servers' core, the one of Telegraf and of this program); the same if there is one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[-1], allowed[0]


@contextmanager
def running(
    argv: Sequence[str | Path], core: int, log: Path, stdout: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program on one core with all its threads.

    Args:
        log: for its standard error, and for its output unless `stdout` says otherwise.
    """
    pinned = ["taskset", "--cpu-list", str(core), *map(str, argv)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            pinned,
            stdin=subprocess.DEVNULL,
            stdout=file if stdout is None else stdout,
            stderr=file,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_s(pid: int) -> float:
    """Processor time of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def pss_mib(pid: int) -> float:
    """Resident memory, what is shared with others divided among them."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("Pss:")]
    return int(line.split()[1]) / 1024
