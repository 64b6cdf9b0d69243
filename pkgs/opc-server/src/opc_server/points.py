"""The variables that one server serves, as a flat list: a variable's place there is its index."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from asyncua import ua
from fieldline.record import RecordVariable
from fieldline.service import EXIT_CONFIGURATION, ServiceError
from fieldline.site import NodeId, Replay, Server, Site, Source, Sysfs

from opc_server.opcua import node_id

# The index that every variable of our own servers has (docs/site.md), fixed by the order in which
# namespaces are registered: 0 is OPC UA's own, 1 the application's, 2 this one.
NAMESPACE = 2
NAMESPACE_URI = "urn:fieldline:opc-server"


@dataclass(frozen=True, slots=True)
class Point:
    """A variable of an asset on this server.

    Attributes:
        index: its place in the list of all points.
        period_ns: how often a value is due.
        source: with `{asset}` and `{variable}` filled in.
    """

    index: int
    asset: str
    variable: str
    node: ua.NodeId
    unit: str
    range: tuple[float, float] | None
    period_ns: int
    source: Source

    @property
    def recorded(self) -> RecordVariable:
        """The point as the record lists it; its id as Telegraf writes it, `ns=2;i=3`."""
        return RecordVariable(self.asset, self.variable, self.node.to_string())


def own_server(site: Site, name: str) -> Server:
    """The server `name` of the site, if it is one that this service can be.

    Raises:
        ServiceError: there is none of this name, or it is an existing server.
    """
    known = sorted(server.name for server in site.servers.values() if server.own)
    server = site.servers.get(name)
    if server is None or not server.own:
        what = "is an existing server, not one of ours" if server else "is not declared"
        raise ServiceError(
            f"The server {name!r} {what} in {site.path}. Own servers there: "
            f"{', '.join(known) or 'none'}.",
            code=EXIT_CONFIGURATION,
        )
    return server


def opc_node_id(node: NodeId) -> ua.NodeId:
    """A declared node id as asyncua's."""
    namespace = NAMESPACE if node.namespace is None else node.namespace
    if node.kind == "i":
        return node_id(int(node.identifier), namespace)
    if node.kind == "g":
        return node_id(uuid.UUID(node.identifier), namespace)
    return node_id(node.identifier, namespace)


def _filled(source: Source, asset: str, variable: str) -> Source:
    def fill(text: str) -> str:
        return text.replace("{asset}", asset).replace("{variable}", variable)

    if isinstance(source, Replay):
        return Replay(
            fill(source.file), fill(source.column), source.time_column, source.speed, source.loop
        )
    if isinstance(source, Sysfs):
        return Sysfs(fill(source.path), source.scale, source.offset)
    return source


def points_of(site: Site, server: str) -> list[Point]:
    """All variables of all assets on `server`, in the order of the declaration.

    Raises:
        ServiceError: a variable has no source.
    """
    points: list[Point] = []
    for asset in site.assets:
        if asset.server != server:
            continue
        for variable in site.types[asset.type].variables.values():
            if variable.source is None:
                raise ServiceError(
                    f"asset_types.{asset.type}.variables.{variable.name} has no source, but its "
                    f"asset {asset.name} is on the own server {server}.",
                    code=EXIT_CONFIGURATION,
                )
            points.append(
                Point(
                    index=len(points),
                    asset=asset.name,
                    variable=variable.name,
                    node=opc_node_id(asset.nodes[variable.name]),
                    unit=variable.unit,
                    range=variable.range,
                    period_ns=variable.period_ms * 1_000_000,
                    source=_filled(variable.source, asset.name, variable.name),
                )
            )
    return points
