"""What the lab needs of the machine, and how it gets root where root is needed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Never

from fieldline.errors import FieldlineError

# Command → the Debian package that has it.
TOOLS = {
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "dbus-daemon": "dbus",
    "bash": "bash",
    "age-keygen": "age",
    "openssl": "openssl",
}
# Debian does not put these on the PATH of users who are not root.
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
# linux/capability.h
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}


def find_tools() -> None:
    """Make the system's commands findable. FieldlineError naming the packages that are missing."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    folders += [folder for folder in _SYSTEM_FOLDERS if folder not in folders]
    os.environ["PATH"] = os.pathsep.join(folders)
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if missing:
        raise FieldlineError(
            f"The lab needs packages that are not installed: apt-get install {' '.join(missing)}."
        )


def is_root() -> bool:
    """Whether this process is root, with what the lab needs of it."""
    if os.geteuid() != 0:
        return False
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    effective = int(line.split()[1], 16)
    lacking = [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]
    if lacking:
        raise FieldlineError(
            f"Root may not make namespaces here ({', '.join(lacking)} is missing): run the lab on"
            " the machine itself, or in a container that is given these rights."
        )
    return True


def check_possible(why: str) -> None:
    """FieldlineError, at once, if root will be needed and cannot be had."""
    if not is_root() and shutil.which("sudo") is None:
        raise FieldlineError(
            f"The lab needs root to {why}, and there is no `sudo` here: run it as root."
        )


def run_as_root(arguments: Sequence[str], why: str, module: str = "fieldline_lab") -> Never:
    """Run this module with these arguments as root through sudo, and exit as that does."""
    check_possible(why)
    sudo = shutil.which("sudo") or "sudo"
    print(f"fieldline: root is needed to {why}; asking through sudo", file=sys.stderr)
    # Root must not leave compiled files of its own in a user's work tree.
    argv = [sudo, "--", "env", "PYTHONDONTWRITEBYTECODE=1"]
    # sudo does not hand this on; it is set where the packages are not installed.
    if "PYTHONPATH" in os.environ:
        argv.append(f"PYTHONPATH={os.environ['PYTHONPATH']}")
    sys.stderr.flush()
    sys.exit(_run_in_foreground([*argv, sys.executable, "-m", module, *arguments]))


def _run_in_foreground(argv: Sequence[str]) -> int:
    """Run a command that has the terminal and takes its signals; its exit code, as a shell says it.

    Not in place of this process, which has files to remove afterwards.
    """
    child: subprocess.Popen[bytes] | None = None
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True
        if child is not None:
            # Nobody but root may signal a sudo that has made itself root: then it is waited for.
            with suppress(PermissionError):
                child.terminate()

    def leave_to_child(*_: object) -> None:
        """The terminal sends it to the child as well, and how that ends is what counts."""

    # A handler, unlike "ignore", is not inherited by the child.
    wanted = {
        signal.SIGTERM: end,
        signal.SIGINT: leave_to_child,
        signal.SIGQUIT: leave_to_child,
        signal.SIGHUP: leave_to_child,
    }
    before = {
        number: signal.signal(number, handler)
        for number, handler in wanted.items()
        if signal.getsignal(number) not in (signal.SIG_IGN, None)
    }
    try:
        child = subprocess.Popen(argv)
        if ended:
            end()
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
