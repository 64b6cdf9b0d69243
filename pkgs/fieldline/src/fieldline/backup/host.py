"""What a backup does on a host besides its files: units, signals, and a lock."""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from fieldline.errors import FieldlineError

LOCK = Path("/run/fieldline-backup.lock")

# A first failure may be a port that is just being given back; a server that fails again on the same
# data goes on failing.
_ATTEMPTS = 3
_POLL_SECONDS = 0.2


class Units:
    """systemd's units on this host. The programs it runs do not get the terminal's signals."""

    def running(self, units: Sequence[str]) -> dict[str, bool]:
        """Those of the units that are on this host, and whether each one runs or is to run."""
        found = {}
        for unit in units:
            state = _show(unit, "LoadState", "ActiveState")
            if state["LoadState"] == "loaded":
                found[unit] = state["ActiveState"] not in ("inactive", "failed", "deactivating")
        return found

    def stop(self, units: Sequence[str]) -> None:
        """Stop units, in the order that they declare.

        Raises:
            FieldlineError: one cannot be stopped.
        """
        done = _systemctl("stop", *units)
        if done.returncode:
            raise FieldlineError(
                f"Look why {' and '.join(units)} cannot be stopped: `systemctl status`.",
                done.stderr.strip(),
            )

    def start(self, unit: str) -> None:
        """Start a unit and wait until it is ready, however long its server recovers.

        Raises:
            FieldlineError: it fails again and again.
        """
        # The count of restarts is one of this start, and not of an earlier one.
        _systemctl("reset-failed", unit)
        _systemctl("start", "--no-block", unit)
        # No word but "failed" is the last one: a unit is restarted, and its job is over meanwhile.
        while True:
            state = _show(unit, "ActiveState", "NRestarts", "Job")
            ends = state["ActiveState"] in ("active", "inactive", "failed") and not state["Job"]
            if ends or int(state["NRestarts"] or 0) >= _ATTEMPTS:
                break
            time.sleep(_POLL_SECONDS)
        if state["ActiveState"] != "active":
            log = _run("journalctl", "--unit", unit, "--lines=3", "--output=cat", "--no-pager")
            raise FieldlineError(
                f"{unit} does not start: see `journalctl -u {unit}`.", log.stdout.strip()
            )

    def main_process(self, unit: str) -> int:
        """The number of a unit's process; 0 where it does not run."""
        return int(_show(unit, "MainPID")["MainPID"] or 0)


def _show(unit: str, *properties: str) -> dict[str, str]:
    done = _systemctl("show", unit, *(f"--property={name}" for name in properties))
    values = dict.fromkeys(properties, "")
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        values[name] = value
    return values


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return _run("systemctl", *arguments)


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise FieldlineError(
            "Run this on a host of the site: systemd is missing.", str(error)
        ) from None


@contextmanager
def started_again(units: Sequence[str], *leftovers: Path) -> Iterator[None]:
    """While this lasts, units are started and leftovers removed should this process be killed.

    A helper waits for the end of a pipe that only this process holds; not even SIGKILL is missed.
    It is a unit of its own, since what kills this process may mean all of its session.

    Raises:
        FieldlineError: there can be no helper; nothing must be stopped then.
    """
    start = shlex.join(["systemctl", "start", *units])
    removal = shlex.join(["rm", "-rf", "--", *map(str, leftovers)])
    script = f"echo waiting; read -r done || {{ {start}; {removal}; }}"
    with subprocess.Popen(
        [
            *("systemd-run", "--quiet", "--collect", "--pipe"),
            *("--description=Starts what a killed backup has stopped", "--setenv=PATH"),
            *("sh", "-c", script),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    ) as helper:
        assert helper.stdin is not None
        assert helper.stdout is not None
        try:
            if helper.stdout.readline() != b"waiting\n":
                raise FieldlineError(
                    "Look why systemd-run fails on this host; nothing was stopped."
                )
            yield
        finally:
            with suppress(BrokenPipeError):
                helper.stdin.write(b"done\n")


class Interruptions:
    """Signals that ask this process to end, as KeyboardInterrupt, or later where it must go on."""

    _SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._held = 0
        self._asked = False

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Within this the end of a session (SIGHUP) and SIGTERM are like Ctrl-C."""
        before = [signal.signal(number, self._handle) for number in self._SIGNALS]
        try:
            yield
        finally:
            for number, handler in zip(self._SIGNALS, before, strict=True):
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within this nothing is interrupted; it is afterwards."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        if self._asked and not self._held:
            self._asked = False
            raise KeyboardInterrupt

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._held:
            self._asked = True
        else:
            raise KeyboardInterrupt


@contextmanager
def locked(path: Path = LOCK) -> Iterator[None]:
    """One backup or restore at a time.

    Raises:
        FieldlineError: another one runs, or not root.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise FieldlineError("Only root may do this; use sudo.", str(error)) from None
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise FieldlineError(
            "Wait for the other backup or restore on this host.", str(error)
        ) from None
