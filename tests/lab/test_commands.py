"""`fieldline lab` as a person uses it."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fieldline.errors import FieldlineError
from fieldline_lab.lab import Lab
from traces import nothing, traces
from worktree import REPOSITORY, SECONDS, USER, WorkTree, declaration


def test_up_status_exec_logs_down(tree: WorkTree) -> None:
    names = tree.names()
    before = traces(names)
    done = tree.cli("up")
    assert done.returncode == 0, done.stderr
    assert "Up after" in done.stdout
    assert len(traces(names)["namespaces"]) == 3

    status = json.loads(tree.cli("status", "--json").stdout)
    assert status["id"] == names.lab_id
    assert {name: host["running"] for name, host in status["hosts"].items()} == {
        "alpha": True,
        "beta-two": True,
    }
    assert status["hosts"]["alpha"]["units"]["server.service"]["well"]
    assert tree.cli("status").returncode == 0

    done = tree.cli("exec", "alpha", "--", "sh", "-c", "echo out; echo err >&2; exit 42")
    assert (done.returncode, done.stdout, done.stderr) == (42, "out\n", "err\n")
    # Options of the command are its own, with or without the separator.
    assert tree.cli("exec", "alpha", "ls", "-d", "/").stdout == "/\n"
    assert "Started server.service" in tree.cli("logs", "alpha", "server").stdout

    done = tree.cli("down")
    assert (done.returncode, done.stdout) == (0, "The lab is down.\n")
    assert traces(names) == before == nothing(names)
    # The data stay, and with them the logs.
    assert "Started server.service" in tree.cli("logs", "alpha", "server").stdout
    assert tree.cli("down").stdout == "The lab was not up.\n"
    assert tree.cli("down", "--purge").returncode == 0
    assert not names.state.exists()


def test_up_again_changes_nothing(tree: WorkTree) -> None:
    tree.cli("up")
    lab = Lab.running(tree.names())
    leaders = {name: host.leader() for name, host in lab.hosts.items()}
    done = tree.cli("up")
    assert done.returncode == 0
    assert "was up already" in done.stdout
    assert {name: host.leader() for name, host in lab.hosts.items()} == leaders


def test_up_switches_on_what_is_off(tree: WorkTree) -> None:
    tree.cli("up")
    lab = Lab.running(tree.names())
    alpha = lab.hosts["alpha"].leader()
    lab.hosts["beta-two"].crash()
    assert tree.cli("status").returncode == 1
    assert tree.cli("up").returncode == 0
    assert lab.hosts["alpha"].leader() == alpha
    assert lab.hosts["beta-two"].running


def test_a_changed_declaration_restarts_what_it_concerns_when_asked_to(tree: WorkTree) -> None:
    tree.cli("up")
    lab = Lab.running(tree.names())
    alpha, beta = lab.hosts["alpha"].leader(), lab.hosts["beta-two"].leader()

    def change(value: dict[str, Any]) -> None:
        value["hosts"]["beta-two"]["files"] = {"/etc/new": {"format": "text", "value": "new"}}

    tree.change(change)
    done = tree.cli("up")
    assert done.returncode == 1
    assert "another declaration, or other code, of beta-two" in done.stderr
    assert (lab.hosts["alpha"].leader(), lab.hosts["beta-two"].leader()) == (alpha, beta)

    assert tree.cli("up", "--restart").returncode == 0
    assert lab.hosts["alpha"].leader() == alpha
    assert lab.hosts["beta-two"].leader() not in (None, beta)
    assert tree.cli("exec", "beta-two", "cat", "/etc/new").stdout == "new"


def test_a_removed_host_goes_and_a_new_address_comes(tree: WorkTree) -> None:
    tree.cli("up")

    def change(value: dict[str, Any]) -> None:
        del value["hosts"]["beta-two"]
        value["network"]["gateway"] = "10.0.7.1"
        value["hosts"]["alpha"]["address"] = "10.0.7.5"

    tree.change(change)
    assert tree.cli("up", "--restart").returncode == 0
    status = json.loads(tree.cli("status", "--json").stdout)
    assert {name: host["address"] for name, host in status["hosts"].items()} == {
        "alpha": "10.0.7.5"
    }
    assert len(traces(tree.names())["namespaces"]) == 2


def test_data_persist_until_fresh(tree: WorkTree) -> None:
    def starts() -> str:
        return tree.cli("exec", "alpha", "cat", "/var/lib/server/starts").stdout

    def secret() -> str:
        return tree.cli("exec", "alpha", "sha256sum", "/run/secrets/password").stdout

    tree.cli("up")
    first = secret()
    assert starts() == "x"
    tree.cli("down")
    tree.cli("up")
    assert starts() == "xx"
    assert secret() == first
    boots = tree.cli("exec", "alpha", "journalctl", "--list-boots", "--quiet").stdout
    assert len(boots.splitlines()) == 2
    assert tree.cli("up", "--fresh").returncode == 0
    assert starts() == "x"
    assert secret() != first


def test_a_unit_that_fails_is_shown_with_its_last_lines(tree: WorkTree) -> None:
    def change(value: dict[str, Any]) -> None:
        command = {"program": "/bin/sh", "arguments": ["-c", "echo the reason; exit 3"]}
        value["hosts"]["alpha"]["units"]["broken"] = {
            "command": command,
            "wantedBy": ["multi-user.target"],
            "serviceConfig": {"Type": "oneshot"},
        }

    tree.change(change)
    done = tree.cli("up")
    assert done.returncode == 1
    assert "broken on alpha does not run" in done.stderr
    assert "fieldline lab logs alpha broken" in done.stderr
    assert "failed (failed), exit-code 3" in done.stderr
    assert "the reason" in done.stderr
    # It stays up, to be looked at; `--restart` tries again.
    assert tree.cli("status").returncode == 1
    tree.declare(declaration())
    assert tree.cli("up", "--restart").returncode == 0


def test_a_unit_whose_requirement_fails_is_not_waited_for(tree: WorkTree) -> None:
    def change(value: dict[str, Any]) -> None:
        units = value["hosts"]["alpha"]["units"]
        units["server"]["requires"] = ["broken.service"]
        units["server"]["after"] = ["broken.service"]
        units["broken"] = {
            "command": {"program": "/bin/false"},
            "serviceConfig": {"Type": "oneshot"},
        }

    tree.change(change)
    done = tree.cli("up", "--timeout", "50")
    assert done.returncode == 1
    assert "server on alpha does not run" in done.stderr


def test_an_unknown_host_is_answered_with_the_known_ones(tree: WorkTree) -> None:
    for command in ("exec", "logs", "shell"):
        arguments = [command, "gamma", *(["true"] if command == "exec" else [])]
        done = tree.cli(*arguments)
        assert done.returncode == 1
        assert done.stderr == "There is no host 'gamma'. The hosts are: alpha, beta-two.\n"


def test_commands_on_a_lab_that_is_not_up(tree: WorkTree) -> None:
    assert tree.cli("status").returncode == 3
    assert json.loads(tree.cli("status", "--json").stdout)["up"] is False
    done = tree.cli("exec", "alpha", "true")
    assert (done.returncode, done.stderr) == (
        1,
        "The lab is not up. `fieldline lab up` starts it.\n",
    )


def test_two_labs_side_by_side_do_not_meet(tree: WorkTree) -> None:
    other = WorkTree()
    try:
        # The same names and addresses, from two work trees.
        starting = [tree.start("up"), other.start("up")]
        for process in starting:
            output, _ = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, output
        for each, text in ((tree, "one"), (other, "two")):
            each.cli("exec", "alpha", "sh", "-c", f"echo {text} > /var/lib/which")
        for each, text in ((tree, "one"), (other, "two")):
            assert each.cli("exec", "alpha", "cat", "/var/lib/which").stdout == f"{text}\n"
        assert tree.cli("down").returncode == 0
        assert other.cli("status").returncode == 0
        names = [each.names().lab_id for each in (tree, other)]
        assert names[0] != names[1]
    finally:
        other.cli("down", "--purge")
        assert traces(other.names()) == nothing(other.names())
        shutil.rmtree(other.path)


def test_two_labs_of_one_site_by_name(tree: WorkTree) -> None:
    try:
        assert tree.cli("up").returncode == 0
        assert tree.cli("up", "--name", "second").returncode == 0
        assert tree.cli("exec", "alpha", "sh", "-c", "echo 1 > /var/lib/which").returncode == 0
        assert (
            tree.cli("exec", "--name", "second", "alpha", "cat", "/var/lib/which").returncode == 1
        )
    finally:
        assert tree.cli("down", "--purge", "--name", "second").returncode == 0


def test_a_shell_is_on_the_terminal_and_gives_its_exit_code(tree: WorkTree) -> None:
    tree.cli("up")
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *tree.argv("shell", "alpha")],
        cwd=tree.path,
        env=tree.environment(TERM="xterm"),
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    with os.fdopen(leader, "rb+", buffering=0) as terminal:
        seen = b""
        while not seen.endswith(b"# "):
            seen += terminal.read(1)
        assert b"root@alpha" in seen
        terminal.write(b"test -t 0 && test $TERM = xterm && exit 9\n")
        assert process.wait(SECONDS) == 9


def _tools_without_sudo(folder: Path) -> Path:
    """A folder for PATH with this machine's commands, but no sudo."""
    folder.mkdir()
    tools = ("bash", "sh", "nsenter", "setpriv", "systemd-nspawn", "dbus-daemon")
    for name in (*tools, "age-keygen", "openssl"):
        (folder / name).symlink_to(str(shutil.which(name)))
    (folder / "nix-instantiate").symlink_to(str(shutil.which("nix-instantiate")))
    return folder


def test_without_root_and_sudo_one_line_says_so(tree: WorkTree) -> None:
    path = _tools_without_sudo(tree.path / "tools")
    done = tree.as_user(tree.argv("up"), PATH=str(path))
    assert done.returncode == 1
    assert done.stderr == (
        "The lab needs root to boot the hosts and join them in a network of their own, and there"
        " is no `sudo` here: run it as root.\n"
    )


def test_a_user_without_a_nix_store_evaluates_the_declaration(tree: WorkTree) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from fieldline.evaluate import evaluate\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "print(os.geteuid(), *evaluate(root / 'lib', root / 'site.toml')['hosts'])\n"
    )
    done = tree.as_user([sys.executable, "-c", code, str(REPOSITORY)])
    assert done.returncode == 0, done.stderr
    uid, *hosts = done.stdout.split()
    assert int(uid) == USER
    assert hosts


def test_a_user_prepares_and_root_boots(tree: WorkTree) -> None:
    """A stand-in for sudo shows what it is asked for; run as root, that boots the lab."""
    path = _tools_without_sudo(tree.path / "tools")
    asked = tree.path / "asked"
    asked.touch()
    asked.chmod(0o666)
    kept = tree.path / "kept.json"
    script = f'printf "%s\\n" "$@" > {asked}; cp {tree.path}/.lab/.plan-*.json {kept}; exit 5'
    (path / "sudo").write_text(f"#!/bin/sh\n{script}\n")
    (path / "sudo").chmod(0o755)
    tree.give_part("sops")
    os.chown(tree.path, USER, USER)
    done = tree.as_user(
        tree.argv("up", "--fresh"), PATH=f"{path}:/usr/bin:/bin", HOME=str(tree.path)
    )
    assert done.returncode == 5, done.stderr
    assert "root is needed to boot the hosts" in done.stderr
    separator, *argv = asked.read_text().splitlines()
    assert separator == "--"
    plan = argv.index("--plan") + 1
    # It is of no use once sudo has refused.
    assert not Path(argv[plan]).exists()
    argv[plan] = str(kept)
    booted = subprocess.run(argv, cwd="/", capture_output=True, text=True, check=False)
    assert booted.returncode == 0, booted.stderr
    assert tree.cli("status").returncode == 0


def test_a_user_can_remove_what_root_has_made_in_the_work_tree(tree: WorkTree) -> None:
    for path in (tree.path, *tree.path.rglob("*")):
        os.chown(path, USER, USER)
    assert tree.cli("up").returncode == 0
    assert tree.cli("down", "--purge").returncode == 0
    folder = tree.path / ".lab"
    assert list(folder.rglob("*"))
    done = tree.as_user(["rm", "--recursive", str(folder)])
    assert done.returncode == 0, done.stderr


def test_an_owner_has_its_lab_alone(tree: WorkTree) -> None:
    lab = Lab.from_worktree(tree.path)
    with lab.claim():
        lab.up()
        with pytest.raises(FieldlineError, match="in use by another command: process"), lab.claim():
            pass
        # The others still look into it, and may end it.
        assert tree.cli("status").returncode == 0
        assert tree.cli("down").returncode == 0
    with lab.claim():
        pass
    assert traces(tree.names()) == nothing(tree.names())


def test_a_missing_program_is_named_with_its_package(tree: WorkTree) -> None:
    path = tree.path / "tools"
    path.mkdir()
    for name in ("bash", "nsenter", "setpriv", "dbus-daemon", "age-keygen", "openssl"):
        (path / name).symlink_to(str(shutil.which(name)))
    done = subprocess.run(
        tree.argv("up"),
        cwd=tree.path,
        env=tree.environment(PATH=str(path)),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "The lab needs packages that are not installed: apt-get install systemd-container.\n"
    )


def test_a_refused_declaration_starts_nothing(tree: WorkTree) -> None:
    (tree.path / "site.toml").write_text("schema = 1\n")
    (tree.path / "lib" / "default.nix").write_text('{ site }: throw "wrong"')
    done = tree.cli("up")
    assert done.returncode == 1
    assert "missing" in done.stderr
    assert traces(tree.names()) == nothing(tree.names())
