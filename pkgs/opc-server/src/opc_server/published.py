"""Published values as asyncua's objects, without what asyncua does for values of any kind.

What differs between the values of a moment is the number; the rest is made and encoded once.
CPU per value and subscribed client: `bench/opc_server_peers.py`, beside plain asyncua's.
"""

from __future__ import annotations

import struct
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import Primitives, create_dataclass_serializer, struct_from_binary

from opc_server.opcua import at

# The encoder works the mask out; here is only its place.
_NO_MASK: Any = 0

# A notification as it is sent (OPC 10000-6, 5.2.2.17: the mask, then what it names): the client's
# handle, the mask, the variant's kind and its number; then status and the two times.
_ALL_FOUR = 0b1111
_OF_NULL, _OF_DOUBLE = ua.VariantType.Null.value, ua.VariantType.Double.value
_DOUBLE = struct.Struct("<IBBd")
_NULL = struct.Struct("<IBB")
_REST = struct.Struct("<Iqq")


class Stamp:
    """What values of one moment and status have in common, as objects and encoded.

    Args:
        source_ns: when they were measured, since 1970.
        server_ns: when the server has them.
    """

    __slots__ = ("encoded", "server", "source", "status")

    def __init__(self, status: ua.StatusCode, source_ns: int, server_ns: int) -> None:
        self.status = status
        self.source, self.server = at(source_ns), at(server_ns)
        self.encoded = _REST.pack(
            status.value, *map(ua.datetime_to_win_epoch, (self.source, self.server))
        )


class PublishedVariant(ua.Variant):
    """A Double, or nothing, that differs from the one before it, also where the number is the same.

    A client without a filter is told of changes of status and value only (OPC 10000-4, 7.22.2), and
    Telegraf can't ask for new timestamps without a deadband, which drops equal values again. Here
    each sample is an event of its own, and none may be missing downstream.
    """

    __slots__ = ()

    # Not asyncua's, which looks for arrays, guesses types and refuses what it does not like.
    def __init__(self, number: float | None) -> None:
        self.Value = number
        self.VariantType = ua.VariantType.Null if number is None else ua.VariantType.Double
        self.Dimensions = None
        self.is_array = False

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class PublishedValue(ua.DataValue):
    """A DataValue that nobody changes, so that a copy of it is itself.

    Args:
        number: None where the status is Bad (OPC 10000-4, 7.7.1).
    """

    __slots__ = ("number", "stamped")

    def __init__(self, number: float | None, stamp: Stamp) -> None:
        self.Encoding = _NO_MASK
        self.Value = PublishedVariant(number)
        self.StatusCode = stamp.status
        self.SourceTimestamp = stamp.source
        self.ServerTimestamp = stamp.server
        self.SourcePicoseconds = None
        self.ServerPicoseconds = None
        self.number = number
        self.stamped = stamp.encoded

    def __deepcopy__(self, memo: object) -> PublishedValue:
        return self

    def notified(self, handle: int) -> bytes:
        """The encoded notification of it, to the client's `handle`."""
        if self.number is None:
            return _NULL.pack(handle, _ALL_FOUR, _OF_NULL) + self.stamped
        return _DOUBLE.pack(handle, _ALL_FOUR, _OF_DOUBLE, self.number) + self.stamped


# asyncua makes a notification empty and sets its value then. Its own empty value is a new object
# each time, with a guess at the type of nothing: a quarter of all that a value costs.
_EMPTY = ua.DataValue()


def _notification(
    self: ua.MonitoredItemNotification,
    ClientHandle: Any = 0,  # noqa: N803
    Value: ua.DataValue = _EMPTY,  # noqa: N803
) -> None:
    self.ClientHandle = ClientHandle
    self.Value = Value


class _Encoding:
    """Of a notification: ours for our values, asyncua's for others, and to read one."""

    @staticmethod
    def pack(notification: ua.MonitoredItemNotification) -> bytes:
        value = notification.Value
        if isinstance(value, PublishedValue):
            return value.notified(notification.ClientHandle)
        return create_dataclass_serializer(ua.MonitoredItemNotification)(notification)

    @staticmethod
    def unpack(data: Any) -> Any:
        return struct_from_binary(ua.MonitoredItemNotification, data)


def adapt_notifications() -> None:
    """Have asyncua's notifications begin with one empty value, and be encoded as above.

    Before the first of them is encoded: asyncua asks once for how it is done.
    """
    ua.MonitoredItemNotification.__init__ = _notification  # type: ignore[method-assign]
    Primitives.MonitoredItemNotification = _Encoding  # type: ignore[attr-defined]
