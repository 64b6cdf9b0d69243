"""The units of the evaluated hosts are those that the lab boots; ours to the letter."""

import re
from pathlib import Path
from subprocess import run
from typing import Any

import pytest

from . import nix_eval
from .test_settings import MACHINES, compare, host_of

# Programs that NixOS runs from our packages; a unit of another one is nixpkgs' own.
OURS = {"fieldline", "gap-filler", "opc-server", "stream-model"}
# What a unit of ours may run beside them, as do many of NixOS' own.
THEIRS = {"systemctl"}
# What stands in a unit's serviceConfig beside lib's own, since lib writes it in words of its own.
COMMANDS = {"ExecCondition", "ExecStart", "ExecStartPre", "ExecStartPost", "LoadCredential"}

UNITS = [
    pytest.param(machine, name, id=f"{machine}-{name}")
    for machine in MACHINES
    for name in host_of(machine)["units"]
]


def is_ours(unit: Any) -> bool:
    return unit["command"]["program"] in OURS | THEIRS


def evaluated(machine: str, name: str) -> Any:
    return nix_eval.units(machine)[name]


@pytest.mark.parametrize(("machine", "name"), UNITS)
def test_service_config(machine: str, name: str) -> None:
    unit = host_of(machine)["units"][name]
    config = dict(evaluated(machine, name)["serviceConfig"])
    commands = {key: config.pop(key) for key in COMMANDS if key in config}
    credentials = [f"{key}:{path}" for key, path in sorted(unit["credentials"].items())]
    assert sorted(as_list(commands.get("LoadCredential"))) == credentials
    if is_ours(unit):
        # Equal but for the program's place in the store.
        assert config == unit["serviceConfig"]
        place, *arguments = words(commands["ExecStart"])
        assert re.fullmatch(rf"/nix/store/[^/]+/bin/{unit['command']['program']}", place)
        assert arguments == unit["command"]["arguments"]
        assert "ExecStartPre" not in commands
        conditions = [words(line)[1:] for line in as_list(commands.get("ExecCondition"))]
        assert conditions == [command["arguments"] for command in unit["conditions"]]
    else:
        compare(unit["serviceConfig"], config, f"units.{name}")
        # Ours in place of what nixpkgs' module would wait with.
        after = [words(line)[1:] for line in as_list(commands.get("ExecStartPost"))]
        assert after == [command["arguments"] for command in unit["postStart"]]


@pytest.mark.parametrize("machine", MACHINES)
def test_path_units(machine: str) -> None:
    for name, path in host_of(machine)["paths"].items():
        for key, value in path.items():
            assert nix_eval.config(machine, "systemd.paths", name, key) == value


@pytest.mark.parametrize(("machine", "name"), UNITS)
def test_relations_and_environment(machine: str, name: str) -> None:
    unit, found = host_of(machine)["units"][name], evaluated(machine, name)
    for relation in ("after", "wants", "requires", "wantedBy"):
        assert set(unit[relation]) <= set(found[relation])
    assert found["description"] == unit["description"]
    for key, value in unit["unitConfig"].items():
        assert found["unitConfig"][key] == value
    environment = dict(unit["environment"].items())
    if not is_ours(unit):
        # nixpkgs' module writes the configuration into the store and points there.
        environment.pop("INFLUXD_CONFIG_PATH", None)
    assert environment.items() <= found["environment"].items()


@pytest.mark.parametrize("machine", MACHINES)
def test_no_unit_of_ours_beside_the_declared(machine: str) -> None:
    declared = set(host_of(machine)["units"])
    named = {
        name
        for name, unit in nix_eval.units(machine).items()
        if any(f"/bin/{program}" in (unit["text"] or "") for program in OURS)
    }
    assert named <= declared


@pytest.mark.parametrize("machine", MACHINES)
def test_systemd_takes_the_units(machine: str, tmp_path: Path) -> None:
    """`systemd-analyze verify` of the evaluated texts, their programs replaced by one here."""
    names = []
    for name in host_of(machine)["units"]:
        text = re.sub(r"/nix/store/[^/\s]+/[^\s\"]*", "/bin/true", evaluated(machine, name)["text"])
        file = tmp_path / f"{name}.service"
        file.write_text(text)
        names.append(str(file))
    # What units are ordered by and this machine may not have.
    for other in ("nftables.service", "influxdb2.service", "sshd.service"):
        if not (tmp_path / other).exists():
            (tmp_path / other).write_text("[Service]\nExecStart=/bin/true\n")
    done = run(
        ["systemd-analyze", "verify", "--man=no", *names],
        capture_output=True,
        text=True,
        check=False,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
    )
    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert not ours, done.stderr
    assert done.returncode == 0, done.stderr


def test_systemd_refuses_a_wrong_unit(tmp_path: Path) -> None:
    """The check above can fail."""
    file = tmp_path / "wrong.service"
    file.write_text("[Service]\nExecStart=/bin/true\nRestrt=always\n")
    done = run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False
    )
    assert str(file) in done.stderr


def as_list(value: Any) -> list[str]:
    return [] if value is None else value if isinstance(value, list) else [value]


def words(line: str) -> list[str]:
    """A command line as NixOS quotes it (utils.escapeSystemdExecArgs): JSON strings, %% and $$."""
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line)
    return [(quoted or plain).replace("%%", "%").replace("$$", "$") for quoted, plain in parts]
