"""What a switch does on a host: NixOS' own programs, each bounded in time.

Sources: nixpkgs, nixos/modules/system/activation/switch-to-configuration.pl (actions, exit codes)
and nixos-rebuild (the profile is set, then `boot` installs the boot loader's entry).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

CURRENT = Path("/run/current-system")
PROFILE = Path("/nix/var/nix/profiles/system")
STORE = Path("/nix/store")
SWITCH = Path("bin/switch-to-configuration")

# The switch itself is done, but some unit does not run: its exit code for that.
UNITS_FAILED = 4
POLL_SECONDS = 0.2
# Between SIGTERM and SIGKILL.
GRACE_SECONDS = 5.0

# `False` ends what runs.
GoOn = Callable[[], bool]


def running_system() -> str:
    """The system that runs, resolved; an empty text where there is none."""
    return _resolved(CURRENT)


def boot_default() -> str:
    """The system that the next start would boot, resolved."""
    return _resolved(PROFILE)


def _resolved(link: Path) -> str:
    return str(link.resolve()) if link.exists() else ""


class Machine:
    """The host's programs. Each method gives the cause of a failure, or an empty text."""

    def __init__(self, within: float) -> None:
        self._within = within

    def test(self, system: str, go_on: GoOn) -> str:
        """Switch to a system until the next start, as long as `go_on` says so.

        Units that have failed do not count: it is told of every one on the host, also those that
        failed before, and of each that waits for its next attempt. Whether the host does its work
        is shown by fresh data, or nobody confirms.
        """
        status = _run([str(Path(system, SWITCH)), "test"], go_on)
        return "" if self._switched(status, system) else _ended(status)

    def persist(self, system: str) -> tuple[str, str]:
        """Make a system the boot default, and the running one should it not be; cause and note."""
        action = "boot" if running_system() == system else "switch"
        return self._set_default(system, action), ""

    def revert(self, system: str) -> tuple[str, str]:
        """Make a system the running one and the boot default again; cause and note."""
        note = ""
        status = _run([str(Path(system, SWITCH)), "test"], self._bounded())
        if status == UNITS_FAILED and self._switched(status, system):
            # A unit that failed before this deployment too is no reason to restart a whole host.
            note = "the old system is back, but some of its units have failed"
        elif status != 0:
            return _ended(status), ""
        if boot_default() != system:
            return self._set_default(system, "boot"), note
        return "", note

    @staticmethod
    def _switched(status: int | str, system: str) -> bool:
        return status == 0 or (status == UNITS_FAILED and running_system() == system)

    def reboot(self) -> str:
        """Restart the host; returns only where that fails, or shortly before it happens."""
        return _ended(_run(["systemctl", "reboot"], self._bounded()))

    def _set_default(self, system: str, action: str) -> str:
        # What is not in the store (a system of the lab) cannot be a generation of the profile; its
        # own `boot` says what is booted.
        if Path(system).is_relative_to(STORE):
            status = _run([_nix_env(), "-p", str(PROFILE), "--set", system], self._bounded())
            if status != 0:
                return f"nix-env ended with {status}"
        return _ended(_run([str(Path(system, SWITCH)), action], self._bounded()))

    def _bounded(self) -> GoOn:
        end = time.monotonic() + self._within
        return lambda: time.monotonic() < end


def _nix_env() -> str:
    return shutil.which("nix-env") or str(CURRENT / "sw/bin/nix-env")


def _ended(status: int | str) -> str:
    if isinstance(status, str):
        return status
    return f"switch-to-configuration ended with {status}" if status else ""


def _run(argv: list[str], go_on: GoOn) -> int | str:
    """Run a program to its end; its exit status, or why there is none.

    It has a process group of its own, so that what it has started ends with it.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            # nixos-rebuild's default: the boot loader's entries are written, not the loader itself.
            env={**os.environ, "NIXOS_INSTALL_BOOTLOADER": ""},
        )
    except OSError as error:
        return f"{argv[0]} cannot be run: {error}"
    while go_on():
        try:
            return process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    _end(process)
    return f"{Path(argv[0]).name} was ended, it took too long"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it has started."""
    for number, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, None)):
        # Also after an orderly end: its children may have been left.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
