"""The OPC UA address space: assets as objects, their variables, units and ranges.

asyncua's own way of adding a node compares it with every sibling, so that a thousand assets under
Objects, or ten thousand variables, take minutes. Here nodes are made as asyncua makes them and put
into its address space directly; two nodes of one id are refused before.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeData
from fieldline.service import EXIT_CONFIGURATION, ServiceError

from opc_server.opcua import AttributeIds, ObjectIds, Server, node_id
from opc_server.points import NAMESPACE, Point
from opc_server.units import eu_information

APPLICATION = 1


def _value(value: object, kind: ua.VariantType) -> ua.DataValue:
    return ua.DataValue(ua.Variant(value, kind))


def _content(node: NodeData, attribute: AttributeIds) -> Any:
    held: Any = node.attributes[attribute].value
    return held.Value.Value


@functools.cache
def _type(number: int) -> ua.NodeId:
    return node_id(number, 0)


class _Builder:
    """Makes nodes; constant attribute values are shared, since nobody changes them in place."""

    def __init__(self, space: AddressSpace) -> None:
        self._space = space
        byte = ua.VariantType.Byte
        self._object_class = _value(ua.NodeClass.Object, ua.VariantType.Int32)
        self._no_events = _value(0, byte)
        self._no_mask = _value(0, ua.VariantType.UInt32)
        read_only = _value(ua.AccessLevel.CurrentRead.mask, byte)
        self._variable = {
            AttributeIds.NodeClass: _value(ua.NodeClass.Variable, ua.VariantType.Int32),
            AttributeIds.WriteMask: self._no_mask,
            AttributeIds.UserWriteMask: self._no_mask,
            AttributeIds.ValueRank: _value(int(ua.ValueRank.Scalar), ua.VariantType.Int32),
            AttributeIds.AccessLevel: read_only,
            AttributeIds.UserAccessLevel: read_only,
            AttributeIds.Historizing: _value(False, ua.VariantType.Boolean),
        }
        self._shared: dict[object, ua.DataValue] = {}
        self._references: dict[object, ua.ReferenceDescription] = {}

    def shared(self, key: object, value: object, kind: ua.VariantType) -> ua.DataValue:
        """An attribute value made once per key."""
        if key not in self._shared:
            self._shared[key] = _value(value, kind)
        return self._shared[key]

    def node(
        self, node_id: ua.NodeId, name: ua.QualifiedName, attributes: dict[Any, ua.DataValue]
    ) -> NodeData:
        """A node with these attributes and the ones that every node has."""
        if node_id in self._space:
            raise ServiceError(
                f"Two nodes have the id {node_id.to_string()}; each needs its own.",
                code=EXIT_CONFIGURATION,
            )
        data = NodeData(node_id)
        text = ua.LocalizedText(name.Name)
        own = {
            AttributeIds.NodeId: _value(node_id, ua.VariantType.NodeId),
            AttributeIds.BrowseName: _value(name, ua.VariantType.QualifiedName),
            AttributeIds.DisplayName: _value(text, ua.VariantType.LocalizedText),
        }
        for attribute, value in (own | attributes).items():
            data.attributes[attribute] = AttributeValue(value)
        self._space[node_id] = data
        return data

    def object(self, node_id: ua.NodeId, name: ua.QualifiedName) -> NodeData:
        """A plain object."""
        attributes = {
            AttributeIds.NodeClass: self._object_class,
            AttributeIds.EventNotifier: self._no_events,
            AttributeIds.WriteMask: self._no_mask,
            AttributeIds.UserWriteMask: self._no_mask,
        }
        data = self.node(node_id, name, attributes)
        self.refer(data, ObjectIds.HasTypeDefinition, _type(ObjectIds.BaseObjectType))
        return data

    def variable(
        self,
        node_id: ua.NodeId,
        name: ua.QualifiedName,
        type_id: int,
        data_type: int,
        value: ua.DataValue,
        interval_ms: float,
    ) -> NodeData:
        """A scalar variable that clients may only read."""
        attributes = {
            **self._variable,
            AttributeIds.DataType: self.shared(
                ("type", data_type), _type(data_type), ua.VariantType.NodeId
            ),
            AttributeIds.MinimumSamplingInterval: self.shared(
                ("interval", interval_ms), interval_ms, ua.VariantType.Double
            ),
            AttributeIds.Value: value,
        }
        data = self.node(node_id, name, attributes)
        self.refer(data, ObjectIds.HasTypeDefinition, _type(type_id))
        return data

    def _description(
        self, reference: int, target: NodeData, forward: bool
    ) -> ua.ReferenceDescription:
        kind: Any = ua.ExpandedNodeId()
        for other in target.references[:1]:
            # Our own nodes carry their type first; a client sees it while browsing.
            if other.ReferenceTypeId == _type(ObjectIds.HasTypeDefinition):
                kind = other.NodeId
        # All fields at once: each one's default is an object that would be made for nothing.
        fields: Any = (
            _type(reference),
            forward,
            target.nodeid,
            _content(target, AttributeIds.BrowseName),
            _content(target, AttributeIds.DisplayName),
            _content(target, AttributeIds.NodeClass),
            kind,
        )
        return ua.ReferenceDescription(*fields)

    def refer(self, source: NodeData, reference: int, target: ua.NodeId) -> None:
        """Add a reference in one direction, as for a type definition."""
        key = (reference, target)
        if key not in self._references:
            self._references[key] = self._description(reference, self._space[target], True)
        source.references.append(self._references[key])

    def join(self, parent: NodeData, reference: int, child: NodeData) -> None:
        """Add a reference from parent to child, and its inverse."""
        parent.references.append(self._description(reference, child, True))
        child.references.append(self._description(reference, parent, False))


def build(server: Server, points: Sequence[Point]) -> None:
    """Add all assets and variables to the server's address space.

    Args:
        server: initialised, not yet started.
        points: the variables; those of one asset stand together. They have no value yet: the
            first tick, before the endpoint opens, gives it.
    Raises:
        ServiceError: a node id is there twice.
    """
    space: AddressSpace = server.iserver.aspace
    make = _Builder(space)
    objects = space[_type(ObjectIds.ObjectsFolder)]
    asset: NodeData | None = None
    name = ""
    nothing = _value(None, ua.VariantType.Null)
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
        )
        make.join(asset, ObjectIds.HasComponent, variable)
        _properties(make, point, variable)


def _properties(make: _Builder, point: Point, variable: NodeData) -> None:
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
