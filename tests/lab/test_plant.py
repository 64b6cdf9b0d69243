"""The demonstration plant itself on lab hosts: every part and package, as declared."""

import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from fieldline_lab.lab import Lab
from traces import nothing, traces
from worktree import REPOSITORY


@pytest.fixture(scope="module")
def plant() -> Iterator[Lab]:
    lab = Lab.from_worktree(REPOSITORY, name="test-plant")
    try:
        lab.up(fresh=True)
        yield lab
    finally:
        lab.down(purge=True)
    assert traces(lab.names) == nothing(lab.names)


def test_every_unit_of_the_plant_runs(plant: Lab) -> None:
    for name, host in plant.hosts.items():
        states = host.unit_states()
        assert {state.name: state.verdict for state in states} == dict.fromkeys(
            host.expected_units, "running"
        ), name
        assert host.exec(["systemctl", "is-system-running"]).stdout == "running\n"
    missing = set() if shutil.which("grafana") else {"db/grafana"}
    assert set(plant.plan.omitted) == missing


def test_values_arrive(plant: Lab) -> None:
    plant.hosts["db"].exec(["fieldline", "wait", "--fresh-within", "60s"], check=True, timeout=120)


def test_influxdb_is_reached_through_its_forwarded_port(plant: Lab) -> None:
    port = plant.status()["hosts"]["db"]["forwards"]["influxdb"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
        assert answer.status == 200


def test_no_secret_is_in_a_process_list_or_a_log(plant: Lab) -> None:
    for host in plant.hosts.values():
        names = host.exec(["ls", "/run/secrets"], check=True).stdout.split()
        log = host.exec(["journalctl", "--boot", "--no-pager"], check=True).stdout
        processes = host.exec(["ps", "axewww"], check=True).stdout
        for name in names:
            secret = host.exec(["cat", f"/run/secrets/{name}"], check=True).stdout
            assert secret not in log
            assert secret not in processes


def test_kafka_runs_on_its_archive_of_classes(plant: Lab) -> None:
    host = plant.hosts["db"]
    process = host.exec(["systemctl", "show", "--value", "-p", "MainPID", "apache-kafka"]).stdout
    assert "kafka.jsa" in host.exec(["cat", f"/proc/{process.strip()}/maps"]).stdout


def test_the_network_settings_of_a_host_are_the_declared_ones(plant: Lab) -> None:
    declared = plant.plan.declaration.hosts["collector"].sysctl
    assert set(declared) == {"net.ipv4.tcp_rto_max_ms", "net.ipv4.tcp_retries2"}
    for key, value in declared.items():
        path = Path("/proc/sys", *key.split("."))
        # Linux before 6.15 has no such setting, and then no host of the lab has.
        expected = str(value) if path.exists() else ""
        assert plant.hosts["collector"].exec(["cat", str(path)]).stdout.strip() == expected
        # This machine's own is what it was.
        assert not path.exists() or path.read_text().strip() != expected


def test_a_restart_of_the_collection_host_heals(plant: Lab) -> None:
    plant.hosts["collector"].crash()
    plant.hosts["collector"].boot()
    plant.wait()
    plant.hosts["db"].exec(["fieldline", "wait", "--fresh-within", "60s"], check=True, timeout=120)


def test_nothing_of_the_lab_is_outside_its_folders(plant: Lab) -> None:
    assert plant.names.state == REPOSITORY / ".lab" / "test-plant"
    assert Path("/run/fieldline-lab", plant.names.lab_id).is_dir()
