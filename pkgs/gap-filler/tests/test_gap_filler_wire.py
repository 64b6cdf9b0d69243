"""HistoryRead's answers: both ways of reading agree with asyncua; strange bytes are refused."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_to_binary
from gap_filler.wire import NO_TIME, WireError, decode_response, decode_values
from hypothesis import given
from hypothesis import strategies as st

TIME = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
TIME_NS = 1_767_323_045_678_901_000


def response(*results: ua.HistoryReadResult) -> Buffer:
    made = ua.HistoryReadResponse()
    made.Results = list(results)
    return Buffer(struct_to_binary(made))


def result(values: list[ua.DataValue], point: bytes | None = None) -> ua.HistoryReadResult:
    made = ua.HistoryReadResult()
    made.HistoryData = ua.HistoryData()
    made.HistoryData.DataValues = values
    made.ContinuationPoint = point
    return made


def value(content: Any, status: int = 0, *, server: bool = False) -> ua.DataValue:
    return ua.DataValue(
        ua.Variant(content),
        ua.StatusCode(ua.UInt32(status)),
        SourceTimestamp=TIME,
        ServerTimestamp=TIME if server else None,
    )


def name(_place: int) -> str:
    return "Flow"


@pytest.mark.parametrize("server", [False, True])
@pytest.mark.parametrize("contents", [[1.5, 2.5, -0.0], [1.5, None, "text", True, 7, [1.0, 2.0]]])
def test_values_are_read(contents: list[Any], server: bool) -> None:
    values = [value(content, 0x40900000, server=server) for content in contents]
    [found] = decode_response(response(result(values, b"more")), name)
    assert (found.status, found.continuation) == (0, b"more")
    assert found.values.times.tolist() == [TIME_NS] * len(contents)
    assert found.values.statuses.tolist() == [0x40900000] * len(contents)
    told = [found.values.value(place) for place in range(len(contents))]
    assert told == [
        {"Flow[0]": 1.0, "Flow[1]": 2.0} if isinstance(content, list) else content
        for content in contents
    ]


def body(*values: bytes) -> bytes:
    return struct.pack("<i", len(values)) + b"".join(values)


def raw_double(ticks: int, number: float = 1.0) -> bytes:
    return struct.pack("<BBdQ", 0x05, 11, number, ticks)


def test_a_time_has_its_hundred_nanoseconds() -> None:
    ticks = 134_117_966_456_789_017
    found = decode_values(body(raw_double(ticks), raw_double(ticks + 1)), "x")
    first = (ticks - 116_444_736_000_000_000) * 100
    assert found.times.tolist() == [first, first + 100]


@pytest.mark.parametrize("ticks", [0, 2**64 - 1, 2**63])
def test_a_time_that_is_none_is_no_time(ticks: int) -> None:
    assert decode_values(body(raw_double(ticks)), "x").times.tolist() == [NO_TIME]
    # The slow way, for values that differ in form, says the same.
    mixed = body(raw_double(ticks), struct.pack("<BBQ", 0x05, 0, 0))
    assert decode_values(mixed, "x").times.tolist() == [NO_TIME, NO_TIME]


def test_a_node_that_cannot_be_read_hides_no_other() -> None:
    bad = ua.HistoryReadResult()
    bad.StatusCode = ua.StatusCode(ua.UInt32(0x80340000))
    first, second = decode_response(response(bad, result([value(1.5)])), name)
    assert (first.status, len(first.values)) == (0x80340000, 0)
    assert second.values.value(0) == 1.5


def test_a_service_that_is_refused_says_so() -> None:
    made = ua.HistoryReadResponse()
    made.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(0x800B0000))
    with pytest.raises(ua.UaStatusCodeError):
        decode_response(Buffer(struct_to_binary(made)), name)


WHOLE = bytes(response(result([value(1.5), value("text")])))


@given(st.integers(24, len(WHOLE) - 1))
def test_a_truncated_answer_is_refused_or_shorter(length: int) -> None:
    try:
        found = decode_response(Buffer(WHOLE[:length]), name)
    except (WireError, ua.UaError):
        return
    assert sum(len(one.values) for one in found) <= 2


@given(st.binary(max_size=60))
def test_any_bytes_are_values_or_refused(raw: bytes) -> None:
    try:
        decode_values(body() + raw, "x")
        decode_values(struct.pack("<i", 3) + raw, "x")
    except (struct.error, IndexError, OverflowError, UnicodeDecodeError):
        pass
