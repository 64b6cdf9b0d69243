"""A load: groups of variables, each with its period, the same on every server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# Variables of an object; the servers in other languages have the same number.
PER_OBJECT = 10

_SITE = """
schema = 1
[network]
gateway = "192.168.0.1"
nameservers = ["192.168.0.1"]
prefix = 24
[hosts.opc]
address = "192.168.0.5"
platforms = ["vbox"]
roles = ["opc-server", "collector", "kafka", "writer", "influxdb"]
memory = 1048576
[servers.opc]
host = "opc"
seed = 1
[topics.opc]
[topics.model]
[influxdb]
organization = "o"
bucket = "b"
user = "u"
[collection]
outage = "1min"
"""
_ASSETS = """
[[assets]]
names = ["g{group}a{{0..{last}}}"]
type = "g{group}"
server = "opc"
"""
_VARIABLE = """
[asset_types.g{group}.variables.v{number}]
unit = "°C"
period = "{period_ms}ms"
source = {{ kind = "random-walk", start = 20, step = 1 }}
"""


@dataclass(frozen=True)
class Group:
    """Variables with one period.

    count: how many, a multiple of `PER_OBJECT`. period_ms: a whole number of the shortest period.
    """

    count: int
    period_ms: int


@dataclass(frozen=True)
class Load:
    """What a server has to publish; each variable changes at each of its ticks."""

    groups: tuple[Group, ...]

    @property
    def variables(self) -> int:
        """How many there are."""
        return sum(group.count for group in self.groups)

    @property
    def rate(self) -> float:
        """Values per second."""
        return sum(group.count * 1000 / group.period_ms for group in self.groups)

    @property
    def argv(self) -> list[str]:
        """As the peers' programs take it."""
        return [f"{group.count}:{group.period_ms}" for group in self.groups]

    def objects(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Each object with its variables: (name, string identifier in namespace 2)."""
        for number, group in enumerate(self.groups):
            for place in range(group.count // PER_OBJECT):
                name = f"g{number}a{place}"
                yield name, [(f"v{one}", f"{name}.v{one}") for one in range(PER_OBJECT)]

    def site(self) -> str:
        """The site of our own server."""
        text = _SITE
        for number, group in enumerate(self.groups):
            text += _ASSETS.format(group=number, last=group.count // PER_OBJECT - 1)
            for one in range(PER_OBJECT):
                text += _VARIABLE.format(group=number, number=one, period_ms=group.period_ms)
        return text


def at_rate(rate: float, period_ms: int) -> Load:
    """One group that gives so many values per second."""
    count = round(rate * period_ms / 1000 / PER_OBJECT) * PER_OBJECT
    return Load((Group(count, period_ms),))
