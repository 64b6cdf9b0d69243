"""The disk as it is, and whether it will hold what is kept."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from doctor_findings import context, found, verdicts
from fieldline.doctor import Verdict
from fieldline.doctor import disk as disks
from fieldline.doctor import retention as retentions
from fieldline.doctor.retention import Kept, days_left, judge
from hypothesis import given
from hypothesis import strategies as st
from where_plant import SITE, Plant


@pytest.mark.parametrize(
    ("free", "size", "verdict"),
    [
        (50 << 30, 100 << 30, "ok"),
        (10 << 30, 100 << 30, "warning"),
        (4 << 30, 100 << 30, "failed"),
        (1 << 29, 1 << 31, "ok"),
        (1 << 28, 1 << 31, "failed"),
        (0, 0, "failed"),
    ],
)
def test_free_space(free: int, size: int, verdict: Verdict) -> None:
    assert disks._file_system(["/var/lib/x"], free, size).verdict == verdict


def test_the_folders_of_this_hosts_roles(tmp_path: Path) -> None:
    (tmp_path / "var/lib/influxdb2").mkdir(parents=True)
    seen = found(disks.disk(context(root=tmp_path)))
    assert seen["/var/lib/apache-kafka"] == ("skipped", "it is not there yet")
    assert "/var/lib/influxdb2" in seen
    assert "/var/lib/opc-server" not in seen
    assert verdicts(disks.disk(context(Plant(host=None)))) == {"this host": "skipped"}


def test_sizes_for_people(tmp_path: Path) -> None:
    assert [disks.shown(size) for size in (0, 1023, 2048, 3 << 30, 5 << 40, 9 << 50)] == [
        "0 B",
        "1023 B",
        "2.0 KiB",
        "3.0 GiB",
        "5.0 TiB",
        "9216.0 TiB",
    ]
    (tmp_path / "a").write_bytes(b"x" * 10_000)
    os.link(tmp_path / "a", tmp_path / "b")
    assert disks.used(tmp_path) >= 20_000
    assert disks.used(tmp_path / "nothing") == 0


def test_a_disk_that_fits_what_is_kept_and_one_that_does_not() -> None:
    kafka = Kept("Kafka", used=10.0, per_day=10.0, need=70.0, measured=True)
    influxdb = Kept("InfluxDB", used=5.0, per_day=5.0, need=150.0, measured=False)
    assert days_left([kafka], 60.0) is None
    assert days_left([kafka], 59.0) == pytest.approx(5.9)
    # Kafka is full after 6 d (90 are used up by then); from then on InfluxDB grows alone.
    assert days_left([kafka, influxdb], 100.0) == pytest.approx(8.0)
    assert days_left([kafka, influxdb], 205.0) is None
    assert days_left([replace(kafka, used=80.0)], 0.0) is None
    finding = judge([kafka, influxdb], 100.0)
    assert (finding.subject, finding.verdict) == ("Kafka and InfluxDB", "warning")
    assert "at full retention 220 B (estimated) of the 115 B" in finding.text
    assert finding.text.endswith("the disk will be full in 8 d")
    assert judge([kafka], 10.0).verdict == "failed"
    assert judge([kafka], 10.0).text.endswith("the disk will be full in 24 h")
    assert judge([kafka], 0.1).text.endswith("the disk is full")
    well = judge([kafka], 60.0)
    assert (well.verdict, well.what_to_do) == ("ok", "")
    assert "(measured)" in well.text


_AMOUNT = st.floats(0, 1e6, allow_nan=False)


@given(st.lists(st.tuples(_AMOUNT, st.floats(0.1, 1e6), _AMOUNT), max_size=4), _AMOUNT)
def test_the_disk_is_full_exactly_when_that_much_has_come(
    stores: list[tuple[float, float, float]], free: float
) -> None:
    kept = [Kept("x", used, per_day, need, True) for used, per_day, need in stores]
    days = days_left(kept, free)

    def grown(after: float) -> float:
        return sum(min(k.per_day * after, max(0.0, k.need - k.used)) for k in kept)

    if days is None:
        assert grown(1e12) <= free * (1 + 1e-9) + 1e-6
    else:
        assert grown(days) == pytest.approx(free, rel=1e-6, abs=1e-6)


def test_declared_rates() -> None:
    values, results = retentions.rates(SITE)
    assert values == pytest.approx(5 + 0.5 + 0.125)
    assert results == pytest.approx(2 * values)


def test_bytes_are_measured_once_there_is_enough(tmp_path: Path) -> None:
    log = tmp_path / "var/lib/apache-kafka/log"
    for number, first in ((0, 0), (1, 500)):
        folder = log / f"opc-{number}"
        folder.mkdir(parents=True)
        (folder / f"{first:020d}.log").write_bytes(b"x" * 60_000)
        (folder / f"{first + 400:020d}.log").write_bytes(b"x" * 20_000)
        (folder / f"{first + 600:020d}.log").write_bytes(b"x")
    (log / "opc.ledger-0").mkdir()
    assert retentions.bytes_per_record(log, "opc") == pytest.approx(160_000 / 1200)
    assert retentions.bytes_per_record(log, "model") is None
    data = tmp_path / "var/lib/influxdb2/engine/data"
    assert retentions.bytes_per_shard(data) is None
    for bucket, sizes in (("b" * 16, (40_000, 80_000, 60_000, 500_000)), ("c" * 16, (1, 1))):
        for number, size in enumerate(sizes, 9):
            shard = data / bucket / "autogen" / str(number)
            shard.mkdir(parents=True)
            (shard / "000.tsm").write_bytes(b"x" * size)
    assert retentions.bytes_per_shard(data) == pytest.approx(60_000, abs=4096)
    seen = list(retentions.retention(context(root=tmp_path)))
    assert [f.subject for f in seen] == ["Kafka and InfluxDB"]
    assert verdicts(retentions.retention(context(Plant(host="opc")))) == {
        "kafka on db": "skipped",
        "influxdb on db": "skipped",
    }
    assert "cannot be looked at" in found(retentions.retention(context()))["kafka on db"][1]
