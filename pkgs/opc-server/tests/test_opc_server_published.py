"""Published values are what asyncua's own would be, to the byte."""

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import Primitives, struct_from_binary, struct_to_binary, to_binary
from hypothesis import given
from hypothesis import strategies as st
from opc_server.opcua import at, status_code
from opc_server.published import PublishedValue, PublishedVariant, Stamp, adapt_notifications
from opc_server.status import BAD, GOOD, UNCERTAIN

SOURCE_NS, SERVER_NS = 1_700_000_000_123_456_000, 1_700_000_000_123_999_000
STATUSES = st.sampled_from([GOOD, UNCERTAIN, BAD, 0x809B0000])
# OPC UA's own range begins in 1601; a clock that is not set yet is in 1970.
TIMES = st.integers(0, 4 * 10**18)
NUMBERS = st.none() | st.floats(width=64)


@pytest.fixture(autouse=True)
def _adapted() -> Iterator[None]:
    begins = ua.MonitoredItemNotification.__init__
    adapt_notifications()
    yield
    ua.MonitoredItemNotification.__init__ = begins  # type: ignore[method-assign]
    del Primitives.MonitoredItemNotification  # type: ignore[attr-defined]


def values(number: float | None, code: int, source_ns: int, server_ns: int) -> tuple[Any, Any]:
    """Ours and asyncua's."""
    ours = PublishedValue(number, Stamp(status_code(code), source_ns, server_ns))
    kind = ua.VariantType.Null if number is None else ua.VariantType.Double
    times: Any = (at(source_ns), at(server_ns))
    return ours, ua.DataValue(ua.Variant(number, kind), status_code(code), *times)


@given(NUMBERS, STATUSES, TIMES, TIMES, st.integers(0, 2**32 - 1))
def test_a_published_value_is_encoded_as_asyncuas(
    number: float | None, code: int, source_ns: int, server_ns: int, handle: int
) -> None:
    ours, theirs = values(number, code, source_ns, server_ns)
    assert struct_to_binary(ours) == struct_to_binary(theirs)
    expected = struct.pack("<I", handle) + struct_to_binary(theirs)
    plain: Any = handle
    assert to_binary(ua.MonitoredItemNotification, notification(plain, ours)) == expected
    # Of values that are not ours: a property's, or one of the server's own variables.
    assert to_binary(ua.MonitoredItemNotification, notification(plain, theirs)) == expected


def notification(handle: Any, value: ua.DataValue) -> ua.MonitoredItemNotification:
    """Made as asyncua makes one."""
    made = ua.MonitoredItemNotification()
    made.ClientHandle = handle
    made.Value = value
    return made


def test_many_in_a_list_are_read_back() -> None:
    ours, _ = values(2.5, GOOD, SOURCE_NS, SERVER_NS)
    sent: Any = ua.DataChangeNotification(MonitoredItems=[notification(7, ours)] * 2)
    read = struct_from_binary(ua.DataChangeNotification, Buffer(struct_to_binary(sent)))
    assert [item.ClientHandle for item in read.MonitoredItems] == [7, 7]
    (value,) = {item.Value.Value.Value for item in read.MonitoredItems}
    assert value == 2.5


def test_equal_samples_are_two_values() -> None:
    assert PublishedVariant(1.0) != PublishedVariant(1.0)


def test_a_notification_begins_as_asyncuas() -> None:
    first, second = ua.MonitoredItemNotification(), ua.MonitoredItemNotification()
    first.Value, _ = values(2.0, GOOD, SOURCE_NS, SERVER_NS)
    assert second.Value == ua.DataValue()
    assert struct_to_binary(second) == bytes(4) + struct_to_binary(ua.DataValue())
