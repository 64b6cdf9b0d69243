"""asyncua behind types that hold: its own ask for wrapper classes where it takes plain values."""

from __future__ import annotations

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaError, UaStatusCodeError
from fieldline.site import NodeId

__all__ = [
    "AttributeIds",
    "Client",
    "UaError",
    "UaStatusCodeError",
    "node_id",
    "status_name",
]


def node_id(node: NodeId | str) -> ua.NodeId:
    """A node id as asyncua's, from a declared one or its text."""
    return ua.NodeId.from_string(str(node))


def status_name(code: int) -> str:
    """The symbolic name of a status code."""
    return ua.StatusCode(ua.UInt32(code)).name
