"""Disk space where services write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fieldline.doctor.context import Context
from fieldline.doctor.finding import Finding

# What a role writes to (lib/).
DIRECTORIES = {
    "opc-server": "/var/lib/opc-server",
    "kafka": "/var/lib/apache-kafka",
    "influxdb": "/var/lib/influxdb2",
}
_JOURNAL = "/var/log/journal"
# Kafka ends when it cannot write; InfluxDB needs room to compact its files.
_FAILED_SHARE, _FAILED_BYTES = 0.05, 1 << 30
_WARNING_SHARE = 0.15
_REMEDY = (
    "Shorten topics.NAME.retention or influxdb.retention in site.toml, or enlarge the disk;"
    " `du -xh --max-depth=2 {place}` tells what is large."
)


def disk(context: Context) -> Iterator[Finding]:
    """How much is free of each file system that services of this host write to."""
    if context.here.name is None:
        yield Finding("this host", "skipped", "this machine is none of the site's hosts")
        return
    wanted = [path for role, path in DIRECTORIES.items() if role in context.roles]
    systems: dict[int, list[str]] = {}
    for path in [*wanted, _JOURNAL]:
        place = context.path(path)
        try:
            systems.setdefault(os.stat(place).st_dev, []).append(path)
        except FileNotFoundError:
            if path != _JOURNAL:
                yield Finding(path, "skipped", "it is not there yet")
        except OSError as error:
            yield Finding(path, "skipped", f"it cannot be looked at: {error}")
    for paths in systems.values():
        yield _file_system(paths, *space(context.path(paths[0])))


def _file_system(paths: list[str], free: int, size: int) -> Finding:
    subject = ", ".join(paths)
    share = free / size if size else 0.0
    text = f"{shown(free)} of {shown(size)} are free ({share:.0%})"
    remedy = _REMEDY.format(place=paths[0])
    # On a small disk a twentieth is little; on a large one it is not, but the rest goes fast.
    if share < _FAILED_SHARE or free < min(_FAILED_BYTES, size * _WARNING_SHARE):
        return Finding(subject, "failed", text, remedy)
    if share < _WARNING_SHARE:
        return Finding(subject, "warning", text, remedy)
    return Finding(subject, "ok", text)


def space(place: Path) -> tuple[int, int]:
    """What is free of a file system for services, and its size, in bytes."""
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def used(place: Path) -> int:
    """What a folder takes on the disk, in bytes; what is removed meanwhile is passed over."""
    total = 0
    for folder, _folders, files in os.walk(place):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except OSError:
                continue
    return total


def shown(size: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
