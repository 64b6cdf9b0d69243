"""Which of the site's hosts this is, and what it tells of its network and its clock."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fieldline.local.units import UnitState
from fieldline.site import Site

# systemd-timesyncd makes this file once the time was synchronised since boot
# (systemd-timesyncd.service(8)).
SYNCHRONIZED = Path("/run/systemd/timesync/synchronized")
NETWORK_DEVICES = Path("/sys/class/net")


@dataclass(frozen=True, slots=True)
class LocalHost:
    """The host that a command runs on.

    Attributes:
        name: as the site names it; None on a machine that is none of its hosts.
        units: those of its units that systemd has, by name.
        link: whether its network device has a link; None if that is not known.
        problem: why its units cannot be told; empty if they can.
    """

    name: str | None = None
    units: Mapping[str, UnitState] = field(default_factory=dict)
    link: bool | None = None
    problem: str = ""


def this_host(site: Site) -> str | None:
    """The site's name of the host that this runs on; None on another machine."""
    name = socket.gethostname().partition(".")[0]
    return name if name in site.hosts else None


def has_link(device: str, devices: Path = NETWORK_DEVICES) -> bool | None:
    """Whether a network device has a link (its cable is plugged in); None if nobody can tell."""
    try:
        return (devices / device / "carrier").read_text().strip() == "1"
    except FileNotFoundError:
        return None
    except OSError:
        # The kernel refuses to tell of a device that is switched off.
        return False


def is_synchronised(file: Path = SYNCHRONIZED) -> bool:
    """Whether NTP has set this host's time since it was switched on."""
    return file.exists()
