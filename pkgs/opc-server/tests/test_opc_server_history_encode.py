"""Encoded by hand as asyncua would: the same values, statuses and times for any client."""

from __future__ import annotations

import math
import struct

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import given
from hypothesis import strategies as st
from opc_server.history.encode import doubles, history_data, int32s
from opc_server.opcua import at, since_1970, status_code
from opc_server.published import PublishedValue, Stamp
from opc_server.status import BAD, SEVERITY

# Source times are whole µs; 2 ** 52 µs is the year 2112.
rows = st.lists(
    st.tuples(
        st.integers(1, 2**52),
        st.one_of(
            st.sampled_from([0, 0x40000000, 0x80000000, 0x80050000]), st.integers(0, 2**32 - 1)
        ),
        st.floats(width=64),
    ),
    max_size=40,
)


def decoded(count: int, data: bytes) -> list[ua.DataValue]:
    """What asyncua's client makes of it."""
    body = history_data(count, data).Body
    buffer = Buffer(body)
    values = struct_from_binary(ua.HistoryData, buffer).DataValues
    assert len(buffer) == 0
    return list(values)


def bits(value: object) -> object:
    """A value that is equal to itself, whatever it is."""
    return struct.pack("<d", value) if isinstance(value, float) else value


def seen(value: ua.DataValue) -> tuple[object, ...]:
    assert value.Value is not None
    assert value.StatusCode is not None
    kind = value.Value.VariantType
    return bits(value.Value.Value), kind, value.StatusCode.value, value.SourceTimestamp


@given(rows)
def test_history_is_what_was_published(made: list[tuple[int, int, float]]) -> None:
    times = np.array([row[0] * 1000 for row in made], np.int64)
    statuses = np.array([row[1] for row in made], np.uint32)
    values = np.array([row[2] for row in made], np.float64)
    expected = []
    for time_ns, status, value in zip(times.tolist(), statuses.tolist(), values, strict=True):
        # As the publisher makes it, and as it comes out of asyncua at a client.
        bad = status & SEVERITY >= BAD
        stamp = Stamp(status_code(status), time_ns, 0)
        published = PublishedValue(None if bad else float(value), stamp)
        expected.append(struct_from_binary(ua.DataValue, Buffer(struct_to_binary(published))))
    got = decoded(len(made), doubles(times, statuses, values))
    assert [seen(value) for value in got] == [seen(value) for value in expected]
    # To the ns, since a source time is part of a value's identity downstream.
    assert [since_1970(value.SourceTimestamp) for value in got] == times.tolist()


@given(
    st.lists(st.tuples(st.integers(0, 2**31 - 1), st.sampled_from([0x401, 0x809B0000])), max_size=9)
)
def test_counts_are_whole_numbers_or_not_there(made: list[tuple[int, int]]) -> None:
    times = np.arange(len(made), dtype=np.int64) * 1_000_000
    statuses = np.array([row[1] for row in made], np.uint32)
    counts = np.array([row[0] for row in made], np.int64)
    there = statuses < BAD
    int32, null = ua.VariantType.Int32, ua.VariantType.Null
    # Of two variables; the other one's differ in what they take as bytes.
    others = np.where(there, 0, statuses).astype(np.uint32)
    both = int32s(times, np.stack([statuses, others]), np.stack([counts, counts // 2]), there)
    for data, of, codes in zip(both, (counts, counts // 2), (statuses, others), strict=True):
        got = decoded(len(made), data)
        assert [seen(value) for value in got] == [
            (count, int32, status, at(n * 1_000_000))
            if status < BAD
            else (None, null, status, at(n * 1_000_000))
            for n, (count, status) in enumerate(zip(of.tolist(), codes.tolist(), strict=True))
        ]


def test_a_good_value_takes_18_bytes() -> None:
    one = np.array([1_000_000]), np.array([0], np.uint32), np.array([math.pi])
    assert len(doubles(*one)) == 18
