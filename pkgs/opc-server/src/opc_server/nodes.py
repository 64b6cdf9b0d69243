"""OPC UA nodes, made as asyncua makes them and put into its address space directly.

asyncua's own way of adding a node compares it with every sibling, so that a thousand assets under
Objects, or ten thousand variables, take minutes. Two nodes of one id are refused here before.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeData
from fieldline.service import EXIT_CONFIGURATION, ServiceError

from opc_server.opcua import AttributeIds, ObjectIds, node_id

# The namespace of the application's own nodes.
APPLICATION = 1
NOTHING_MORE: Mapping[AttributeIds, ua.DataValue] = {}


def data_value(value: object, kind: ua.VariantType) -> ua.DataValue:
    """A value as attributes hold it."""
    return ua.DataValue(ua.Variant(value, kind))


def _content(node: NodeData, attribute: AttributeIds) -> Any:
    held: Any = node.attributes[attribute].value
    return held.Value.Value


@functools.cache
def standard(number: int) -> ua.NodeId:
    """The id of a node of OPC UA's own namespace."""
    return node_id(number, 0)


class Builder:
    """Makes nodes; constant attribute values are shared, since nobody changes them in place."""

    def __init__(self, space: AddressSpace) -> None:
        self._space = space
        byte = ua.VariantType.Byte
        self._object_class = data_value(ua.NodeClass.Object, ua.VariantType.Int32)
        self._no_events = data_value(0, byte)
        self._no_mask = data_value(0, ua.VariantType.UInt32)
        read_only = data_value(ua.AccessLevel.CurrentRead.mask, byte)
        levels = ua.AccessLevel.CurrentRead.mask | ua.AccessLevel.HistoryRead.mask
        with_history = data_value(levels, byte)
        self._variable = {
            AttributeIds.NodeClass: data_value(ua.NodeClass.Variable, ua.VariantType.Int32),
            AttributeIds.WriteMask: self._no_mask,
            AttributeIds.UserWriteMask: self._no_mask,
            AttributeIds.ValueRank: data_value(int(ua.ValueRank.Scalar), ua.VariantType.Int32),
            AttributeIds.AccessLevel: read_only,
            AttributeIds.UserAccessLevel: read_only,
            AttributeIds.Historizing: data_value(False, ua.VariantType.Boolean),
        }
        self.historized = {
            AttributeIds.AccessLevel: with_history,
            AttributeIds.UserAccessLevel: with_history,
            AttributeIds.Historizing: data_value(True, ua.VariantType.Boolean),
        }
        self._shared: dict[object, ua.DataValue] = {}
        self._references: dict[object, ua.ReferenceDescription] = {}

    def shared(self, key: object, value: object, kind: ua.VariantType) -> ua.DataValue:
        """An attribute value made once per key."""
        if key not in self._shared:
            self._shared[key] = data_value(value, kind)
        return self._shared[key]

    def __getitem__(self, number: int) -> NodeData:
        """A node of OPC UA's own part."""
        return self._space[standard(number)]

    def set(self, number: int, value: object, kind: ua.VariantType) -> None:
        """Give a variable of OPC UA's own part its value."""
        self[number].attributes[AttributeIds.Value] = AttributeValue(data_value(value, kind))

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
            AttributeIds.NodeId: data_value(node_id, ua.VariantType.NodeId),
            AttributeIds.BrowseName: data_value(name, ua.VariantType.QualifiedName),
            AttributeIds.DisplayName: data_value(text, ua.VariantType.LocalizedText),
        }
        for attribute, value in (own | attributes).items():
            data.attributes[attribute] = AttributeValue(value)
        self._space[node_id] = data
        return data

    def object(
        self,
        node_id: ua.NodeId,
        name: ua.QualifiedName,
        type_id: int = ObjectIds.BaseObjectType,
    ) -> NodeData:
        """An object."""
        attributes = {
            AttributeIds.NodeClass: self._object_class,
            AttributeIds.EventNotifier: self._no_events,
            AttributeIds.WriteMask: self._no_mask,
            AttributeIds.UserWriteMask: self._no_mask,
        }
        data = self.node(node_id, name, attributes)
        self.refer(data, ObjectIds.HasTypeDefinition, standard(type_id))
        return data

    def variable(
        self,
        node_id: ua.NodeId,
        name: ua.QualifiedName,
        type_id: int,
        data_type: int,
        value: ua.DataValue,
        interval_ms: float,
        more: Mapping[AttributeIds, ua.DataValue] = NOTHING_MORE,
    ) -> NodeData:
        """A scalar variable that clients may only read."""
        attributes = {
            **self._variable,
            **more,
            AttributeIds.DataType: self.shared(
                ("type", data_type), standard(data_type), ua.VariantType.NodeId
            ),
            AttributeIds.MinimumSamplingInterval: self.shared(
                ("interval", interval_ms), interval_ms, ua.VariantType.Double
            ),
            AttributeIds.Value: value,
        }
        data = self.node(node_id, name, attributes)
        self.refer(data, ObjectIds.HasTypeDefinition, standard(type_id))
        return data

    def _description(
        self, reference: int, target: NodeData, forward: bool
    ) -> ua.ReferenceDescription:
        kind: Any = ua.ExpandedNodeId()
        for other in target.references[:1]:
            # Our own nodes carry their type first; a client sees it while browsing.
            if other.ReferenceTypeId == standard(ObjectIds.HasTypeDefinition):
                kind = other.NodeId
        # All fields at once: each one's default is an object that would be made for nothing.
        fields: Any = (
            standard(reference),
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
