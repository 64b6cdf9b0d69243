"""`fieldline secrets` as a person uses it: processes, terminals, an editor."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from fieldline.secrets.age import new_key
from fieldline.secrets.sops import Sops
from fieldline.secrets.tools import Tools

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 60.0
YES_OR_NO = "[y/N]"
OVEN = """
[servers.oven]
endpoint = "opc.tcp://192.168.0.60"
namespace = 2
username = "reader"

[[assets]]
names = ["oven1"]
type = "sensors"
server = "oven"
"""

pytestmark = pytest.mark.skipif(
    shutil.which("nix-instantiate") is None, reason="no nix-instantiate on this machine"
)


class Plant:
    """A plant's folder of a person, with a home of its own."""

    def __init__(self, folder: Path, tools: Tools) -> None:
        self.folder, self.tools = folder, tools
        self.site = folder / "site.toml"
        self.key = folder / "home/.config/sops/age/keys.txt"
        shutil.copyfile(ROOT / "site.toml", self.site)

    def environment(self, **more: str) -> dict[str, str]:
        path = os.pathsep.join([str(Path(self.tools.sops).parent), os.environ["PATH"]])
        home = {"HOME": str(self.folder / "home"), "FIELDLINE_LIB": str(ROOT / "lib")}
        return {"PATH": path, "COLUMNS": "200", **home, **more}

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "fieldline.cli", "secrets", *arguments]

    def run(
        self, *arguments: str, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*arguments),
            cwd=self.folder,
            env=self.environment(**environment),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def on_terminal(self, answers: Sequence[tuple[str, str]], *arguments: str) -> tuple[int, str]:
        """Run it on a terminal, and type each answer when its question is there."""
        leader, follower = pty.openpty()
        with subprocess.Popen(
            self.argv(*arguments),
            cwd=self.folder,
            env=self.environment(TERM="dumb"),
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        ) as process:
            os.close(follower)
            seen = ""
            waiting = list(answers)
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                # What is typed before the echo is off is thrown away, as by every hidden prompt.
                hidden = not termios.tcgetattr(leader)[3] & termios.ECHO
                if waiting and waiting[0][0] in seen and (hidden or waiting[0][0] == YES_OR_NO):
                    os.write(leader, waiting.pop(0)[1].encode() + b"\n")
                if select.select([leader], [], [], 0.02)[0]:
                    try:
                        seen += os.read(leader, 4096).decode()
                    except OSError:
                        break
            else:
                process.kill()
            os.close(leader)
            return process.wait(SECONDS), seen

    def read(self, file: str) -> dict[str, str]:
        return Sops(self.tools, self.key).decrypt(self.folder / "secrets" / file)


@pytest.fixture
def plant(tools: Tools, tmp_path: Path) -> Plant:
    return Plant(tmp_path, tools)


def test_first_use(plant: Plant) -> None:
    done = plant.run("init")
    assert done.returncode == 0, done.stderr
    assert f"made your key {plant.key}: keep a copy" in done.stdout
    assert plant.key.stat().st_mode & 0o777 == 0o600
    assert "influxdb-admin-token" in plant.read("hosts/db.yaml")
    done = plant.run("init")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{plant.folder}: the secrets are complete; nothing changed\n"
    done = plant.run("show-recipients", "--json")
    files = json.loads(done.stdout)["files"]
    assert [name.partition(" age1")[0] for name in files["hosts/db.yaml"]] == ["admin", "host db"]
    done = plant.run("show-recipients")
    assert "secrets/shared.yaml: console-password-hash\n" in done.stdout


def test_no_output_tells_a_value(plant: Plant) -> None:
    outputs = [plant.run("init"), plant.run("rotate", "--all-generated")]
    outputs += [plant.run("rotate", "host-key-db", "--json"), plant.run("show-recipients")]
    outputs.append(plant.run("set", "grafana-admin-password", stdin="typed-by-hand\n"))
    values = [
        value
        for file in ("admin.yaml", "shared.yaml", "hosts/db.yaml")
        for value in plant.read(file).values()
    ]
    assert "typed-by-hand" in values
    for done in outputs:
        assert done.returncode == 0, done.stderr
        assert not any(value in done.stdout + done.stderr for value in values)


def test_the_committed_files_are_replaced_only_when_it_is_said(plant: Plant) -> None:
    shutil.copyfile(ROOT / ".sops.yaml", plant.folder / ".sops.yaml")
    shutil.copytree(ROOT / "secrets", plant.folder / "secrets")
    done = plant.run("init")
    assert done.returncode == 1
    assert "are somebody else's" in done.stderr
    assert "init --replace" in done.stderr
    assert not plant.key.exists()
    code, seen = plant.on_terminal([(YES_OR_NO, "n")], "init")
    assert code == 1
    assert "Replace them" in seen
    assert not plant.key.exists()
    code, seen = plant.on_terminal([(YES_OR_NO, "y")], "init")
    assert code == 0, seen
    assert plant.read("hosts/db.yaml")
    assert plant.run("init", "--replace").returncode == 0


def test_what_the_owner_of_a_device_decides(plant: Plant) -> None:
    plant.site.write_text(plant.site.read_text() + OVEN)
    done = plant.run("init")
    assert done.returncode == 1
    assert "fieldline secrets set opcua-oven-password" in done.stderr
    assert "influxdb-admin-token" in plant.read("hosts/db.yaml")
    assert "opcua-oven-password" not in plant.read("hosts/collector.yaml")
    done = plant.run("init", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["missing"] == ["opcua-oven-password"]
    # Rotating others is not hindered by it.
    assert plant.run("rotate", "--all-generated").returncode == 0
    done = plant.run("set", "opcua-oven-password", stdin="p%$ ä\n")
    assert done.returncode == 0, done.stderr
    assert "telegraf.service on collector" in done.stdout
    assert plant.read("hosts/collector.yaml")["opcua-oven-password"] == "p%$ ä"
    assert plant.run("init").returncode == 0
    questions = [("New value of", "typed"), ("Repeat for confirmation", "typed")]
    code, seen = plant.on_terminal(questions, "set", "opcua-oven-password")
    assert code == 0, seen
    assert "typed" not in seen
    assert plant.read("hosts/collector.yaml")["opcua-oven-password"] == "typed"
    for name, stdin in (("opcua-oven-password", ""), ("none", "x"), ("console-password-hash", "x")):
        assert plant.run("set", name, stdin=stdin).returncode == 1


def test_a_given_value_is_asked_for_on_a_terminal(plant: Plant) -> None:
    plant.site.write_text(plant.site.read_text() + OVEN)
    code, seen = plant.on_terminal([("opcua-oven-password (its owner", "typed")], "init")
    assert code == 0, seen
    assert "typed" not in seen
    assert plant.read("hosts/collector.yaml")["opcua-oven-password"] == "typed"


def test_rotation_says_what_it_takes_and_refuses_what_it_cannot(plant: Plant) -> None:
    plant.run("init")
    before = plant.read("hosts/db.yaml")
    done = plant.run("rotate", "influxdb-admin-password")
    assert done.returncode == 0
    assert "deploy db" in done.stdout
    assert "influxdb-provision.service on db" in done.stdout
    after = plant.read("hosts/db.yaml")
    assert {name for name in before if before[name] != after[name]} == {"influxdb-admin-password"}
    for name in ("influxdb-admin-token", "none", "host-key-none"):
        done = plant.run("rotate", name, "influxdb-admin-password")
        assert done.returncode == 1
        assert done.stdout == ""
    assert plant.read("hosts/db.yaml") == after
    assert plant.run("rotate").returncode == plant.run("rotate", "x", "--all-generated").returncode
    hashed = plant.read("shared.yaml")
    assert plant.run("rotate", "console-password-hash").returncode == 0
    assert plant.read("shared.yaml") != hashed


def test_hosts_come_and_go(plant: Plant) -> None:
    plant.run("init")
    text = plant.site.read_text()
    plant.site.write_text(
        text.replace('roles = ["opc-server"]\nmemory = 1024\n', 'roles = ["opc-server"]\n')
        + '[hosts.spare]\naddress = "192.168.0.77"\nplatforms = ["vbox"]\nroles = ["collector"]\n'
    )
    # Two collectors: each server says which.
    plant.site.write_text(
        plant.site.read_text().replace(
            "[servers.opc]\n", '[servers.opc]\ncollector = "collector"\n'
        )
    )
    done = plant.run("rekey")
    assert done.returncode == 0, done.stderr
    assert "host-key-spare" in plant.read("admin.yaml")
    plant.site.write_text(text)
    done = plant.run("rekey")
    assert "removed hosts/spare.yaml" in done.stdout
    assert "rotate --all-generated" in done.stdout
    assert not (plant.folder / "secrets/hosts/spare.yaml").exists()


def test_edit_uses_the_editor_and_leaves_no_plain_file(plant: Plant) -> None:
    plant.run("init")
    seen = plant.folder / "seen"
    editor = plant.folder / "editor"
    editor.write_text(
        f'#!/bin/sh\necho "$1" > {seen}\nsed -i "s/^console-password:.*/console-password: by-hand/"'
        ' "$1"\n'
    )
    editor.chmod(0o755)
    old = plant.read("shared.yaml")
    done = plant.run("edit", "admin", EDITOR=str(editor))
    assert done.returncode == 0, done.stderr
    assert plant.read("admin.yaml")["console-password"] == "by-hand"
    # What follows from it is made anew.
    assert plant.read("shared.yaml") != old
    path = Path(seen.read_text().strip())
    assert path.is_relative_to("/dev/shm") or path.is_relative_to("/run")
    assert not path.exists()
    assert not path.parent.exists()
    done = plant.run("edit", "db", EDITOR="true")
    assert (done.returncode, done.stdout) == (0, "nothing changed\n")
    before = (plant.folder / "secrets/hosts/db.yaml").read_bytes()
    done = plant.run("edit", "db", EDITOR="false")
    assert done.returncode == 1
    assert "Nothing was changed" in done.stderr
    assert (plant.folder / "secrets/hosts/db.yaml").read_bytes() == before
    assert plant.run("edit", "none").returncode == 1


def test_missing_programs_are_named_with_the_way_to_get_them(plant: Plant) -> None:
    folder = plant.folder / "tools"
    folder.mkdir()
    (folder / "nix-instantiate").symlink_to(str(shutil.which("nix-instantiate")))
    done = plant.run("init", PATH=str(folder))
    assert done.returncode == 1
    for text in ("nixpkgs#sops", "apt-get install age", "apt-get install openssl"):
        assert text in done.stderr
    assert "cause: not on PATH: sops, age-keygen, openssl" in done.stderr


def test_ctrl_c_leaves_nothing_behind(plant: Plant) -> None:
    plant.run("init")
    before = sorted(plant.folder.rglob("*"))
    slow = plant.folder / "bin"
    slow.mkdir()
    (slow / "sops").write_text("#!/bin/sh\necho started >&2\nkill -INT $PPID\nexec sleep 60\n")
    (slow / "sops").chmod(0o755)
    path = f"{slow}:{plant.environment()['PATH']}"
    done = plant.run("rotate", "influxdb-admin-password", PATH=path)
    assert done.returncode == 128 + signal.SIGINT
    assert "Traceback" not in done.stderr
    shutil.rmtree(slow)
    assert sorted(plant.folder.rglob("*")) == before


def test_help_has_examples(plant: Plant) -> None:
    done = plant.run("--help")
    commands = re.findall(r"^│ ([a-z-]+) ", done.stdout, re.MULTILINE)
    commands = [command for command in commands if not command.startswith("--")]
    assert set(commands) >= {"init", "edit", "set", "rotate", "rekey", "show-recipients"}
    for command in commands:
        assert f"fieldline secrets {command}" in plant.run(command, "--help").stdout


def test_a_site_beside_the_files_is_the_one_that_is_meant(plant: Plant, tools: Tools) -> None:
    other = plant.folder / "other"
    other.mkdir()
    shutil.copyfile(plant.site, other / "site.toml")
    plant.site.unlink()
    key = other / "key.txt"
    key.write_text(new_key(tools) + "\n")
    done = plant.run("init", "--folder", str(other), "--admin-key", str(key))
    assert done.returncode == 0, done.stderr
    assert (other / "secrets/hosts/db.yaml").is_file()
