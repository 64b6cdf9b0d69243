"""Addresses and networks, as both readers of a site, Python and Nix, have them."""

from __future__ import annotations

import json
import random
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

from fieldline.site.address import Subnet, parse_address

from .both_readers import ROOT, SEED, nix_json

ADDRESSES = 400


def address_text(chooser: random.Random) -> str:
    """An address, or what looks like one."""
    if chooser.random() < 0.4:
        text = ".".join(str(chooser.choice([0, 1, 9, 10, 99, 127, 255])) for _ in range(4))
    else:
        groups = [
            chooser.choice(["0", "00", "1", "fd00", "FFFF", "a0b", "0db8"])
            for _ in range(chooser.randint(1, 8))
        ]
        text = ":".join(groups)
        if len(groups) < 8:
            at = chooser.randint(0, len(groups))
            text = ":".join(groups[:at]) + "::" + ":".join(groups[at:])
    for _ in range(chooser.choice([0, 0, 0, 1, 2])):
        at = chooser.randint(0, len(text))
        text = (
            text[:at]
            + chooser.choice(["", ":", "::", ".", "0", "g", "f", "256", "%", "/"])
            + (text[at + chooser.choice([0, 1]) :])
        )
    return text


def test_addresses_are_read_alike(tmp_path: Path) -> None:
    chooser = random.Random(SEED)
    texts = sorted({address_text(chooser) for _ in range(ADDRESSES)})
    found = nix_json(
        f"map (import {ROOT}/lib/net.nix).parse (builtins.fromJSON ''{json.dumps(texts)}'')",
        tmp_path,
    )
    valid = 0
    for text, by_nix in zip(texts, found, strict=True):
        address = parse_address(text)
        if address is None:
            assert by_nix is None, text
            continue
        valid += 1
        width = 8 if address.version == 4 else 16
        value = sum(group << (width * n) for n, group in enumerate(reversed(by_nix["groups"])))
        assert (by_nix["family"], value) == (address.version, int(address)), text
    assert ADDRESSES // 4 < valid < len(texts)


def written(address: IPv4Address | IPv6Address) -> str:
    """An address as a site may have it; Python 3.13 puts an IPv4 address into some IPv6 ones."""
    if address.version == 4:
        return str(address)
    return ":".join(f"{int(address) >> shift & 0xFFFF:x}" for shift in range(112, -1, -16))


def test_networks_are_held_alike(tmp_path: Path) -> None:
    chooser = random.Random(SEED)
    cases: list[tuple[str, int, str]] = []
    while len(cases) < ADDRESSES:
        gateway = parse_address(address_text(chooser))
        if gateway is None:
            continue
        size = gateway.max_prefixlen
        prefix = chooser.randint(8, 30) if gateway.version == 4 else chooser.randint(16, 126)
        # The gateway with one bit flipped, or with all bits behind the prefix alike.
        value = int(gateway) ^ (1 << chooser.randrange(size))
        behind = (1 << (size - prefix)) - 1
        value = chooser.choice([value, value & ~behind, value | behind, int(gateway)])
        cases.append((written(gateway), prefix, written(type(gateway)(value))))
    found = nix_json(
        f"let net = import {ROOT}/lib/net.nix; read = case: rec {{"
        " gateway = net.parse (builtins.elemAt case 0);"
        " prefix = builtins.elemAt case 1;"
        " address = net.parse (builtins.elemAt case 2);"
        " result = [ (net.contains gateway prefix address) (net.reserves prefix address) ];"
        f" }}; in map (case: (read case).result) (builtins.fromJSON ''{json.dumps(cases)}'')",
        tmp_path,
    )
    for (gateway_text, prefix, address_of), by_nix in zip(cases, found, strict=True):
        gateway, address = parse_address(gateway_text), parse_address(address_of)
        assert gateway is not None
        assert address is not None
        subnet = Subnet(gateway, prefix)
        assert [subnet.contains(address), subnet.reserves(address)] == by_nix, cases
        network = ip_network(f"{gateway}/{prefix}", strict=False)
        assert subnet.contains(address) == (address in network)
