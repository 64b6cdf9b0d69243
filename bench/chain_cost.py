"""What the units of a lab cost: processor time, memory, bytes on disk."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chain_plant import Plant
from fieldline.errors import FieldlineError
from fieldline_lab.cgroup import Cgroup

_MIB = 1 << 20
# InfluxDB looks every second what is to be compacted.
_REST_S, _AT_REST_S = 120.0, 10.0
_EMPTY_LOG = 4096


@dataclass(frozen=True)
class Usage:
    """Of a unit so far: processor time, s, and its share of memory now, MiB."""

    cpu_s: float
    memory_mib: float


def usage(plant: Plant) -> dict[str, Usage]:
    """Each unit that runs, as `host unit`.

    Processor time is the control group's, so that of processes that have ended counts too. Memory
    is the proportional set size (PSS): what several share counts once.
    """
    found = {}
    for name in plant.lab.hosts:
        slices = Cgroup(plant.lab.names.cgroup(name)).path / "payload" / "system.slice"
        for path in sorted(slices.glob("*.service")):
            processes = (path / "cgroup.procs").read_text().split()
            if not processes or path.name.startswith(("systemd-", "dbus", "sshd")):
                continue
            key = f"{name} {path.name.removesuffix('.service')}"
            found[key] = Usage(_cpu_s(path), sum(map(_memory_mib, processes)))
    return found


def _cpu_s(path: Path) -> float:
    """cgroup-v2(7), cpu.stat: usage_usec."""
    first = (path / "cpu.stat").read_text().split()
    return int(first[1]) / 1e6


def _memory_mib(process: str) -> float:
    """proc_pid_smaps(5): Pss, kB."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / _MIB
    return 0.0


def between(
    before: Mapping[str, Usage], after: Mapping[str, Usage], seconds: float, values: int
) -> dict[str, dict[str, float]]:
    """Per unit: the share of a core, %, µs per value of the whole plant, MiB at the end."""
    return {
        unit: {
            "cpu_percent": round(100 * (now.cpu_s - before[unit].cpu_s) / seconds, 2),
            "cpu_us_per_value": round(1e6 * (now.cpu_s - before[unit].cpu_s) / max(values, 1), 2),
            "memory_mib": round(now.memory_mib, 1),
        }
        for unit, now in after.items()
        if unit in before
    }


def log_bytes(plant: Plant) -> dict[str, int]:
    """What the logs of Kafka's topics take on its disk: the records themselves, not their indices,
    whose files are as large as they may ever become."""
    host = plant.host("kafka")
    found: dict[str, int] = {}
    for path in (host.data / "lib/apache-kafka/log").glob("*/*.log"):
        topic = path.parent.name.rpartition("-")[0]
        found[topic] = found.get(topic, 0) + path.stat().st_size
    return found


def store_bytes(plant: Plant) -> int:
    """What InfluxDB's files of values take for all that it has, in their final form.

    The writer is stopped for it: what is under way would be half in the write-ahead log.

    Raises:
        FieldlineError: they do not come to rest.
    """
    plant.host("writer").exec(["systemctl", "stop", "telegraf"], check=True)
    engine = plant.host("influxdb").data / "lib/influxdb2/engine"
    end = time.monotonic() + _REST_S
    before, since = -1, time.monotonic()
    while time.monotonic() < end:
        now = _bytes(engine / "data", "*.tsm")
        if now != before or _bytes(engine / "wal", "*.wal") > _EMPTY_LOG:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > _AT_REST_S:
            return now
        time.sleep(0.5)
    raise FieldlineError(f"InfluxDB's files have not come to rest within {_REST_S:.0f} s.")


def _bytes(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.rglob(pattern))
