"""What is found out about the servers of this host."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from fieldline import __version__
from fieldline.backup.manifest import Manifest, PartFacts, site_facts
from fieldline.backup.parts import KAFKA, Part
from fieldline.errors import FieldlineError
from fieldline.influx import InfluxClient
from fieldline.site import Site

PROC = Path("/proc")

_JAR = re.compile(r"kafka_[0-9.]+-([0-9]+\.[0-9]+\.[0-9]+)\.jar")


class Processes(Protocol):
    """Which process a unit has."""

    def main_process(self, unit: str) -> int:
        """Its number; 0 where the unit does not run."""


def kafka_version(process: int, proc: Path = PROC) -> str:
    """The version of a running Kafka; empty where it cannot be told.

    Kafka's protocol does not tell it: its own jar does, which the process has opened.
    """
    try:
        opened = [os.readlink(link) for link in (proc / str(process) / "fd").iterdir()]
    except OSError:
        return ""
    found = [match[1] for path in opened if (match := _JAR.search(path))]
    return found[0] if found else ""


def influxdb_version(url: str) -> str:
    """The version of a running InfluxDB; empty where it does not answer."""
    try:
        status, data = InfluxClient(url).request("GET", "/health")
        version = msgspec.json.decode(data).get("version", "") if status == 200 else ""
    except (FieldlineError, msgspec.DecodeError, AttributeError):
        return ""
    return str(version).removeprefix("v")


def cluster_id(state: Path) -> str:
    """The id of the cluster whose data lie below `state`; empty where there are none."""
    path = state / KAFKA.folders[0] / "log" / "meta.properties"
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition("=")[2] for line in lines if line.startswith("cluster.id=")), "")


def versions(site: Site, parts: Sequence[Part], processes: Processes) -> dict[str, str]:
    """The version of each part's running server, by the part's name."""
    found = {}
    for part in parts:
        if part is KAFKA:
            found[part.name] = kafka_version(processes.main_process(part.unit))
        else:
            found[part.name] = influxdb_version(f"http://127.0.0.1:{site.influxdb.port}")
    return found


def describe(
    site: Site,
    host: str,
    state: Path,
    known: Mapping[str, str],
    sizes: Mapping[str, tuple[int, int]],
) -> Manifest:
    """The manifest of this host as it is now.

    Args:
        known: the versions by part; sizes: files and bytes by part, which are its parts.
    """
    return Manifest(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        fieldline=__version__,
        host=host,
        site=site_facts(site),
        parts={
            name: PartFacts(
                version=known.get(name, ""),
                cluster_id=cluster_id(state) if name == KAFKA.name else "",
                files=files,
                bytes=size,
            )
            for name, (files, size) in sizes.items()
        },
    )
