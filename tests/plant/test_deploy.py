"""`fieldline deploy` from one host against another, over real ssh, and what may go wrong.

A system is a folder on the host whose `activate` does the harm; see fieldline_lab.systems.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fieldline_lab import systems
from fieldline_lab.host import Host
from fieldline_lab.lab import Lab
from plants import booted, with_admin
from traces import nothing, traces, wait_for

ADMIN = "deployer"
DEVICE = "enp0s3"
# Enough for a switch and a round of the slowest variable, with room on a busy machine.
WITHIN = "30s"
# Where it ends in going back, most of it is waited out.
SHORT = "9s"
FOLDER = "/var/lib/systems"


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The demonstration plant; `opc` is the admin's machine too, and has the key."""
    folder = tmp_path_factory.mktemp("deploy")
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    site = with_admin(folder, ADMIN, key.with_suffix(".pub").read_text())
    # Every 8 s in the demonstration plant, which each of these tests would wait for.
    site.write_text(site.read_text().replace('period = "8s"', 'period = "1s"'))
    with booted("deploy", site) as lab:
        opc = lab.hosts["opc"]
        scan = "ssh-keyscan -t ed25519 192.168.0.7 192.168.0.10 2>/dev/null > .ssh/known_hosts"
        install = f"umask 077; mkdir .ssh; cat > .ssh/id_ed25519; {scan}"
        opc.exec(["sh", "-ec", install], input=key.read_text(), check=True)
        lab.hosts["db"].exec(["fieldline", "wait", "--fresh-within", "60s"], check=True)
        yield lab
    assert traces(lab.names) == nothing(lab.names)


@dataclass
class Deployed:
    """What `fieldline deploy` gave."""

    code: int
    events: list[dict[str, Any]]
    errors: str

    @property
    def names(self) -> list[str]:
        return [event["event"] for event in self.events]

    @property
    def last(self) -> dict[str, Any]:
        return self.events[-1]


def deploy(plant: Lab, host: str, system: str, *options: str, within: str = WITHIN) -> Deployed:
    argv = ["fieldline", "deploy", host, "--user", ADMIN, "--json", "--within", within]
    argv += ["--system", f"{FOLDER}/{system}", *options]
    done = plant.hosts["opc"].exec(argv, timeout=200)
    return Deployed(
        done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr
    )


def declared(host: Host) -> str:
    """What brings a host to its declaration."""
    return (host.data / "lib/systems" / systems.DECLARED / "activate").read_text()


def fine(host: Host, name: str) -> Path:
    return systems.make(host.data, name, declared(host))


def broken(host: Host, name: str, harm: str) -> Path:
    return systems.make(host.data, name, f"#!/bin/sh\n{harm}\n")


def status(host: Host) -> dict[str, Any]:
    value = json.loads(host.exec(["fieldline", "guard", "status", "--json"], check=True).stdout)
    assert isinstance(value, dict)
    return value


def until(host: Host, phase: str) -> dict[str, Any]:
    wait_for(f"{phase} on {host.name}", lambda: status(host)["phase"] == phase, 40)
    return status(host)


def running(host: Host) -> list[str]:
    """The system that runs, and the one that would boot."""
    links = ["/run/current-system", "/nix/var/nix/profiles/system"]
    return host.exec(["readlink", "-f", *links], check=True).stdout.split()


def start(host: Host, system: str, within: str) -> str:
    argv = ["fieldline", "guard", "start", f"{FOLDER}/{system}", "--within", within, "--json"]
    return str(json.loads(host.exec(argv, check=True).stdout)["id"])


@pytest.fixture
def collector(plant: Lab) -> Host:
    return plant.hosts["collector"]


@pytest.fixture
def unchanged(plant: Lab, collector: Host) -> Callable[[], None]:
    """Checks that the host is what it was: system, boot default, units, data."""
    before = running(collector)

    def check() -> None:
        assert running(collector) == before
        plant.wait(["collector"])
        argv = ["fieldline", "wait", "--fresh-within", "30s"]
        plant.hosts["db"].exec(argv, check=True, timeout=60)

    return check


def test_a_fine_system_is_confirmed_and_boots(plant: Lab, collector: Host) -> None:
    fine(collector, "fine")
    done = deploy(plant, "collector@vbox", "fine")
    assert done.code == 0, done
    assert done.names == ["armed", "switched", "waiting", "fresh", "outcome"]
    assert done.last["outcome"] == "confirmed"
    assert running(collector) == [f"{FOLDER}/fine"] * 2
    collector.crash()
    collector.boot()
    plant.wait()
    assert running(collector) == [f"{FOLDER}/fine"] * 2
    assert status(collector)["phase"] == "confirmed"


def test_a_host_that_moves_to_its_declared_address_is_found_there(
    plant: Lab, collector: Host
) -> None:
    now = "192.168.0.77"
    collector.exec(["ip", "address", "add", f"{now}/24", "dev", DEVICE], check=True)
    plant.hosts["opc"].exec(
        # Its key is known by the present address alone.
        ["sh", "-ec", f"cd .ssh; ssh-keygen -qR 192.168.0.7; ssh-keyscan {now} >> known_hosts"],
        check=True,
    )
    # It is the system that later tests go back to: what is deleted already must not fail it.
    moves = declared(collector) + f"ip address flush dev {DEVICE} to {now}\n"
    systems.make(collector.data, "moved", moves)
    done = deploy(plant, "collector", "moved", "--address", now)
    assert done.code == 0, done
    assert now not in collector.exec(["ip", "-4", "address"], check=True).stdout
    scan = "ssh-keyscan -t ed25519 192.168.0.7 >> .ssh/known_hosts"
    plant.hosts["opc"].exec(["sh", "-ec", scan], check=True)


@pytest.mark.parametrize(
    "harm",
    [f"ip link set {DEVICE} down", "nft insert rule inet fieldline input drop"],
    ids=["link down", "all dropped"],
)
def test_a_system_that_cuts_the_host_off_is_gone_back_from(
    plant: Lab, collector: Host, unchanged: Callable[[], None], harm: str
) -> None:
    broken(collector, "deaf", harm)
    done = deploy(plant, "collector", "deaf", within=SHORT)
    assert done.code == 3, done
    assert done.names[-1] == "outcome"
    assert done.last["problems"][-1] == "the host says: nobody confirmed in time"
    unchanged()


def test_a_system_without_fresh_data_is_gone_back_from(
    plant: Lab, collector: Host, unchanged: Callable[[], None]
) -> None:
    broken(collector, "silent", "systemctl stop telegraf.service")
    done = deploy(plant, "collector", "silent", within=SHORT)
    assert done.code == 3, done
    assert "Sensors Temperature" in done.last["problems"][0]
    unchanged()


def test_a_switch_that_fails_is_gone_back_from_at_once(
    plant: Lab, collector: Host, unchanged: Callable[[], None]
) -> None:
    broken(collector, "failing", "systemctl stop telegraf.service; exit 7")
    done = deploy(plant, "collector", "failing", within="10min")
    assert done.code == 3, done
    assert "the switch failed: switch-to-configuration ended with 7" in done.last["text"]
    unchanged()


def test_a_switch_that_hangs_is_ended_with_its_children(
    plant: Lab, collector: Host, unchanged: Callable[[], None]
) -> None:
    broken(collector, "hanging", "sleep 4712")
    done = deploy(plant, "collector", "hanging", within="5s")
    assert done.code == 3, done
    assert "the switch did not end in time" in done.last["text"]
    assert collector.exec(["pgrep", "-f", "sleep 4712"]).returncode == 1
    unchanged()


def kill_guard(host: Host) -> None:
    """Kill the guard's process, and wait until systemd has started it again."""
    show = ["systemctl", "show", "--value", "--property=MainPID", "deploy-guard"]
    before = host.exec(show, check=True).stdout.strip()
    host.exec(["kill", "-9", before], check=True)
    wait_for("another guard", lambda: host.exec(show).stdout.strip() not in (before, "0"))


def test_a_guard_killed_while_it_switches_goes_back(
    collector: Host, unchanged: Callable[[], None]
) -> None:
    broken(collector, "slow", "systemctl stop telegraf.service; touch /run/begun; sleep 4713")
    start(collector, "slow", "10min")
    wait_for("the switch", lambda: collector.exec(["test", "-e", "/run/begun"]).returncode == 0)
    kill_guard(collector)
    assert "interrupted" in until(collector, "reverted")["reason"]
    assert collector.exec(["pgrep", "-f", "sleep 4713"]).returncode == 1
    unchanged()


def test_a_guard_killed_while_it_waits_can_be_confirmed(collector: Host) -> None:
    fine(collector, "kept")
    name = start(collector, "kept", "10min")
    until(collector, "waiting")
    kill_guard(collector)
    assert status(collector)["phase"] == "waiting"
    collector.exec(["fieldline", "guard", "confirm", name], check=True)
    assert running(collector) == [f"{FOLDER}/kept"] * 2
    # Once more is no mistake; another switch is.
    collector.exec(["fieldline", "guard", "confirm", name], check=True)
    assert collector.exec(["fieldline", "guard", "confirm", "00000000"]).returncode == 1


def test_a_second_switch_is_refused_and_going_back_can_be_asked_for(
    plant: Lab, collector: Host, unchanged: Callable[[], None]
) -> None:
    fine(collector, "other")
    name = start(collector, "other", "10min")
    until(collector, "waiting")
    done = deploy(plant, "collector", "other")
    assert (done.code, done.events) == (1, []), done
    assert f"under guard already: switch {name}" in done.errors
    collector.exec(["fieldline", "guard", "revert", name], check=True)
    unchanged()


def test_after_a_power_cut_the_old_system_boots(
    plant: Lab, collector: Host, unchanged: Callable[[], None]
) -> None:
    broken(collector, "cut", "systemctl stop telegraf.service")
    start(collector, "cut", "1h")
    until(collector, "waiting")
    collector.crash()
    collector.boot()
    assert "the host restarted before a confirmation" in until(collector, "reverted")["reason"]
    plant.wait()
    unchanged()


def test_a_way_back_that_fails_ends_in_a_restart(
    collector: Host, unchanged: Callable[[], None]
) -> None:
    old = running(collector)[0].removeprefix(FOLDER + "/")
    broken(collector, "worse", "systemctl stop telegraf.service")
    start(collector, "worse", "10min")
    until(collector, "waiting")
    broken(collector, old, "exit 1")
    # Not waited for, and by the host's own systemd: a command that was begun from out here and is
    # still there when a host ends may be left stopped (nsenter stops when what it runs is stopped).
    collector.exec(["systemd-run", "--quiet", "fieldline", "guard", "revert"], check=True)
    # In the lab a host that restarts by itself is off; its switch is pressed here.
    wait_for("the restart", lambda: not collector.running, 60)
    fine(collector, old)
    collector.boot()
    assert until(collector, "reverted")["reboots"] == 1
    unchanged()


def test_kafkas_metadata_rises_with_a_fresh_backup_only(plant: Lab) -> None:
    db, opc = plant.hosts["db"], plant.hosts["opc"]
    for system, version in ((systems.DECLARED, "4.0"), ("newer", "4.1")):
        folder = fine(db, system) / "etc/fieldline"
        folder.mkdir(parents=True)
        (folder / "generation.json").write_text(json.dumps({"kafka_metadata": version}))
    opc.exec(["touch", "/root/empty.tar"], check=True)
    for options in ((), ("--backup", "/root/none.tar"), ("--backup", "/root/empty.tar")):
        done = deploy(plant, "db", "newer", *options)
        assert (done.code, done.events) == (1, []), done
        assert "rises from 4.0 to 4.1" in done.errors
    assert status(db)["phase"] is None
    opc.exec(["sh", "-c", "echo data > /root/full.tar"], check=True)
    done = deploy(plant, "db", "newer", "--backup", "/root/full.tar")
    assert done.code == 0, done
    # Going on from there nothing rises.
    fine(db, "newest")
    assert deploy(plant, "db", "newest", "--dry-run").code == 0
    assert running(db) == [f"{FOLDER}/newer"] * 2


def test_what_cannot_begin_changes_nothing(plant: Lab, unchanged: Callable[[], None]) -> None:
    fine(plant.hosts["collector"], "never")
    reasons = {
        ("collector", "nowhere", ()): "is no system of this host",
        ("collector", "never", ("--address", "192.168.0.99")): "cannot be reached by ssh",
        ("collector", "never", ("--user", "nobody")): "cannot be reached by ssh",
        ("collector@raspberry", "never", ()): "is no platform of collector",
        ("gamma", "never", ()): "The hosts are: collector, db, opc",
    }
    for (host, system, options), reason in reasons.items():
        done = deploy(plant, host, system, *options)
        assert (done.code, done.events) == (1, []), done
        assert reason in done.errors
    unchanged()
