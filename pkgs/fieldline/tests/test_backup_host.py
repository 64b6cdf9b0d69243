"""What a backup does on a host, really: units that are started again, signals, the lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fieldline.backup.host import Interruptions, locked, started_again
from fieldline.errors import FieldlineError

HELPER = """
import sys, time
from pathlib import Path
from fieldline.backup.host import started_again
with started_again(["a.service", "b.service"], Path(sys.argv[1])):
    print("inside", flush=True)
    time.sleep(60) if sys.argv[2] == "stay" else None
"""


def run_helper(tmp_path: Path, how: str) -> tuple[subprocess.Popen[str], Path, Path]:
    """A process within `started_again`, whose systemctl is a script that notes its arguments."""
    left = tmp_path / "left over"
    (left / "more").mkdir(parents=True)
    calls = tmp_path / "calls"
    programs = tmp_path / "bin"
    programs.mkdir()
    texts = {
        "systemctl": f'echo "$@" >> {calls}',
        "systemd-run": 'while [ "$1" != sh ]; do shift; done; exec "$@"',
    }
    for name, text in texts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-c", HELPER, str(left), how],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    return process, left, calls


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_has_its_units_started(tmp_path: Path, number: int) -> None:
    process, left, calls = run_helper(tmp_path, "stay")
    process.send_signal(number)
    process.wait()
    if number == signal.SIGINT:
        # It ended by itself: what it stopped is its own to start, which the callers do.
        assert not calls.exists()
        assert left.exists()
        return
    end = time.monotonic() + 30
    while left.exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert calls.read_text() == "start a.service b.service\n"
    assert not left.exists()


def test_without_a_helper_nothing_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "systemd-run").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "systemd-run").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(FieldlineError, match="nothing was stopped"), started_again(["a.service"]):
        pytest.fail("it began")


def test_an_orderly_end_starts_nothing(tmp_path: Path) -> None:
    process, left, calls = run_helper(tmp_path, "end")
    assert process.wait() == 0
    assert not calls.exists()
    assert left.exists()


def twice(interruptions: Interruptions, number: int, done: list[str]) -> None:
    with interruptions.held():
        with interruptions.held():
            signal.raise_signal(number)
            done.append("inner")
        done.append("outer")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_wait_where_nothing_is_interrupted(number: int) -> None:
    interruptions = Interruptions()
    before = signal.getsignal(number)
    done: list[str] = []
    with interruptions.caught():
        with pytest.raises(KeyboardInterrupt):
            twice(interruptions, number, done)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        with interruptions.held():
            pass
    assert done == ["inner", "outer"]
    assert signal.getsignal(number) is before


def test_one_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    errors: list[str] = []

    def other() -> None:
        try:
            with locked(lock):
                errors.append("")
        except FieldlineError as error:
            errors.append(error.what_to_do)

    for expected in ("Wait for the other backup or restore on this host.", ""):
        if expected:
            with locked(lock):
                thread = threading.Thread(target=other)
                thread.start()
                thread.join()
        else:
            other()
        assert errors.pop() == expected
