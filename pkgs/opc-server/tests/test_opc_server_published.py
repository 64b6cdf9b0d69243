"""Published values are what asyncua's own would be, to the byte."""

import dataclasses
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from opc_server.opcua import at, status_code
from opc_server.published import PublishedValue, PublishedVariant, share_the_empty_value
from opc_server.status import BAD, GOOD, UNCERTAIN

TIMES: Any = (at(1_700_000_000_123_456_000), at(1_700_000_000_123_999_000))


@pytest.mark.parametrize("number", [0.0, -1.5, 1e300, float("inf")])
@pytest.mark.parametrize("code", [GOOD, UNCERTAIN])
def test_a_published_value_is_encoded_as_asyncuas(number: float, code: int) -> None:
    double = ua.VariantType.Double
    ours = PublishedValue(PublishedVariant(number, double), status_code(code), *TIMES)
    theirs = ua.DataValue(ua.Variant(number, double), status_code(code), *TIMES)
    assert struct_to_binary(ours) == struct_to_binary(theirs)


def test_asyncua_can_take_the_number_out_of_a_bad_value() -> None:
    ours = PublishedValue(PublishedVariant(1.0, ua.VariantType.Double), status_code(BAD), *TIMES)
    null = ua.Variant(None, ua.VariantType.Null)
    theirs = ua.DataValue(null, status_code(BAD), *TIMES)
    assert struct_to_binary(dataclasses.replace(ours, Value=null)) == struct_to_binary(theirs)


def test_equal_samples_are_two_values() -> None:
    double = ua.VariantType.Double
    assert PublishedVariant(1.0, double) != PublishedVariant(1.0, double)


def test_a_notification_is_what_asyncuas_is() -> None:
    value = ua.DataValue(ua.Variant(2.0, ua.VariantType.Double), status_code(GOOD), *TIMES)
    share_the_empty_value()
    first, second = ua.MonitoredItemNotification(), ua.MonitoredItemNotification()
    first.Value = value
    assert second.Value == ua.DataValue()
    assert struct_to_binary(second) == bytes(4) + struct_to_binary(ua.DataValue())
