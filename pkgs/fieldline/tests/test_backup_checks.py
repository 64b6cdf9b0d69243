"""What is found out of a host, and on which hosts and data a backup or a restore is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from backup_world import INFLUXDB, KAFKA, describe, fill
from fieldline.backup import facts
from fieldline.backup.checks import check_belongs, check_place
from fieldline.backup.manifest import ArchiveError
from fieldline.backup.parts import PARTS, parts_of, servers_of
from fieldline.errors import FieldlineError
from fieldline.site import check_text
from msgspec.structs import replace

SITE = check_text((Path(__file__).parents[3] / "site.toml").read_bytes(), "site.toml")


def test_the_version_of_kafka_is_that_of_its_open_jar(tmp_path: Path) -> None:
    opened = tmp_path / "42/fd"
    opened.mkdir(parents=True)
    (opened / "1").symlink_to("/parts/libs/kafka-clients-4.1.0.jar")
    assert facts.kafka_version(42, tmp_path) == ""
    (opened / "2").symlink_to("/nix/store/x-kafka-2.13-4.1.0/libs/kafka_2.13-4.1.0.jar")
    assert facts.kafka_version(42, tmp_path) == "4.1.0"
    assert facts.kafka_version(0, tmp_path) == ""


def test_the_version_of_an_influxdb_that_does_not_run_is_unknown() -> None:
    assert facts.influxdb_version("http://127.0.0.1:1") == ""


def test_what_is_found_out_of_this_host(tmp_path: Path) -> None:
    class Stopped:
        def main_process(self, _unit: str) -> int:
            return 0

    state = tmp_path / "state"
    fill(state, "first")
    assert facts.versions(SITE, (KAFKA,), Stopped()) == {"kafka": ""}
    assert facts.cluster_id(state) == "R6liFqJGgii5jeWiHDewsw"
    assert facts.cluster_id(tmp_path / "out") == ""


@pytest.mark.parametrize(
    ("host", "problem"),
    [("collector", "has neither Kafka nor InfluxDB"), ("laptop", "is no host of the site")],
)
def test_the_wrong_host_is_told_the_right_one(host: str, problem: str) -> None:
    with pytest.raises(FieldlineError, match=f"Run this on db: {host} {problem}"):
        parts_of(SITE, host)


def test_the_parts_of_a_host_in_their_orders() -> None:
    assert parts_of(SITE, "db") == (KAFKA, INFLUXDB)
    assert servers_of(PARTS) == (
        INFLUXDB.unit,
        INFLUXDB.provision,
        KAFKA.unit,
        KAFKA.provision,
    )


MANIFEST = describe({"kafka": (0, 0), "influxdb": (0, 0)})


def test_an_archive_of_another_site_or_of_newer_servers_takes_force() -> None:
    other = replace(MANIFEST, host="store")
    newer = replace(
        MANIFEST,
        parts={name: replace(part, version="4.2.0") for name, part in MANIFEST.parts.items()},
    )
    for manifest, problem, cause in (
        (other, "is not of this host of this site", "host: store in the archive, db here"),
        (newer, "was written by newer servers", "kafka: 4.2.0 in the archive, 4.1.0 here"),
    ):
        with pytest.raises(ArchiveError, match=rf"it.tar {problem}.*--force") as refused:
            check_belongs(Path("it.tar"), manifest, MANIFEST, force=False)
        assert cause in refused.value.cause
        check_belongs(Path("it.tar"), manifest, MANIFEST, force=True)
    check_belongs(Path("it.tar"), MANIFEST, MANIFEST, force=False)


def test_data_are_replaced_only_when_told_so(tmp_path: Path) -> None:
    state = tmp_path / "state"
    fill(state, "first")
    with pytest.raises(FieldlineError, match=r"There are data in .*apache-kafka.*--replace"):
        check_place(PARTS, state, replace=False)
    check_place(PARTS, state, replace=True)
    subprocess.run(["rm", "-r", state / "apache-kafka", state / "influxdb2"], check=True)
    (state / "influxdb2").mkdir()
    with pytest.raises(FieldlineError, match=r"There are data in .*influxdb-provision"):
        check_place(PARTS, state, replace=False)
    subprocess.run(["rm", "-r", state / "private"], check=True)
    check_place(PARTS, state, replace=False)


def test_what_cannot_be_renamed_is_refused_with_the_steps(tmp_path: Path) -> None:
    state = tmp_path / "state"
    fill(state, "first")
    (state / "apache-kafka").rename(tmp_path / "large disk")
    (state / "apache-kafka").symlink_to(tmp_path / "large disk")
    with pytest.raises(FieldlineError, match=r"is a link or a file system of its own.*by hand"):
        check_place(PARTS, state, replace=True)
