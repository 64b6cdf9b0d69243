"""What one collector has to have of each of its servers: a flat list of variables per server."""

from __future__ import annotations

from dataclasses import dataclass

from fieldline.errors import FieldlineError
from fieldline.site import NodeId, Server, Site

# Half a day is what an operator may sleep over; a day leaves time to repair.
MOST_LOOKBACK_MS = 24 * 3_600_000
# A server of ours without `record` keeps a day (docs/site.md); a PLC does not tell.
_RECORD_MS = 24 * 3_600_000
_FRESH_VALUES = 20_000_000


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a server; its place in `ServerPlan.variables` is its index.

    Attributes:
        node: its id; `str(node)` is the tag `id` of Telegraf's records.
    """

    asset: str
    name: str
    node: NodeId
    period_ns: int

    @property
    def key(self) -> str:
        """The variable's name in the ledger; no name has a slash (docs/site.md)."""
        return f"{self.asset}/{self.name}"


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """A server and what is collected from it.

    Attributes:
        lookback_ms: how far back something can be filled: what its history and the topic both
            hold, at most a day.
    """

    server: Server
    variables: tuple[Variable, ...]
    lookback_ms: int

    @property
    def name(self) -> str:
        """The server's name in the site."""
        return self.server.name

    @property
    def fresh_lookback_ns(self) -> int:
        """How far back it begins without a position: no more is read than takes some minutes."""
        return min(self.lookback_ms * 1_000_000, round(_FRESH_VALUES / self.rate * 1e9))

    @property
    def rate(self) -> float:
        """Values a second as declared."""
        return sum(1e9 / variable.period_ns for variable in self.variables)


def make_plans(site: Site, collector: str) -> tuple[ServerPlan, ...]:
    """The servers that the host `collector` collects.

    Raises:
        FieldlineError: the host collects none, or a node has no namespace index.
    """
    servers = [server for server in site.servers.values() if server.collector == collector]
    if not servers:
        known = ", ".join(sorted({server.collector for server in site.servers.values()}))
        raise FieldlineError(
            f"The host {collector!r} collects from no server of {site.path}. Collectors there: "
            f"{known}."
        )
    return tuple(_plan(site, server) for server in servers)


def _plan(site: Site, server: Server) -> ServerPlan:
    variables: list[Variable] = []
    for asset in site.assets:
        if asset.server != server.name:
            continue
        for variable in site.types[asset.type].variables.values():
            node = asset.nodes[variable.name]
            if node.namespace is None:
                raise FieldlineError(
                    f"servers.{server.name}.namespace_uri cannot be collected; give the index as "
                    f"servers.{server.name}.namespace."
                )
            variables.append(
                Variable(asset.name, variable.name, node, variable.period_ms * 1_000_000)
            )
    held = min(server.record_ms or _RECORD_MS, site.topics["opc"].retention_ms)
    return ServerPlan(server, tuple(variables), min(held, MOST_LOOKBACK_MS))
