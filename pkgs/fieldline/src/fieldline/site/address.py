"""Addresses and networks: IPv4 in dotted decimal, IPv6 in hexadecimal, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address


def parse_address(text: str) -> Address | None:
    """Give the address that `text` is, or None: no zone, no IPv4 embedded in IPv6."""
    if "%" in text or (":" in text and "." in text):
        return None
    try:
        return ip_address(text)
    except ValueError:
        return None


def in_url(address: str) -> str:
    """Write an address as a URL has it: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address


@dataclass(frozen=True, slots=True)
class Subnet:
    """The network of an address and a prefix length."""

    member: Address
    prefix: int

    def contains(self, address: Address) -> bool:
        """Tell whether `address` is of the same family and the same first `prefix` bits."""
        if address.version != self.member.version:
            return False
        shift = self.member.max_prefixlen - self.prefix
        return int(address) >> shift == int(self.member) >> shift

    def reserves(self, address: Address) -> bool:
        """Tell whether a member is the network's own address or, in IPv4, its broadcast."""
        mask = (1 << (self.member.max_prefixlen - self.prefix)) - 1
        rest = int(address) & mask
        return rest == 0 or (address.version == 4 and rest == mask)
