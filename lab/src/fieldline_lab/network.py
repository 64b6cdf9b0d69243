"""The lab's network: namespaces joined by one bridge, with no way to or from the machine's own.

No link of the lab is ever in the machine's root namespace, and no host has a route beyond the
plant's own network: the plant's addresses may be in use by real machines out there.
"""

import hashlib
import ipaddress
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from .names import NETNS_ROOT, LabNames
from .process import run

BRIDGE = "bridge"

# In the bridge's namespace: nothing is ever passed on, whatever this machine's defaults are.
# In all: no address is probed for duplicates (it would be unusable for its first second) and
# nothing is configured by itself.
_SETTINGS = """\
set -eu
set_() { for f in $1; do [ ! -e "$f" ] || echo "$2" > "$f"; done; }
set_ '/proc/sys/net/ipv4/ip_forward' 0
set_ '/proc/sys/net/ipv6/conf/*/forwarding' 0
set_ '/proc/sys/net/ipv6/conf/*/accept_dad' 0
set_ '/proc/sys/net/ipv6/conf/*/dad_transmits' 0
set_ '/proc/sys/net/ipv6/conf/*/accept_ra' 0
set_ '/proc/sys/net/ipv6/conf/*/autoconf' 0
set_ '/proc/sys/net/ipv6/conf/*/disable_ipv6' 0
while [ $# -gt 0 ]; do
  set_ "/proc/sys/$(echo "$1" | tr . /)" "$2"
  shift 2
done
exec ip -batch -
"""


NONE: Mapping[str, int] = MappingProxyType({})


class Network:
    """The namespaces of one lab. Every method may be called in any state that a kill left."""

    def __init__(self, names: LabNames, gateway: str, prefix: int, device: str) -> None:
        self._names = names
        self._gateway = gateway
        self._prefix = prefix
        self._device = device

    def create(self) -> None:
        """Make the bridge, with the gateway's address."""
        name = self._names.bridge
        _make(name)
        _inside(
            name,
            [
                "link set lo up",
                # Snooping would drop neighbour discovery, since nobody here asks for memberships.
                f"link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
                self._address(self._gateway, BRIDGE),
                f"link set {BRIDGE} up",
            ],
        )

    @property
    def exists(self) -> bool:
        """Whether the bridge's namespace is there."""
        return (NETNS_ROOT / self._names.bridge).exists()

    def attach(self, host: str, address: str, sysctl: Mapping[str, int] = NONE) -> None:
        """Make the host's namespace, joined to the bridge and with its address.

        Args:
            sysctl: settings of the namespace; one that this machine's kernel has not is left out,
                as a host's own systemd-sysctl does.
        """
        name, port = self._names.namespace(host), port_name(address)
        far_end = f"name {self._device} address {mac(address)} netns {name}"
        _make(name)
        _inside(
            self._names.bridge,
            [
                f"link add {port} type veth peer {far_end}",
                f"link set {port} master {BRIDGE} up",
            ],
        )
        _inside(
            name,
            [
                "link set lo up",
                self._address(address, self._device),
                f"link set {self._device} up",
            ],
            sysctl,
        )

    def set_link(self, address: str, up: bool) -> None:
        """Plug the host's cable in, or out: the host sees its carrier go."""
        state = "up" if up else "down"
        run(["ip", "-n", self._names.bridge, "link", "set", port_name(address), state])

    def detach(self, host: str, address: str) -> None:
        """Remove the host's namespace, with all connections that it still holds.

        The cable goes first, so that the other hosts see silence, as after a power cut, and not
        what a kernel sends when it cleans up.
        """
        if (NETNS_ROOT / self._names.bridge).exists():
            run(["ip", "-n", self._names.bridge, "link", "del", port_name(address)], check=False)
        _remove(self._names.namespace(host))

    def leftovers(self) -> list[str]:
        """The namespaces of this lab that exist, the bridge's last."""
        prefix = self._names.namespace("")
        try:
            entries = sorted(path.name for path in NETNS_ROOT.iterdir())
        except FileNotFoundError:
            return []
        found = [name for name in entries if name.startswith(prefix)]
        return found + [name for name in entries if name == self._names.bridge]

    def destroy(self) -> None:
        """Remove every namespace of this lab."""
        for name in self.leftovers():
            _remove(name)

    def _address(self, address: str, device: str) -> str:
        # Probing for a duplicate would leave it unusable for a second.
        flags = " nodad" if ":" in address else ""
        return f"address add {address}/{self._prefix} dev {device}{flags}"


def port_name(address: str) -> str:
    """The bridge's side of a host's cable: 15 characters hold any address, but no host's name."""
    number = int(ipaddress.ip_address(address))
    # 13 hexadecimal digits, of an IPv6 address the last: a plant's hosts share all before.
    return f"p{number & (1 << 52) - 1:x}"


def mac(address: str) -> str:
    """A host's hardware address: the same at each boot, or its peers would look for the old one."""
    digest = hashlib.sha256(address.encode()).digest()
    # 02: given by an administrator, to one machine.
    return ":".join(["02", *(f"{byte:02x}" for byte in digest[:5])])


def _make(name: str) -> None:
    run(
        ["ip", "netns", "add", name],
        what_to_do="A network namespace cannot be made here. In a container, that one needs the"
        " right to make them (CAP_SYS_ADMIN and CAP_NET_ADMIN).",
    )


def _remove(name: str) -> None:
    path = Path(NETNS_ROOT, name)
    if path.exists():
        run(["ip", "netns", "delete", name], check=False)
    # A file without a mount on it, from an `ip netns add` that was killed half way.
    path.unlink(missing_ok=True)


def _inside(name: str, commands: list[str], sysctl: Mapping[str, int] = NONE) -> None:
    """Run `ip` commands in a namespace, with its settings made first."""
    settings = [word for key, value in sysctl.items() for word in (key, str(value))]
    run(
        ["nsenter", f"--net={NETNS_ROOT / name}", "sh", "-c", _SETTINGS, "sh", *settings],
        stdin="\n".join([*commands, ""]),
        what_to_do="The lab's network cannot be set up.",
    )
