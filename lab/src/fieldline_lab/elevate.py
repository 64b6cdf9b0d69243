"""What the lab needs of the machine, and how it gets root where root is needed."""

import os
import shutil
import sys
from collections.abc import Sequence
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
    """Go on as root through sudo with this module and arguments. Does not return."""
    check_possible(why)
    sudo = shutil.which("sudo") or "sudo"
    print(f"fieldline: root is needed to {why}; asking through sudo", file=sys.stderr)
    argv = [sudo, "--"]
    # sudo does not hand this on; it is set where the packages are not installed.
    if "PYTHONPATH" in os.environ:
        argv += ["env", f"PYTHONPATH={os.environ['PYTHONPATH']}"]
    sys.stderr.flush()
    os.execv(sudo, [*argv, sys.executable, "-m", module, *arguments])
