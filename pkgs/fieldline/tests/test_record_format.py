"""The record's format: what was written is what is read, whatever happened to the end of a file."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from fieldline.record import RecordFormatError, RecordVariable, RecordWriter, read, read_directory
from fieldline.record.format import (
    ENTRY,
    LATENESS_NS,
    MAGIC,
    SEGMENT_SPAN_NS,
    encode_header,
    may_hold,
    segment_begin,
    segment_name,
)
from hypothesis import given, settings
from hypothesis import strategies as st

VARIABLES = [
    RecordVariable("press1", "Temperature", "ns=2;i=2"),
    RecordVariable("press1", "Pressure", "ns=2;s=press1.Pressure"),
    RecordVariable("Öfen-2", "Druck", "ns=2;g=09087e75-8e5e-499b-954f-f2a9603db28a"),
]

entries = st.lists(
    st.tuples(
        st.integers(0, len(VARIABLES) - 1),
        st.integers(0, 2**32 - 1),
        st.integers(1, 2**62),
        st.floats(width=64),
    ),
    max_size=40,
)


def segment(rows: list[tuple[int, int, int, float]], variables: list[RecordVariable]) -> bytes:
    return encode_header(variables) + np.array(rows, ENTRY).tobytes()


@given(entries, st.integers(0, ENTRY.itemsize - 1))
def test_what_is_written_is_read_and_a_torn_entry_is_not(
    rows: list[tuple[int, int, int, float]], torn: int
) -> None:
    table = read([segment(rows, VARIABLES) + b"\x01" * torn])
    expected = np.array(rows, ENTRY)
    assert [table.variables[place] for place in table.variable] == [VARIABLES[r[0]] for r in rows]
    assert table.status.tolist() == expected["status"].tolist()
    assert table.time.tolist() == expected["time"].tolist()
    # Bit for bit: NaN is not equal to itself, and -0.0 is equal to 0.0.
    assert table.value.tobytes() == np.ascontiguousarray(expected["value"]).tobytes()


@given(st.lists(st.integers(1, 100), min_size=1, max_size=20), st.integers(0, 90))
def test_the_interval_includes_its_begin_and_not_its_end(times: list[int], since: int) -> None:
    rows = [(0, 0, time_ns, 1.0) for time_ns in times]
    table = read([segment(rows, VARIABLES)], since, since + 10)
    assert table.time.tolist() == [t for t in times if since <= t < since + 10]


@settings(max_examples=30, deadline=None)
@given(batches=st.lists(st.tuples(st.integers(1, 10**10), st.integers(1, 3)), max_size=10))
def test_the_writer_writes_what_the_reader_reads(
    tmp_path_factory: pytest.TempPathFactory, batches: list[tuple[int, int]]
) -> None:
    directory = tmp_path_factory.mktemp("record")
    writer = RecordWriter(directory, VARIABLES, record_ms=86_400_000)
    time_ns, times = 10**18, []
    for step, count in batches:
        time_ns += step
        places = np.arange(count)
        writer.append(time_ns, places, np.full(count, 7), places * 0.5)
        times += [time_ns] * count
    writer.close()
    assert read_directory(directory).time.tolist() == times


def test_every_cut_of_a_segment_gives_the_whole_entries_before_it() -> None:
    rows = [(0, 0, 1, 1.5), (1, 0, 2, 2.5)]
    whole = segment(rows, VARIABLES)
    header = len(whole) - 2 * ENTRY.itemsize
    for cut in range(len(whole) + 1):
        count = max(0, cut - header) // ENTRY.itemsize
        assert read([whole[:cut]]).time.tolist() == [1, 2][:count]


def test_segments_with_different_variables_give_one_table() -> None:
    first = segment([(0, 0, 1, 1.0), (1, 0, 1, 2.0)], VARIABLES[:2])
    second = segment([(0, 0, 2, 3.0), (1, 0, 2, 4.0)], [VARIABLES[2], VARIABLES[0]])
    table = read([first, second])
    names = [table.variables[place] for place in table.variable]
    assert names == [VARIABLES[0], VARIABLES[1], VARIABLES[2], VARIABLES[0]]
    assert table.value.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_zeros_and_unknown_variables_after_a_power_cut_are_left_out() -> None:
    damaged = segment([(0, 0, 5, 1.0), (99, 0, 6, 1.0)], VARIABLES) + bytes(5 * ENTRY.itemsize)
    assert read([damaged]).time.tolist() == [5]


@pytest.mark.parametrize(
    "data",
    [b"PAR1....", b"FLREC2\n[]\n", MAGIC + b"no json\n", MAGIC + b'[{"asset":"a"}]\n'],
)
def test_what_is_no_segment_is_refused(data: bytes) -> None:
    with pytest.raises(RecordFormatError):
        read([data])


def test_no_segments_are_an_empty_table(tmp_path: Path) -> None:
    table = read_directory(tmp_path)
    assert (len(table), table.variables) == (0, ())


def test_a_segment_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    assert len(read([tmp_path / segment_name(1)])) == 0


@given(st.integers(1, 10**18), st.integers(1, 10**18), st.integers(0, 10**14))
def test_a_segment_is_left_out_only_where_it_cannot_hold_the_interval(
    begin: int, since: int, length: int
) -> None:
    name = segment_name(begin)
    assert segment_begin(name) == begin
    held = range(begin - LATENESS_NS, begin + SEGMENT_SPAN_NS)
    overlap = since < held.stop and since + length > held.start
    assert may_hold(name, since, since + length) == overlap
    assert may_hold(name, None, None)


def test_a_million_entries_are_read_at_once(tmp_path: Path) -> None:
    count, header = 500_000, encode_header(VARIABLES)
    rows = np.zeros(count, ENTRY)
    rows["time"] = np.arange(1, count + 1)
    data = header + rows.tobytes()
    for number in range(2):
        (tmp_path / segment_name(number)).write_bytes(data)
    begun = time.process_time()
    assert len(read_directory(tmp_path)) == 2 * count
    # Measured 0.06 s; the bound only keeps a loop over entries out.
    assert time.process_time() - begun < 1
