"""What can be hurt: units, hosts and pairs of hosts, as the evaluated site has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from fieldline_lab.declaration import Declaration, Unit


@dataclass(frozen=True)
class Target:
    """What a fault is done to.

    Attributes:
        label: how it is called in the matrix.
        hosts: the host that it is on, or the two hosts of a pair.
        unit: a unit of that host, or what else of it is meant; empty for whole hosts.
    """

    label: str
    hosts: tuple[str, ...]
    unit: str = ""

    @property
    def host(self) -> str:
        """The host that is touched; of a pair, the second."""
        return self.hosts[-1]


def units(declaration: Declaration) -> list[Target]:
    """Every service that keeps running, whatever the site has: `telegraf@db` where several hosts
    have a unit of that name, else `stream-model`."""
    found = [
        (unit.name, name)
        for name in _along_the_chain(declaration)
        for unit in declaration.hosts[name].units.values()
        if _serves(unit)
    ]
    count = Counter(name for name, _ in found)
    return [
        Target(name if count[name] == 1 else f"{name}@{host}", (host,), name)
        for name, host in found
    ]


def _serves(unit: Unit) -> bool:
    """Not what runs once (provisioning), nor what remains when it has ended (deploy-guard)."""
    config = unit.service_config
    return (
        bool(unit.wanted_by)
        and config.get("Type") != "oneshot"
        and not config.get("RemainAfterExit")
    )


def named(declaration: Declaration, names: Iterable[str]) -> list[Target]:
    """The units of these names, on whichever hosts they are."""
    wanted = set(names)
    return [target for target in units(declaration) if target.unit in wanted]


def hosts(declaration: Declaration) -> list[Target]:
    """Every host."""
    return [Target(name, (name,)) for name in _along_the_chain(declaration)]


def pairs(declaration: Declaration) -> list[Target]:
    """The pairs of hosts between which values pass."""
    first = _with_role(declaration, "opc-server")
    second = _with_role(declaration, "collector")
    third = _with_role(declaration, "kafka")
    ways = [(a, b) for a in first for b in second] + [(a, b) for a in second for b in third]
    return [Target(f"{a}-{b}", (a, b)) for a, b in ways if a != b]


def _along_the_chain(declaration: Declaration) -> list[str]:
    """The hosts, those first that values pass first."""
    way = ("opc-server", "collector", "stream-model", "kafka", "writer", "influxdb", "grafana")

    def place(name: str) -> int:
        roles = declaration.hosts[name].roles
        return next((i for i, role in enumerate(way) if role in roles), len(way))

    return sorted(declaration.hosts, key=place)


def _with_role(declaration: Declaration, role: str) -> list[str]:
    return [name for name, host in declaration.hosts.items() if role in host.roles]


def on(declaration: Declaration, role: str, things: Iterable[str] = ("",)) -> list[Target]:
    """Things of the hosts with a role, or these hosts themselves."""
    return [
        Target(thing or host, (host,), thing)
        for host in _with_role(declaration, role)
        for thing in things
    ]
