"""Ports: each declared one answers, where the firewall lets this host reach it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fieldline.doctor.context import Context
from fieldline.doctor.finding import Finding
from fieldline.remote.endpoint import Reach, reach_of_port
from fieldline.site import Site
from fieldline.where.probes import KAFKA_CLIENTS

_SSH = 22
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Port:
    """A port that should be open.

    Attributes:
        clients: the hosts that its firewall lets in (lib/); None: everybody.
        unit: what listens there.
    """

    host: str
    address: str
    port: int
    unit: str
    clients: frozenset[str] | None = None


def ports(context: Context) -> Iterator[Finding]:
    """Whether each port of the site can be connected to."""
    here = context.here.name
    asked = [p for p in declared_ports(context.site) if p.clients is None or here in p.clients]
    with ThreadPoolExecutor(len(asked)) as pool:
        reached = list(pool.map(lambda p: reach_of_port(p.address, p.port)[0], asked))
    units = context.here.units
    for port, reach in zip(asked, reached, strict=True):
        if port.host == here and reach == "refused" and port.unit not in {*units, "sshd"}:
            yield Finding(_subject(port), "skipped", f"this host has no unit {port.unit}")
        else:
            yield _finding(port, reach)
    for port in declared_ports(context.site):
        if port not in asked:
            text = f"its firewall lets {', '.join(sorted(port.clients or ())) or 'nobody'} in only"
            yield Finding(_subject(port), "skipped", text)


def declared_ports(site: Site) -> list[Port]:
    """The ports of all hosts, with who may reach them."""
    found = [Port(name, host.address, _SSH, "sshd") for name, host in site.hosts.items()]
    clients = frozenset(n for n, host in site.hosts.items() if KAFKA_CLIENTS & set(host.roles))
    for server in site.servers.values():
        if server.host is not None and server.port is not None:
            address = site.hosts[server.host].address
            allowed = frozenset({server.collector})
            found.append(Port(server.host, address, server.port, "opc-server", allowed))
    for name, host in site.hosts.items():
        roles = set(host.roles)

        def add(
            unit: str,
            port: int,
            allowed: frozenset[str] | None = None,
            address: str = host.address,
            name: str = name,
        ) -> None:
            found.append(Port(name, address, port, unit, allowed))

        if "opc-server" in roles:
            add("opc-server", site.metrics.opc_server)
        if "stream-model" in roles:
            add("stream-model", site.metrics.stream_model)
        if roles & {"collector", "writer"}:
            add("telegraf", site.metrics.telegraf)
        if "collector" in roles:
            add("gap-filler", site.metrics.gap_filler)
        if "kafka" in roles:
            add("apache-kafka", site.kafka.port, clients | {name})
        if "influxdb" in roles:
            add("ledger", site.metrics.ledger)
            add("influxdb2", site.influxdb.port, frozenset({name}), _LOOPBACK)
        if "grafana" in roles:
            add("grafana", site.grafana.port)
    return found


def _subject(port: Port) -> str:
    return f"{port.host} {port.port} ({port.unit})"


def _finding(port: Port, reach: Reach) -> Finding:
    subject = _subject(port)
    if reach == "answers":
        return Finding(subject, "ok", "it takes connections")
    if reach == "refused":
        remedy = f"On {port.host}: `systemctl status {port.unit}`."
        return Finding(subject, "failed", "nothing listens there", remedy)
    remedy = f"See power and network of {port.host}, and its firewall (`nft list ruleset`)."
    return Finding(subject, "failed", "it does not answer", remedy)
