"""The aggregate Count: the standard's intervals, what is counted, and the intervals' statuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fieldline.record import Archive, RecordVariable, RecordWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opc_server.history.processed import DEFAULT_QUALITY, CountRead, Quality
from opc_server.opcua import StatusCodes

VARIABLES = [RecordVariable("a", name, f"ns=2;s=a.{name}") for name in ("x", "y")]
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
GOOD, UNCERTAIN, BAD = 0, 0x40000000, 0x80050000
CALCULATED, PARTIAL = 0x401, 0x405
NO_DATA = int(StatusCodes.BadNoData)
SUB_NORMAL = int(StatusCodes.UncertainDataSubNormal) | CALCULATED
ALL_BAD = int(StatusCodes.Bad) | CALCULATED
# Each second one value; `y` has none.
STATUSES = [GOOD] * 10 + [UNCERTAIN] * 5 + [BAD] * 5 + [GOOD, BAD] * 5


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    directory: Path = tmp_path_factory.mktemp("record")
    writer = RecordWriter(directory, VARIABLES, 86_400_000)
    for second, status in enumerate(STATUSES):
        writer.append(
            START + second * SECOND, np.array([0]), np.array([status]), np.array([second])
        )
    writer.close()
    made = Archive(directory, VARIABLES, lambda damage: pytest.fail(str(damage)))
    made.refresh()
    return made


Row = tuple[float, int | None, int]


def counted(
    archive: Archive,
    start: float,
    end: float,
    step: float,
    quality: Quality = DEFAULT_QUALITY,
    variable: int = 0,
    most: int = 1000,
) -> list[Row]:
    """(begin in s, count, status) of each interval, through continuation points."""
    read = CountRead.of(
        START + round(start * SECOND), START + round(end * SECOND), step * 1000, quality
    )
    rows: list[Row] = []
    while read is not None:
        found, read = read.page(archive, [variable], len(VARIABLES), most)
        assert len(found.times) <= most
        rows += [
            ((time - START) / SECOND, count if there else None, status)
            for time, count, status, there in zip(
                found.times.tolist(),
                *found.counts.tolist(),
                *found.statuses.tolist(),
                found.there.tolist(),
                strict=True,
            )
        ]
        if read is not None:
            assert CountRead.from_bytes(read.to_bytes()) == read
    return rows


def test_one_interval_includes_its_start_and_not_its_end(archive: Archive) -> None:
    assert counted(archive, 0, 10, 0) == [(0, 10, CALCULATED)]
    assert counted(archive, 2, 5, 0) == [(2, 3, CALCULATED)]
    assert counted(archive, 2, 5, 100) == [(2, 3, CALCULATED)]


def test_the_last_interval_may_be_partial(archive: Archive) -> None:
    assert counted(archive, 0, 10, 5) == [(0, 5, CALCULATED), (5, 5, CALCULATED)]
    assert counted(archive, 0, 9, 4) == [(0, 4, CALCULATED), (4, 4, CALCULATED), (8, 1, PARTIAL)]


def test_backward_intervals_include_the_later_time(archive: Archive) -> None:
    # (9, 4], (4, 0]: the value at 0 is not in the last one.
    assert counted(archive, 9, 0, 5) == [(9, 5, CALCULATED), (4, 4, PARTIAL)]


def test_bad_values_are_not_counted_and_show_in_the_status(archive: Archive) -> None:
    assert counted(archive, 10, 15, 0) == [(10, 5, SUB_NORMAL)]
    assert counted(archive, 15, 20, 0) == [(15, 0, ALL_BAD)]
    assert counted(archive, 20, 30, 0) == [(20, 5, SUB_NORMAL)]


def test_uncertain_values_are_counted_unless_they_count_as_bad(archive: Archive) -> None:
    assert counted(archive, 5, 15, 0) == [(5, 10, SUB_NORMAL)]
    strict = Quality(uncertain_is_bad=True)
    assert counted(archive, 5, 15, 0, strict) == [(5, 5, SUB_NORMAL)]
    assert counted(archive, 10, 15, 0, strict) == [(10, 0, ALL_BAD)]
    # Both percentages apply: the one of Good is used.
    assert counted(archive, 20, 30, 0, Quality(False, 50, 50)) == [(20, 5, CALCULATED)]
    assert counted(archive, 20, 30, 0, Quality(False, 30, 80)) == [(20, 5, ALL_BAD)]


def test_no_value_is_zero_within_the_record_and_no_data_outside(archive: Archive) -> None:
    assert counted(archive, 0, 10, 0, variable=1) == [(0, 0, CALCULATED)]
    assert counted(archive, 0.25, 0.75, 0) == [(0.25, 0, CALCULATED)]
    assert counted(archive, -20, -10, 0) == [(-20, None, NO_DATA)]
    assert counted(archive, 40, 50, 0) == [(40, None, NO_DATA)]
    assert counted(archive, -10, 10, 10) == [(-10, None, NO_DATA), (0, 10, CALCULATED)]


def test_nothing_is_known_where_there_is_no_record(tmp_path: Path) -> None:
    empty = Archive(tmp_path, VARIABLES, lambda damage: pytest.fail(str(damage)))
    empty.refresh()
    assert counted(empty, 0, 10, 0) == [(0, None, NO_DATA)]


edge = st.integers(-100, 400)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edge, edge, st.integers(1, 300), st.integers(1, 5))
def test_intervals_in_pages_hold_each_value_once(
    archive: Archive, start: int, end: int, step: int, most: int
) -> None:
    if start == end:
        return
    rows = counted(archive, start / 10, end / 10, step / 10, most=most)
    assert rows == counted(archive, start / 10, end / 10, step / 10)
    assert len(rows) == -(-abs(end - start) // step)
    inside = [
        second
        for second, status in enumerate(STATUSES)
        if status != BAD
        and (start <= second * 10 < end if start < end else end < second * 10 <= start)
    ]
    assert sum(row[1] or 0 for row in rows) == len(inside)


@pytest.mark.parametrize("interval", [-1.0, float("nan"), float("inf")])
def test_wrong_intervals_are_refused(interval: float) -> None:
    assert CountRead.of(START, START + SECOND, interval, DEFAULT_QUALITY) is None
    assert CountRead.of(START, START, 1000.0, DEFAULT_QUALITY) is None


def test_percentages_that_contradict_are_not_possible() -> None:
    assert DEFAULT_QUALITY.possible
    assert not Quality(False, 0, 0).possible
    assert not Quality(False, 101, 100).possible
    assert not Quality(False, 100, 101).possible
    assert Quality(False, 0, 100).possible


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=27, max_size=27))
def test_a_forged_continuation_point_does_no_harm(archive: Archive, data: bytes) -> None:
    read = CountRead.from_bytes(b"\x02" + data)
    if read is not None:
        read.page(archive, [0], len(VARIABLES), 10)
