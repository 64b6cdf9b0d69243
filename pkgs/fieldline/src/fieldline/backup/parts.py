"""What a database host keeps, part by part: folders, units, and which files never change again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldline.errors import FieldlineError
from fieldline.site import Site

# Where systemd has a unit's StateDirectory.
STATE = Path("/var/lib")


def _closed_segments(names: Iterable[str]) -> set[str]:
    """Kafka: of a partition's segments all but the newest, to which it goes on appending.

    A segment that is closed is never written again: compaction and retention put another file in
    its place, or none. Its name is its first offset, with leading zeros.
    """
    segments = sorted(name for name in names if name.endswith(".log"))
    return set(segments[:-1])


def _blocks_of_values(names: Iterable[str]) -> set[str]:
    """InfluxDB: TSM files, which are written under another name and renamed when they are whole."""
    return {name for name in names if name.endswith(".tsm")}


@dataclass(frozen=True, slots=True)
class Part:
    """A server's data.

    Attributes:
        name: the role in the site, and the name in an archive's manifest.
        title: as people call it.
        unit: the server; provision: the one-shot that brings it to what the site declares.
        folders: below `STATE`.
        immutable: of the files of one folder, by name, those that never change as long as they are
            there.
    """

    name: str
    title: str
    unit: str
    provision: str
    folders: tuple[str, ...]
    immutable: Callable[[Iterable[str]], set[str]]


KAFKA = Part(
    "kafka",
    "Kafka",
    "apache-kafka.service",
    "kafka-provision.service",
    ("apache-kafka",),
    _closed_segments,
)
# The tokens in the files are the ones in the database: neither is of use without the other.
INFLUXDB = Part(
    "influxdb",
    "InfluxDB",
    "influxdb2.service",
    "influxdb-provision.service",
    ("influxdb2", "private/influxdb-provision"),
    _blocks_of_values,
)

# In the order of a backup: a group's offsets must not be ahead of what is in InfluxDB's copy, or
# what lies between is never read again.
PARTS = (KAFKA, INFLUXDB)

# What reads or writes the parts, or has loaded a token of theirs, as far as it is on the same host.
USERS = (
    "telegraf.service",
    "stream-model.service",
    "gap-filler.service",
    "ledger.service",
    "grafana.service",
)


def parts_of(site: Site, host: str) -> tuple[Part, ...]:
    """The parts that a host has, in the order of a backup.

    Raises:
        FieldlineError: this is no host of the site, or not one with data.
    """
    having = {
        name: [part for part in PARTS if part.name in declared.roles]
        for name, declared in site.hosts.items()
    }
    if having.get(host):
        return tuple(having[host])
    names = " or ".join(name for name, parts in having.items() if parts)
    problem = "has neither Kafka nor InfluxDB" if host in having else "is no host of the site"
    raise FieldlineError(
        f"Run this on {names or 'a host with the role kafka or influxdb'}: {host} {problem}."
    )


def servers_of(parts: Sequence[Part]) -> tuple[str, ...]:
    """Servers and their provisioning in the order of a start.

    InfluxDB first: Kafka takes values from elsewhere as soon as it runs, and takes them for good.
    """
    return tuple(
        unit for part in reversed(PARTS) if part in parts for unit in (part.unit, part.provision)
    )
