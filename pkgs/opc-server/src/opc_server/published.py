"""Published values as asyncua's objects, without what asyncua does for values of any kind.

CPU per value and subscribed client, measured with `bench/opc_server_scale.py` on one machine:
110 µs with asyncua's own DataValue, 33 µs since none is copied, 20 µs since none is guessed at.
With Telegraf as the client (`bench/opc_server_peers.py`): 22 µs, 14 µs since each is encoded at
once, and 10 µs since `publisher` sets values without asyncua's looking up and checking.
"""

from __future__ import annotations

import functools
import struct
from datetime import datetime
from typing import Any

from asyncua import ua
from asyncua.ua import ua_binary

# The encoder works the mask out; here is only its place.
_NO_MASK: Any = 0


class PublishedVariant(ua.Variant):
    """A scalar that differs from the one before it, also where the number is the same.

    A client without a filter is told of changes of status and value only (OPC 10000-4, 7.22.2), and
    Telegraf can't ask for new timestamps without a deadband, which drops equal values again. Here
    each sample is an event of its own, and none may be missing downstream.
    """

    __slots__ = ()

    # Not asyncua's, which looks for arrays, guesses types and refuses what it does not like.
    def __init__(self, value: float | None, kind: ua.VariantType) -> None:
        self.Value = value
        self.VariantType = kind
        self.Dimensions = None
        self.is_array = False

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class PublishedValue(ua.DataValue):
    """A DataValue that nobody changes, so that a copy of it is itself."""

    __slots__ = ()

    # The names are the fields', since asyncua makes one of another with them (dataclasses.replace).
    def __init__(
        self,
        Value: ua.Variant,  # noqa: N803
        StatusCode: ua.StatusCode,  # noqa: N803
        SourceTimestamp: Any,  # noqa: N803
        ServerTimestamp: Any = None,  # noqa: N803
        SourcePicoseconds: None = None,  # noqa: N803
        ServerPicoseconds: None = None,  # noqa: N803
    ) -> None:
        self.Encoding = _NO_MASK
        self.Value = Value
        self.StatusCode = StatusCode
        self.SourceTimestamp = SourceTimestamp
        self.ServerTimestamp = ServerTimestamp
        self.SourcePicoseconds = SourcePicoseconds
        self.ServerPicoseconds = ServerPicoseconds

    def __deepcopy__(self, memo: object) -> PublishedValue:
        return self


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


def share_the_empty_value() -> None:
    """Have asyncua's notifications begin with one empty value, which is never changed."""
    ua.MonitoredItemNotification.__init__ = _notification  # type: ignore[method-assign]


# A notification with a number as it is sent (OPC 10000-6, 5.2.2): the client's handle, what the
# DataValue has (value, status, source and server time), the Variant's kind, the number; the rest is
# the same for many values.
_HEAD, _REST = struct.Struct("<IBBd"), struct.Struct("<Iqq")
_ALL_FIELDS = 0x0F
_DOUBLE = ua.VariantType.Double
_DOUBLE_CODE = ua.VariantType.Double.value


@functools.lru_cache(maxsize=64)
def _rest(status: int, source: datetime, server: datetime) -> bytes:
    return _REST.pack(status, ua.datetime_to_win_epoch(source), ua.datetime_to_win_epoch(server))


class NotificationEncoding:
    """How asyncua encodes a notification in a list of them, in the form of its own primitives."""

    _any = staticmethod(ua_binary.create_dataclass_serializer(ua.MonitoredItemNotification))

    @classmethod
    def pack(cls, notification: ua.MonitoredItemNotification) -> bytes:
        """As asyncua does it; field by field only what is not a number of ours with all fields."""
        value: Any = notification.Value
        if type(notification.Value) is PublishedValue and value.Value.VariantType is _DOUBLE:
            source, server = value.SourceTimestamp, value.ServerTimestamp
            # A client may want neither.
            if source is not None and server is not None:
                handle, number = notification.ClientHandle, value.Value.Value
                head = _HEAD.pack(handle, _ALL_FIELDS, _DOUBLE_CODE, number)
                return head + _rest(value.StatusCode.value, source, server)
        encoded: bytes = cls._any(notification)
        return encoded


def encode_at_once() -> None:
    """Have asyncua encode notifications with `NotificationEncoding`; before it encodes the first.

    It looks here for the encoding of a type, by the type's name.
    """
    setattr(ua_binary.Primitives, ua.MonitoredItemNotification.__name__, NotificationEncoding)
