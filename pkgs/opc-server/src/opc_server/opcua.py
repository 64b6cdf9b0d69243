"""asyncua behind types that hold: its own ask for wrapper classes where it takes plain values."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AttributeValue
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

__all__ = [
    "AttributeIds",
    "AttributeValue",
    "ObjectIds",
    "Server",
    "StatusCodes",
    "at",
    "node_id",
    "since_1970",
    "status_code",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(time_ns: int) -> Any:
    """A time in ns since 1970 as the datetime that asyncua takes, in whole µs."""
    return EPOCH + timedelta(microseconds=time_ns // 1000)


def since_1970(when: datetime) -> int:
    """A time as asyncua gives it, in ns since 1970."""
    return (when - EPOCH) // timedelta(microseconds=1) * 1000


def node_id(identifier: int | str | uuid.UUID, namespace: int) -> ua.NodeId:
    """A node id; its kind follows from the identifier's type."""
    plain: Any = (identifier, namespace)
    return ua.NodeId(*plain)


def status_code(code: int) -> ua.StatusCode:
    """A status code as asyncua's object."""
    plain: Any = code
    return ua.StatusCode(plain)
