"""Reading the record as an archive: the same values as reading it whole, in pieces of any size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fieldline.record import (
    Archive,
    Damage,
    Position,
    RecordVariable,
    RecordWriter,
    count,
    read_directory,
    select,
)
from fieldline.record import archive as archive_module
from fieldline.record import segment as segment_module
from fieldline.record.format import ENTRY, encode_header, segment_name
from fieldline.record.segment import EARLIEST, LATEST
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

VARIABLES = [RecordVariable("a", name, f"ns=2;s=a.{name}") for name in ("x", "y", "z")]
START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
# One source time, a status and a value: (variable, seconds late, status).
Tick = tuple[int, list[tuple[int, int, int]]]


@pytest.fixture(autouse=True)
def small_blocks() -> Iterator[None]:
    """Blocks of five entries, so that a few hundred have many."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (segment_module, archive_module):
            patch.setattr(module, "BLOCK", 5)
        patch.setattr(segment_module, "TAIL", 3)
        yield


def write(directory: Path, begin_s: int, ticks: list[Tick], order: list[int]) -> None:
    """A segment as the writer makes it: rising times but for late values, variables in `order`."""
    rows, now = [], begin_s
    for step, values in ticks:
        now += step
        if now - begin_s >= 3600:
            break
        for variable, late, status in values:
            time = max(1, START + (now - late) * SECOND)
            rows.append((order.index(variable), status, time, float(len(rows))))
    header = encode_header([VARIABLES[place] for place in order])
    begin = START + begin_s * SECOND
    (directory / segment_name(begin)).write_bytes(header + np.array(rows, ENTRY).tobytes())


ticks = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 20, 30, 60, 70]),
        st.lists(
            st.tuples(
                st.sampled_from([0, 0, 1, 2]),
                st.sampled_from([0, 0, 0, 20, 60]),
                st.sampled_from([0, 0x40000000, 0x80000000, 0xC0000000]),
            ),
            max_size=4,
        ),
    ),
    max_size=30,
)
# Begins that overlap, as where the clock was set back in between.
segments = st.lists(
    st.tuples(st.sampled_from([0, 30, 600, 3600]), ticks, st.permutations([0, 1, 2])),
    min_size=1,
    max_size=4,
    unique_by=lambda made: made[0],
)
slow = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def archive_of(directory: Path) -> tuple[Archive, list[Damage]]:
    damages: list[Damage] = []
    archive = Archive(directory, VARIABLES, damages.append)
    archive.refresh()
    return archive, damages


def expected(directory: Path, variable: int, since: int, until: int) -> list[tuple[int, float]]:
    """(source time, value) of a variable in [since, until), sorted, from the whole record."""
    table = read_directory(directory)
    mine = [table.variables[place] == VARIABLES[variable] for place in table.variable]
    inside = np.array(mine, bool) & (table.time >= since) & (table.time < until)
    return sorted(zip(table.time[inside].tolist(), table.value[inside].tolist(), strict=True))


@slow
@given(
    made=segments,
    variable=st.integers(0, 2),
    interval=st.tuples(st.sampled_from([-100, 0, 30, 600]), st.integers(0, 8000)),
    limit=st.sampled_from([1, 1, 2, 3, 7, 30]),
    backward=st.booleans(),
    hurried=st.booleans(),
)
def test_pages_together_are_the_interval(
    tmp_path_factory: pytest.TempPathFactory,
    made: list[tuple[int, list[Tick], list[int]]],
    variable: int,
    interval: tuple[int, int],
    limit: int,
    backward: bool,
    hurried: bool,
) -> None:
    directory = tmp_path_factory.mktemp("record")
    for begin_s, tick_list, order in made:
        write(directory, begin_s, tick_list, order)
    archive, damages = archive_of(directory)
    since, until = (START + at * SECOND for at in sorted(interval))
    begin, end = (until - 1, since - 1) if backward else (since, until)
    rest: Position | None = Position(begin)
    got: list[tuple[int, float]] = []
    pages = 0
    while rest is not None:
        before = rest
        found = select(
            archive,
            variable,
            rest,
            end,
            limit,
            backward=backward,
            deadline=0.0 if hurried else None,
        )
        assert len(found.entries) <= limit
        assert len(found.entries) == limit or hurried or found.rest is None
        got += zip(found.entries["time"].tolist(), found.entries["value"].tolist(), strict=True)
        rest = found.rest
        assert rest != before
        pages += 1
    # Values of one time may be in several segments; their order is not promised.
    assert [row[0] for row in got] == sorted((row[0] for row in got), reverse=backward)
    assert sorted(got) == expected(directory, variable, since, until)
    assert damages == []


@slow
@given(made=segments, edges=st.lists(st.integers(-100, 8000), min_size=2, max_size=6, unique=True))
def test_counts_are_those_of_the_whole_record(
    tmp_path_factory: pytest.TempPathFactory,
    made: list[tuple[int, list[Tick], list[int]]],
    edges: list[int],
) -> None:
    directory = tmp_path_factory.mktemp("record")
    for begin_s, tick_list, order in made:
        write(directory, begin_s, tick_list, order)
    archive, _damages = archive_of(directory)
    at = np.array([START + edge * SECOND for edge in sorted(edges)], np.int64)
    counts = count(archive, at, len(VARIABLES))
    table = read_directory(directory)
    known = np.array([VARIABLES.index(found) for found in table.variables], np.int64)
    naive = np.zeros_like(counts)
    for place, status, time in zip(table.variable, table.status, table.time, strict=True):
        interval = int(np.searchsorted(at, time, "right")) - 1
        if 0 <= interval < len(at) - 1:
            naive[min(int(status) >> 30, 2), interval, known[place]] += 1
    assert counts.tolist() == naive.tolist()


def append(writer: RecordWriter, second: int, value: float = 0.0) -> None:
    places = np.arange(len(VARIABLES))
    writer.append(START + second * SECOND, places, places * 0, places + value)


def times(archive: Archive, variable: int = 0) -> list[int]:
    found = select(archive, variable, Position(EARLIEST), LATEST, 1000)
    assert found.rest is None
    return [(time - START) // SECOND for time in found.entries["time"].tolist()]


def test_an_archive_follows_its_writer(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path, VARIABLES, 3_600_000)
    archive, damages = archive_of(tmp_path)
    assert times(archive) == []
    assert archive.reach() is None
    for second in range(0, 3 * 3600, 60):
        append(writer, second)
        archive.refresh()
        assert times(archive)[-1] == second
        assert archive.reach() is not None
    kept = times(archive)
    # Older segments went while it was read.
    assert kept == list(range(kept[0], 3 * 3600, 60))
    assert 3600 <= 3 * 3600 - kept[0] <= 2 * 3600
    assert damages == []


def test_a_segment_whose_time_is_over_is_passed_over(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path, VARIABLES, 3_600_000)
    append(writer, 0)
    archive, damages = archive_of(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    # It is still in the list.
    assert times(archive) == []
    archive.refresh()
    assert times(archive) == []
    assert damages == []


def test_a_variable_is_known_by_its_name_whatever_its_node_was(tmp_path: Path) -> None:
    moved = [VARIABLES[2], RecordVariable("a", "x", "ns=2;i=77")]
    for second, variables in enumerate((VARIABLES, VARIABLES[1:2], moved)):
        writer = RecordWriter(tmp_path, variables, 3_600_000)
        places = np.arange(len(variables))
        writer.append(START + second * SECOND, places, places * 0, places * 1.0)
        writer.close()
    archive, _damages = archive_of(tmp_path)
    assert [times(archive, variable) for variable in range(3)] == [[0, 2], [0, 1], [0, 2]]


def test_the_reach_is_from_the_oldest_segment_to_the_newest_value(tmp_path: Path) -> None:
    for begin_s in (5000, 100):  # The clock was set back.
        write(tmp_path, begin_s, [(0, [(0, 0, 0)]), (900, [(0, 0, 0), (1, 50, 0)])], [0, 1, 2])
    archive, _damages = archive_of(tmp_path)
    assert archive.reach() == (START + 100 * SECOND, START + 5900 * SECOND)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("late_block", [1, 2])
def test_a_block_of_late_values_hides_none_of_its_neighbours(
    tmp_path: Path, backward: bool, late_block: int
) -> None:
    made: list[Tick] = [(100, [(0, 0, 0)] * 5), (1, [(0, 0, 0)] * 5)]
    made.insert(late_block, (0, [(0, 54 + late_block, 0)] * 5))
    write(tmp_path, 0, made, [0, 1, 2])
    archive, _damages = archive_of(tmp_path)
    for since, until, expected in ((90, 200, [100, 101]), (0, 50, [45]), (45, 101, [45, 100])):
        at = [START + second * SECOND for second in (since, until)]
        begin, end = (at[1] - 1, at[0] - 1) if backward else at
        found = select(archive, 0, Position(begin), end, 100, backward=backward)
        seconds = (found.entries["time"] - START) // SECOND
        assert np.unique(seconds, return_counts=True)[1].tolist() == [5] * len(expected)
        assert sorted(set(seconds.tolist())) == expected
        edges = np.array(at, np.int64)
        assert int(count(archive, edges, len(VARIABLES)).sum()) == 5 * len(expected)


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "INDEX_BYTES", 300)
    monkeypatch.setattr(archive_module, "DATA_BYTES", 300)
    writer = RecordWriter(tmp_path, VARIABLES, 3_600_000)
    for second in range(200):
        append(writer, second)
    archive, _damages = archive_of(tmp_path)
    for _ in range(2):
        assert times(archive) == list(range(200))
        assert 0 < archive.nbytes <= 600
