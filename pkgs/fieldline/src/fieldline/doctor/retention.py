"""Retention against the disk: what is to be kept, at the declared rates, must fit.

Nothing else bounds Kafka and InfluxDB: a disk that is too small is full one day, long after the
site was written. Bytes per value are measured on what is there already, once there is enough of it.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldline.doctor.context import Context
from fieldline.doctor.disk import DIRECTORIES, shown, space, used
from fieldline.doctor.finding import Finding
from fieldline.provision.influxdb import shard_group_seconds
from fieldline.site import Site

_DAY = 86_400.0

# Where nothing can be measured yet. Kafka's is a guess, for batches of one record as in a small
# plant. InfluxDB's was measured: 13.4, compacted, of random walks in full precision.
KAFKA_BYTES = 260
INFLUXDB_BYTES = 14

# Fewer records than this tell nothing of the average.
_ENOUGH_RECORDS = 1000
_SOON_DAYS = 7.0
_REMEDY = (
    "Shorten topics.NAME.retention or influxdb.retention in site.toml, enlarge the disk, or collect"
    " less."
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What one server keeps.

    Attributes:
        used: bytes on the disk now; per_day: what comes in a day; need: what it will be at the
            end of the declared retention.
        measured: whether the bytes per value were, or were estimated.
    """

    name: str
    used: float
    per_day: float
    need: float
    measured: bool


def retention(context: Context) -> Iterator[Finding]:
    """For each file system with Kafka's or InfluxDB's data: whether all of it will fit."""
    systems: dict[int, tuple[Path, list[Kept]]] = {}
    for role in ("kafka", "influxdb"):
        host = next((h.name for h in context.site.hosts.values() if role in h.roles), None)
        if host is None:
            continue
        if host != context.here.name:
            yield Finding(f"{role} on {host}", "skipped", f"its disk is known on {host} only")
            continue
        place = context.path(DIRECTORIES[role])
        try:
            device = os.stat(place).st_dev
            kept = (
                _kafka(context.site, place) if role == "kafka" else _influxdb(context.site, place)
            )
        except OSError as error:
            yield Finding(f"{role} on {host}", "skipped", f"{place} cannot be looked at: {error}")
            continue
        systems.setdefault(device, (place, []))[1].append(kept)
    for place, stores in systems.values():
        yield judge(stores, space(place)[0])


def judge(stores: Sequence[Kept], free: float) -> Finding:
    """Whether these stores fit into what they use and what is free."""
    subject = " and ".join(kept.name for kept in stores)
    need, has = sum(kept.need for kept in stores), sum(kept.used for kept in stores) + free
    how = "measured" if all(kept.measured for kept in stores) else "estimated"
    text = f"at full retention {shown(need)} ({how}) of the {shown(has)} that there are for it"
    days = days_left(stores, free)
    if days is None:
        return Finding(subject, "ok", text)
    if days < 0.1:
        return Finding(subject, "failed", f"{text}: the disk is full", _REMEDY)
    text += (
        f": the disk will be full in {days:.0f} d"
        if days >= 2
        else (f": the disk will be full in {days * 24:.0f} h")
    )
    return Finding(subject, "failed" if days < _SOON_DAYS else "warning", text, _REMEDY)


def days_left(stores: Sequence[Kept], free: float) -> float | None:
    """In how many days the disk is full; None if retention begins to remove before that."""
    growing = [k for k in stores if k.need > k.used and k.per_day > 0]
    # Each store grows until it has what its retention lets it have.
    ends = sorted((kept.need - kept.used) / kept.per_day for kept in growing)
    passed = 0.0
    for end in ends:
        rate = sum(k.per_day for k in growing if (k.need - k.used) / k.per_day >= end)
        step = end - passed
        if rate * step > free:
            return passed + free / rate
        free -= rate * step
        passed = end
    return None


def rates(site: Site) -> tuple[float, float]:
    """Values and results per second, as declared; a result for each change of an input, at most."""
    values = results = 0.0
    for asset in site.assets:
        kind = site.types[asset.type]
        per_second = {name: 1000 / v.period_ms for name, v in kind.variables.items()}
        values += sum(per_second.values())
        results += sum(per_second[name] for model in kind.models.values() for name in model.inputs)
    return values, results


def _kafka(site: Site, place: Path) -> Kept:
    values, results = rates(site)
    per_day = need = 0.0
    measured = True
    for topic, rate in (("opc", values), ("model", results)):
        size = bytes_per_record(place / "log", topic)
        measured &= size is not None
        daily = rate * _DAY * (size or KAFKA_BYTES)
        per_day += daily
        # A segment is removed as a whole, an eighth of the retention later (provision/topics).
        need += daily * site.topics[topic].retention_ms / 1000 / _DAY * 9 / 8
    return Kept("Kafka", used(place), per_day, need, measured)


def bytes_per_record(log: Path, topic: str) -> float | None:
    """What a record of a topic takes, by the closed segments; None where these hold too few.

    A segment is named by the offset of its first record.
    """
    size = records = 0
    for partition in log.glob(f"{topic}-[0-9]*"):
        segments = sorted(partition.glob("*.log"))
        if partition.name.rpartition("-")[0] != topic or len(segments) < 2:
            continue
        records += int(segments[-1].stem) - int(segments[0].stem)
        size += sum(path.stat().st_size for path in segments[:-1])
    return size / records if records >= _ENOUGH_RECORDS else None


def _influxdb(site: Site, place: Path) -> Kept:
    values, results = rates(site)
    seconds = site.influxdb.retention_ms / 1000
    shard = shard_group_seconds(round(seconds))
    found = bytes_per_shard(place / "engine" / "data")
    per_day = (values + results) * _DAY * INFLUXDB_BYTES if found is None else found * _DAY / shard
    # A shard is removed as a whole.
    need = per_day * (seconds + shard) / _DAY
    return Kept("InfluxDB", used(place), per_day, need, found is not None)


def bytes_per_shard(data: Path) -> float | None:
    """What a full shard takes: the median of all but the newest; None where there is no other."""
    buckets = [bucket for bucket in data.glob("*/autogen") if bucket.is_dir()]
    # Beside the site's bucket there are InfluxDB's own, which are small.
    largest = max(buckets, key=used, default=None)
    if largest is None:
        return None
    shards = sorted((path for path in largest.iterdir() if path.name.isdecimal()), key=_number)
    sizes = [used(path) for path in shards[:-1]]
    return statistics.median(sizes) if sizes else None


def _number(path: Path) -> int:
    return int(path.name)
