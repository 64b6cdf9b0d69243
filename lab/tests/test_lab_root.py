"""How root is asked for, and what root makes is handed over."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fieldline_lab import elevate
from fieldline_lab.state import hand_over


@pytest.fixture
def sudo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Puts a stand-in for sudo, of this shell text, on the PATH of somebody who is not root."""

    def make(text: str) -> Path:
        path = tmp_path / "bin" / "sudo"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    monkeypatch.setattr(elevate.os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return make


def test_root_is_asked_for_through_sudo_with_the_same_python(
    sudo: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    sudo('printf "%s\\n" "$@"; exit 7')
    monkeypatch.setenv("PYTHONPATH", "/a:/b")
    with pytest.raises(SystemExit) as ended:
        elevate.run_as_root(["down", "--name", "x"], "stop the hosts")
    assert ended.value.code == 7
    said = capfd.readouterr()
    assert said.out.splitlines() == [
        *("--", "env", "PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH=/a:/b"),
        *(sys.executable, "-m", "fieldline_lab", "down", "--name", "x"),
    ]
    assert said.err == "fieldline: root is needed to stop the hosts; asking through sudo\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_ends_a_command_ends_what_sudo_runs_and_the_plan_goes(
    sudo: Callable[[str], Path], tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / ".lab").mkdir()
    sudo("trap 'echo ended; exit 9' INT TERM HUP; echo runs; while :; do sleep 0.05; done")
    code = (
        "import pathlib, sys\n"
        "from fieldline_lab import elevate, names, plan\n"
        "elevate.is_root = lambda: False\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "path = plan.plan_file(names.LabNames.of(root, root / 'site.toml'))\n"
        "path.write_text('{}')\n"
        "elevate.run_as_root(['up', '--plan', str(path)], 'boot')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        process_group=0,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "runs\n"
    assert len(list((tmp_path / ".lab").iterdir())) == 1
    if number == signal.SIGTERM:
        # Not from the terminal: to the command alone.
        process.send_signal(number)
    else:
        os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=20)
    assert output == "ended\n"
    assert process.returncode == 9
    assert list((tmp_path / ".lab").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_makes_is_handed_over_and_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    worktree = tmp_path / "worktree"
    folder = worktree / ".lab" / ".java"
    (folder / "below").mkdir(parents=True)
    for path in (folder / "a.jsa", folder / "below" / "b"):
        path.touch()
    (folder / "link").symlink_to(outside)
    (folder / "other").symlink_to(outside / "file")
    (folder / "hard").hardlink_to(outside / "file")
    hand_over(folder, worktree)
    assert folder.stat().st_uid == 0
    os.chown(worktree, 65534, 65533)
    hand_over(folder, worktree)
    for path in (folder, folder / "a.jsa", folder / "below", folder / "below" / "b"):
        assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65533)
    for path in (outside, outside / "file", worktree / ".lab"):
        assert path.stat().st_uid == 0
    # One that is a link itself is left alone altogether.
    (worktree / "link").symlink_to(outside)
    hand_over(worktree / "link", worktree)
    assert outside.stat().st_uid == 0
