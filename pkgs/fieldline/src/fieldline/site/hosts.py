"""Stage 2 of hosts and servers: addresses, roles, references, ports."""

from __future__ import annotations

from collections.abc import Iterator

from fieldline.site.address import Subnet, parse_address
from fieldline.site.mistakes import Finding, Key
from fieldline.site.tables import ExistingServerTable, OwnServerTable, SiteTable

PREFIXES = {4: (8, 30), 6: (16, 126)}

# Their data is one store each; a second one would hold a part of it only.
SINGLE = ("kafka", "influxdb", "grafana")

SSH = 22


def check_network(site: SiteTable) -> Iterator[Finding]:
    """Addresses: each its own, and inside the network."""
    gateway = parse_address(site.network.gateway)
    assert gateway is not None, "the shape holds addresses only"
    low, high = PREFIXES[gateway.version]
    subnet = Subnet(gateway, site.network.prefix)
    sized = low <= site.network.prefix <= high
    if not sized:
        yield Finding(
            ("network", "prefix"),
            "out-of-range",
            f"{site.network.prefix} is out of range",
            f"write {low} to {high} for IPv{gateway.version}",
        )
    elif subnet.reserves(gateway):
        yield Finding(
            ("network", "gateway"),
            "outside-network",
            "is the address of the network itself or of its broadcast",
            "write the address of the router",
        )
    taken = {gateway: "the gateway"}
    for name in sorted(site.hosts):
        key = ("hosts", name, "address")
        address = parse_address(site.hosts[name].address)
        assert address is not None, "the shape holds addresses only"
        if address in taken:
            yield Finding(
                key, "duplicate", f"is the address of {taken[address]}", "write a free address"
            )
        taken.setdefault(address, f'host "{name}"')
        outside = sized and (not subnet.contains(address) or subnet.reserves(address))
        if outside or address.version != gateway.version:
            yield Finding(
                key,
                "outside-network",
                f"{address} is no host's address in {gateway}/{site.network.prefix}",
                "write an address of the gateway's network",
            )


def check_roles(site: SiteTable) -> Iterator[Finding]:
    """Roles: single ones, and what each needs."""
    present = {role for host in site.hosts.values() for role in host.roles}
    served = {s.host for s in site.servers.values() if isinstance(s, OwnServerTable)}
    first: dict[str, str] = {}
    for name in sorted(site.hosts):
        roles = site.hosts[name].roles
        key = ("hosts", name, "roles")
        for role in SINGLE:
            if role in roles and first.setdefault(role, name) != name:
                yield Finding(
                    key,
                    "duplicate",
                    f'"{role}" is a role of host "{first[role]}" already',
                    "give it to one host only",
                )
        needs = [
            f'"{role}" needs "influxdb" on this host'
            for role in ("writer", "grafana")
            if role in roles and "influxdb" not in roles
        ]
        needs += [
            f'"{role}" needs a host with the role "kafka"'
            for role in ("collector", "stream-model", "writer")
            if role in roles and "kafka" not in present
        ]
        if "opc-server" in roles and name not in served:
            needs.append(f'"opc-server" needs a server with host = "{name}"')
        if needs:
            yield Finding(key, "role-needs", ", ".join(needs), "add it, or remove the role")


def collectors(site: SiteTable) -> list[str]:
    """The hosts with the role collector, by name."""
    return sorted(name for name, host in site.hosts.items() if "collector" in host.roles)


def collector_of(site: SiteTable, server: str) -> str | None:
    """The collector of a server, or None if it cannot be told."""
    known = collectors(site)
    declared = site.servers[server].collector
    if declared is None:
        return known[0] if len(known) == 1 else None
    return declared if declared in known else None


def check_servers(site: SiteTable) -> Iterator[Finding]:
    """Servers: their host, collector and security."""
    known = collectors(site)
    taken: dict[str, str] = {}
    for name in sorted(site.servers):
        server = site.servers[name]
        key = ("servers", name)
        if isinstance(server, OwnServerTable):
            yield from _check_host(site, (*key, "host"), name, server.host, taken)
        if not known:
            yield Finding(
                key, "role-needs", "no host collects it", 'give a host the role "collector"'
            )
        elif server.collector is None and len(known) > 1:
            yield Finding(
                (*key, "collector"),
                "missing-key",
                "is missing, and several hosts collect",
                f"write one of {', '.join(known)}",
            )
        elif server.collector is not None and server.collector not in known:
            yield Finding(
                (*key, "collector"),
                "unknown-reference",
                f'"{server.collector}" is no host with the role "collector"',
                f"write one of {', '.join(known)}",
            )
        if isinstance(server, ExistingServerTable) and (
            (server.security_policy == "None") != (server.security_mode == "None")
        ):
            yield Finding(
                (*key, "security_mode"),
                "security",
                f'"{server.security_mode}" does not go with security_policy'
                f' "{server.security_policy}"',
                'write "None" for both or for neither',
            )


def _check_host(
    site: SiteTable, key: Key, name: str, host: str, taken: dict[str, str]
) -> Iterator[Finding]:
    if host not in site.hosts:
        yield Finding(
            key,
            "unknown-reference",
            f'"{host}" is no host',
            f"write one of {', '.join(sorted(site.hosts))}",
        )
        return
    if "opc-server" not in site.hosts[host].roles:
        yield Finding(
            key, "role-needs", f'host "{host}" is no "opc-server"', "add the role to the host"
        )
    if taken.setdefault(host, name) != name:
        yield Finding(
            key,
            "duplicate",
            f'server "{taken[host]}" runs on host "{host}" already',
            "give each server a host of its own",
        )


def check_ports(site: SiteTable) -> Iterator[Finding]:
    """Ports: each at most once on a host."""
    own = {}
    for name in sorted(site.servers, reverse=True):
        server = site.servers[name]
        if isinstance(server, OwnServerTable):
            own[server.host] = (name, server.port)
    for host in sorted(site.hosts):
        roles = site.hosts[host].roles
        ports: list[tuple[Key, int]] = []
        if host in own:
            name, port = own[host]
            ports.append((("servers", name, "port"), port))
        if "kafka" in roles:
            ports.append((("kafka", "port"), site.kafka.port))
            ports.append((("kafka", "controller_port"), site.kafka.controller_port))
        if "influxdb" in roles:
            ports.append((("influxdb", "port"), site.influxdb.port))
        if "grafana" in roles:
            ports.append((("grafana", "port"), site.grafana.port))
        if "opc-server" in roles:
            ports.append((("metrics", "opc-server"), site.metrics.opc_server))
        if "stream-model" in roles:
            ports.append((("metrics", "stream-model"), site.metrics.stream_model))
        if "collector" in roles or "writer" in roles:
            ports.append((("metrics", "telegraf"), site.metrics.telegraf))
        if "collector" in roles:
            ports.append((("metrics", "gap-filler"), site.metrics.gap_filler))
        if "influxdb" in roles:
            ports.append((("metrics", "ledger"), site.metrics.ledger))
        taken = {SSH: "ssh"}
        for key, port in ports:
            if port in taken:
                yield Finding(
                    key,
                    "port-taken",
                    f'{port} is taken by {taken[port]} on host "{host}"',
                    "write a free port",
                )
            taken.setdefault(port, ".".join(map(str, key)))
