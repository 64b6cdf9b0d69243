"""The OPC UA address space: assets as objects, their variables, units, ranges and history."""

from __future__ import annotations

from collections.abc import Sequence

from asyncua import ua
from asyncua.server.address_space import NodeData

from opc_server.history import offer_history
from opc_server.nodes import APPLICATION, Builder, data_value
from opc_server.opcua import ObjectIds, Server, node_id
from opc_server.points import NAMESPACE, Point
from opc_server.units import eu_information


def build(server: Server, points: Sequence[Point]) -> None:
    """Add all assets and variables to the server's address space.

    Args:
        server: initialised, not yet started.
        points: the variables; those of one asset stand together. They have no value yet: the
            first tick, before the endpoint opens, gives it.
    Raises:
        ServiceError: a node id is there twice.
    """
    make = Builder(server.iserver.aspace)
    objects = make[ObjectIds.ObjectsFolder]
    asset: NodeData | None = None
    name = ""
    nothing = data_value(None, ua.VariantType.Null)
    configuration = offer_history(make)
    for point in points:
        if asset is None or point.asset != name:
            name = point.asset
            asset = make.object(node_id(name, APPLICATION), ua.QualifiedName(name, APPLICATION))
            make.join(objects, ObjectIds.Organizes, asset)
        # AnalogItemType demands a range; where none is declared, its base type does not.
        analog = ObjectIds.AnalogItemType if point.range else ObjectIds.BaseAnalogType
        variable = make.variable(
            point.node,
            ua.QualifiedName(point.variable, NAMESPACE),
            analog,
            ObjectIds.Double,
            nothing,
            point.period_ns / 1e6,
            make.historized,
        )
        make.refer(variable, ObjectIds.HasHistoricalConfiguration, configuration)
        make.join(asset, ObjectIds.HasComponent, variable)
        _properties(make, point, variable)


def _properties(make: Builder, point: Point, variable: NodeData) -> None:
    found: list[tuple[str, int, object]] = []
    if point.unit:
        found.append(
            ("EngineeringUnits", ObjectIds.EUInformation, ("unit", point.unit)),
        )
    if point.range:
        found.append(("EURange", ObjectIds.Range, ("range", point.range)))
    for name, data_type, key in found:
        if name == "EURange" and point.range:
            content: object = ua.Range(*point.range)
        else:
            content = eu_information(point.unit)
        node = make.variable(
            node_id(f"{point.asset}.{point.variable}.{name}", APPLICATION),
            ua.QualifiedName(name, 0),
            ObjectIds.PropertyType,
            data_type,
            make.shared(key, content, ua.VariantType.ExtensionObject),
            0.0,
        )
        make.join(variable, ObjectIds.HasProperty, node)
