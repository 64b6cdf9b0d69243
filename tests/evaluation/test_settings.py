"""What the evaluated NixOS hosts are set to is what the lab runs, leaf by leaf.

Equal means: each leaf that `lib/` sets has the same value on the NixOS host; each further leaf,
which nixpkgs' modules add, is on the reviewed list in `further.toml`.
"""

import fnmatch
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from . import nix_eval

FURTHER = tomllib.loads((nix_eval.HERE / "further.toml").read_text())

MACHINES = [
    f"{host}@{platform}"
    for host, settings in nix_eval.settings()["hosts"].items()
    for platform in settings["platforms"]
]

# A file of lib/ → the option that nixpkgs' module makes the same file of.
OPTIONS = {
    "/etc/telegraf/telegraf.toml": "services.telegraf.extraConfig",
    "/etc/apache-kafka/server.properties": "services.apache-kafka.settings",
    "/etc/influxdb2/config.json": "services.influxdb2.settings",
    "/etc/grafana/grafana.ini": "services.grafana.settings",
    "/etc/grafana/provisioning/datasources/fieldline.yaml": (
        "services.grafana.provision.datasources.settings"
    ),
    "/etc/grafana/provisioning/dashboards/fieldline.yaml": (
        "services.grafana.provision.dashboards.settings"
    ),
}


def host_of(machine: str) -> Any:
    return nix_eval.settings()["hosts"][machine.partition("@")[0]]


FILES = [
    pytest.param(machine, path, id=f"{machine}-{path.rpartition('/')[2]}")
    for machine in MACHINES
    for path in host_of(machine)["files"]
]


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Each leaf with its path; a list of tables is taken apart, another list is a leaf."""
    if isinstance(value, dict) and value:
        for key, entry in value.items():
            yield from leaves(entry, (*path, key))
    elif isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
        for position, entry in enumerate(value):
            yield from leaves(entry, (*path, str(position)))
    else:
        yield "/".join(path), value


def compare(declared: Any, evaluated: Any, what: str) -> None:
    """Every declared leaf is there, unchanged, and every further one was reviewed."""
    wanted, found = dict(leaves(declared)), dict(leaves(evaluated))
    different = {
        key: (value, found.get(key, "is missing"))
        for key, value in wanted.items()
        if key not in found or found[key] != value
    }
    assert not different, f"{what}: declared and evaluated differ: {different}"
    reviewed = FURTHER.get(what, {}).get("keys", ())
    further = {
        key: value
        for key, value in found.items()
        # What nixpkgs declares and does not set, is not written into a file either.
        if key not in wanted and value not in (None, {}, [])
        if not any(fnmatch.fnmatchcase(key, pattern) for pattern in reviewed)
    }
    assert not further, f"{what}: nobody has reviewed that NixOS adds {further}"


@pytest.mark.parametrize(("machine", "path"), FILES)
def test_file_is_the_same(machine: str, path: str) -> None:
    declared = host_of(machine)["files"][path]["value"]
    if path in OPTIONS:
        evaluated = nix_eval.config(machine, OPTIONS[path])
        compare(declared, evaluated, OPTIONS[path])
        return
    source = nix_eval.config(machine, "environment.etc", path.removeprefix("/etc/"), "source")
    assert nix_eval.files(machine)[source]["value"] == declared


@pytest.mark.parametrize("machine", MACHINES)
def test_firewall_is_the_same(machine: str) -> None:
    assert nix_eval.config(machine, "networking.nftables.ruleset") == host_of(machine)["nftables"]
    assert nix_eval.config(machine, "networking.nftables.enable") is True
    # NixOS' own would be a second table, with openings of its own.
    assert nix_eval.config(machine, "networking.firewall.enable") is False


@pytest.mark.parametrize("machine", MACHINES)
def test_address_is_the_same(machine: str) -> None:
    host = host_of(machine)
    addresses = nix_eval.config(machine, "systemd.network.networks", "10-plant", "address")
    assert addresses == [f"{host['address']}/{host['prefix']}"]
    hosts = nix_eval.config(machine, "networking.hosts")
    for name, other in nix_eval.settings()["hosts"].items():
        assert name in hosts[other["address"]]
    assert nix_eval.config(machine, "networking.hostName") == host["name"]


@pytest.mark.parametrize("machine", MACHINES)
def test_users_are_the_same(machine: str) -> None:
    users = nix_eval.config(machine, "users.users")
    host = host_of(machine)
    for name in host["users"]:
        assert users[name]["isSystemUser"] or users[name]["uid"] is not None
        assert not users[name]["openssh"]["authorizedKeys"]["keys"]
    for name, keys in host["admins"].items():
        assert users[name]["isNormalUser"]
        assert users[name]["openssh"]["authorizedKeys"]["keys"] == keys
        assert "wheel" in users[name]["extraGroups"]
    may_log_in = {name for name, user in users.items() if user["openssh"]["authorizedKeys"]["keys"]}
    assert may_log_in == set(host["admins"])
    assert nix_eval.config(machine, "users.mutableUsers") is False


@pytest.mark.parametrize("machine", MACHINES)
def test_ssh_is_the_same(machine: str) -> None:
    evaluated = nix_eval.config(machine, "services.openssh.settings")
    compare(host_of(machine)["sshd"], evaluated, "services.openssh.settings")


@pytest.mark.parametrize("machine", MACHINES)
def test_secrets_are_the_same(machine: str) -> None:
    host = host_of(machine)
    secrets = nix_eval.config(machine, "sops.secrets")
    assert sorted(secrets) == host["secrets"]
    for name, secret in secrets.items():
        assert secret["sopsFile"].endswith(f"/secrets/{host['secretFiles'][name]}") or secret[
            "sopsFile"
        ].endswith(host["secretFiles"][name].rpartition("/")[2])
        assert (secret["mode"], secret["owner"]) == ("0400", "root")
        users = {
            f"{unit}.service"
            for unit, body in host["units"].items()
            if f"/run/secrets/{name}" in body["credentials"].values()
        }
        assert set(secret["restartUnits"]) == users
        # The console's hash is wanted before there are users; everything else goes to units.
        assert secret["neededForUsers"] is (name == "console-password-hash")


@pytest.mark.parametrize("machine", MACHINES)
def test_time_is_kept(machine: str) -> None:
    assert nix_eval.config(machine, "services.timesyncd.enable") is True
    assert (
        nix_eval.config(machine, "networking.timeServers") == nix_eval.settings()["network"]["ntp"]
    )
    assert (
        nix_eval.config(machine, "networking.nameservers")
        == (nix_eval.settings()["network"]["nameservers"])
    )
