"""Records as Telegraf writes them. pkgs/gap-filler/tests/kafka holds them against the real one."""

from __future__ import annotations

import json
import math

import pytest
from fieldline.messages import decode_opc
from fieldline.messages.telegraf import OpcEncoder, number_json, partition_of, text_json
from hypothesis import given
from hypothesis import strategies as st

GOOD = "The operation succeeded. StatusGood (0x0)"


def test_a_record_as_a_lab_has_recorded_it() -> None:
    encoder = OpcEncoder("Sensors", "Temperature", "ns=2;i=2")
    raw = encoder.encode(20.0, GOOD, 1_700_000_000_123_456_700)
    assert raw == (
        b'{"fields":{"Quality":"The operation succeeded. StatusGood (0x0)","Temperature":20},'
        b'"name":"opc_server","tags":{"asset":"Sensors","id":"ns=2;i=2"},'
        b'"timestamp":1700000000123456700}\n'
    )


def test_fields_are_in_the_order_of_their_names() -> None:
    assert b'{"Flow":1,"Quality":"x"}' in OpcEncoder("a", "Flow", "i").encode(1, "x", 0)
    array = OpcEncoder("a", "V", "i").encode({"V[10]": 1.5, "V[2]": math.nan, "V[1]": 2}, "x", 0)
    assert b'{"Quality":"x","V[10]":1.5,"V[1]":2}' in array


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_a_quality_alone(value: float | None) -> None:
    assert b'"fields":{"Quality":"x"}' in OpcEncoder("a", "V", "i").encode(value, "x", 0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (9.5e-7, "9.5e-7"),
        (1e-10, "1e-10"),
        (123456789.125, "123456789.125"),
        (1e16, "10000000000000000"),
    ],
)
def test_numbers_as_go_writes_them(value: float, text: str) -> None:
    assert number_json(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_back(value: float) -> None:
    assert float(number_json(value)) == value


@given(st.text())
def test_a_text_is_read_back_and_is_safe_in_html(text: str) -> None:
    written = text_json(text)
    assert json.loads(written) == text
    assert not set(written) & set("<>&\u2028\u2029\n")


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63 - 1))
def test_a_record_is_read_back(value: float, time: int) -> None:
    read = decode_opc(OpcEncoder("a", "V", "ns=2;s=a.V").encode(value, GOOD, time))
    assert (read.asset, read.variable, read.time, read.quality) == ("a", "V", time, 0)
    # A whole number is read as one, and its digits are the shortest.
    assert isinstance(read.value, int | float)
    assert float(read.value) == value


# FNV-1a's own test vectors: 0x811c9dc5, 0xe40c292c, 0xbf9cf968; taken as signed.
@pytest.mark.parametrize(
    ("key", "partitions", "partition"),
    [(b"", 4, 3), (b"a", 4, 0), (b"foobar", 4, 0), (b"a", 7, abs(0xE40C292C - 2**32) % 7)],
)
def test_partition(key: bytes, partitions: int, partition: int) -> None:
    assert partition_of(key, partitions) == partition
