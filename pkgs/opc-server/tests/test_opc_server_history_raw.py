"""Raw reads: the standard's own table of bounding values, and pages of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fieldline.record import Archive, RecordVariable, RecordWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opc_server.history.raw import RawRead
from opc_server.opcua import StatusCodes

VARIABLES = [RecordVariable("a", name, f"ns=2;s=a.{name}") for name in ("x", "never")]
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
# Five o'clock of some day; the record has 5:00, 5:02, 5:03, 5:05 and 5:06 as in the standard.
FIVE = 1_699_592_400 * SECOND
STORED = (0, 2, 3, 5, 6)


def archive_of(directory: Path, minutes: tuple[int, ...]) -> Archive:
    writer = RecordWriter(directory, VARIABLES, 86_400_000)
    for minute in minutes:
        writer.append(
            FIVE + minute * MINUTE, np.array([0]), np.array([0]), np.array([float(minute)])
        )
    writer.close()
    archive = Archive(directory, VARIABLES, lambda damage: pytest.fail(str(damage)))
    archive.refresh()
    return archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return archive_of(tmp_path_factory.mktemp("record"), STORED)


def shown(entry: Any) -> str:
    """An entry as the standard's table has it: its time, or what was not found."""
    minutes, seconds = divmod((int(entry["time"]) - FIVE) // SECOND, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{5 + hours}:{minutes:02}" + (f":{seconds:02}" if seconds else "")
    if int(entry["status"]) == int(StatusCodes.BadBoundNotFound):
        assert np.isnan(entry["value"])
        return f"none at {text}"
    assert float(entry["value"]) == (int(entry["time"]) - FIVE) // MINUTE
    return text


def asked(start: str, end: str, most: int, bounds: bool) -> RawRead | None:
    def time_ns(text: str) -> int | None:
        if not text:
            return None
        hours, minutes = text.split(":")
        return FIVE + ((int(hours) - 5) * 60 + int(minutes)) * MINUTE

    return RawRead.of(time_ns(start), time_ns(end), most, bounds)


def page(read: RawRead, archive: Archive, most: int) -> tuple[list[str], RawRead | None]:
    entries, rest = read.page(archive, 0, most, deadline=float("inf"))
    return [shown(entry) for entry in entries], rest


# OPC 10000-11, Table 1: start, end, number, bounds, what is returned; and whether more is to come.
TABLE = [
    ("5:00", "5:05", 0, True, "5:00 5:02 5:03 5:05", False),
    ("5:00", "5:05", 0, False, "5:00 5:02 5:03", False),
    ("5:01", "5:04", 0, True, "5:00 5:02 5:03 5:05", False),
    ("5:01", "5:04", 0, False, "5:02 5:03", False),
    ("5:05", "5:00", 0, True, "5:05 5:03 5:02 5:00", False),
    ("5:05", "5:00", 0, False, "5:05 5:03 5:02", False),
    ("5:04", "5:01", 0, True, "5:05 5:03 5:02 5:00", False),
    ("5:04", "5:01", 0, False, "5:03 5:02", False),
    ("4:59", "5:05", 0, True, "none@4:59 5:00 5:02 5:03 5:05", False),
    ("4:59", "5:05", 0, False, "5:00 5:02 5:03", False),
    ("5:01", "5:07", 0, True, "5:00 5:02 5:03 5:05 5:06 none@5:07", False),
    ("5:01", "5:07", 0, False, "5:02 5:03 5:05 5:06", False),
    ("5:00", "5:05", 3, True, "5:00 5:02 5:03", True),
    ("5:00", "5:05", 3, False, "5:00 5:02 5:03", False),
    ("5:01", "5:04", 3, True, "5:00 5:02 5:03", True),
    ("5:01", "5:04", 3, False, "5:02 5:03", False),
    ("5:05", "5:00", 3, True, "5:05 5:03 5:02", True),
    ("5:05", "5:00", 3, False, "5:05 5:03 5:02", False),
    ("5:04", "5:01", 3, True, "5:05 5:03 5:02", True),
    ("5:04", "5:01", 3, False, "5:03 5:02", False),
    ("4:59", "5:05", 3, True, "none@4:59 5:00 5:02", True),
    ("4:59", "5:05", 3, False, "5:00 5:02 5:03", False),
    ("5:01", "5:07", 3, True, "5:00 5:02 5:03", True),
    ("5:01", "5:07", 3, False, "5:02 5:03 5:05", True),
    ("5:00", "", 3, True, "5:00 5:02 5:03", False),
    ("5:00", "", 3, False, "5:00 5:02 5:03", False),
    ("5:00", "", 6, True, "5:00 5:02 5:03 5:05 5:06 none@5:06:01", False),
    ("5:00", "", 6, False, "5:00 5:02 5:03 5:05 5:06", False),
    ("5:07", "", 6, True, "5:06 none@5:06:01", False),
    ("5:07", "", 6, False, "", False),
    ("", "5:06", 3, True, "5:06 5:05 5:03", False),
    ("", "5:06", 3, False, "5:06 5:05 5:03", False),
    ("", "5:06", 6, True, "5:06 5:05 5:03 5:02 5:00 none@4:59:59", False),
    ("", "5:06", 6, False, "5:06 5:05 5:03 5:02 5:00", False),
    ("", "4:48", 6, True, "5:00 none@4:59:59", False),
    ("", "4:48", 6, False, "", False),
    ("4:48", "4:48", 0, True, "none@4:48 5:00", False),
    ("4:48", "4:48", 0, False, "", False),
    ("4:48", "4:48", 1, True, "none@4:48", True),
    ("4:48", "4:48", 1, False, "", False),
    ("4:48", "4:48", 2, True, "none@4:48 5:00", False),
    ("5:00", "5:00", 0, True, "5:00 5:02", False),
    ("5:00", "5:00", 0, False, "5:00", False),
    ("5:00", "5:00", 1, True, "5:00", True),
    ("5:00", "5:00", 1, False, "5:00", False),
    ("5:01", "5:01", 0, True, "5:00 5:02", False),
    ("5:01", "5:01", 0, False, "", False),
    ("5:01", "5:01", 1, True, "5:00", True),
    ("5:01", "5:01", 1, False, "", False),
]


@pytest.mark.parametrize(("start", "end", "most", "bounds", "expected", "more"), TABLE)
def test_the_standards_table(
    archive: Archive,
    start: str,
    end: str,
    most: int,
    bounds: bool,
    expected: str,
    more: bool,
) -> None:
    read = asked(start, end, most, bounds)
    assert read is not None
    found, rest = page(read, archive, 1000)
    assert " ".join(found).replace("none at ", "none@") == expected
    assert (rest is not None) == more


def test_two_of_three_are_needed() -> None:
    assert asked("", "", 0, False) is None
    assert asked("", "", 5, False) is None
    assert asked("5:00", "", 0, True) is None
    assert asked("", "5:00", 0, True) is None


times = st.one_of(st.none(), st.integers(-20, 20))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times, times, st.integers(0, 8), st.booleans(), st.integers(2, 5))
def test_pages_through_continuation_points_are_the_whole(
    archive: Archive,
    start: int | None,
    end: int | None,
    most: int,
    bounds: bool,
    size: int,
) -> None:
    # 30 s steps, so that requests lie between values too.
    at, until = (None if t is None else FIVE + t * MINUTE // 2 for t in (start, end))
    whole = RawRead.of(at, until, most, bounds)
    if whole is None:
        return
    # With two times, the number is that of a page.
    unlimited = RawRead.of(at, until, 0, bounds) if at and until else whole
    assert unlimited is not None
    expected, rest = page(unlimited, archive, 1000)
    assert rest is None
    got: list[str] = []
    read: RawRead | None = whole
    points = set()
    while read is not None:
        found, read = page(read, archive, size)
        assert len(found) <= min(size, most or size)
        got += found
        if read is not None:
            point = read.to_bytes()
            # asyncua's client stops where it gets the same one again.
            assert point not in points
            points.add(point)
            assert RawRead.from_bytes(point) == read
    assert got == expected


@given(st.binary(max_size=40))
def test_what_is_no_continuation_point_is_none(data: bytes) -> None:
    assert RawRead.from_bytes(data) is None or data[0] == 1


@given(st.binary(min_size=29, max_size=29))
def test_a_forged_continuation_point_does_no_harm(archive: Archive, data: bytes) -> None:
    read = RawRead.from_bytes(b"\x01" + data)
    assert read is not None
    entries, _rest = read.page(archive, 0, 10, deadline=0.0)
    assert len(entries) <= 10


def test_a_variable_without_values_has_bounds_that_are_not_found(archive: Archive) -> None:
    read = RawRead.of(FIVE, FIVE + MINUTE, 0, True)
    assert read is not None
    entries, rest = read.page(archive, 1, 10, deadline=float("inf"))
    assert [shown(entry) for entry in entries] == ["none at 5:00", "none at 5:01"]
    assert rest is None


def test_values_of_a_continuation_point_that_are_gone_take_no_others_with_them(
    tmp_path: Path,
) -> None:
    read = RawRead.of(FIVE, FIVE + 10 * MINUTE, 0, False)
    assert read is not None
    found, rest = page(read, archive_of(tmp_path / "whole", STORED), 2)
    assert (found, rest is not None) == (["5:00", "5:02"], True)
    assert rest is not None
    # The segment's time was over in between.
    assert page(rest, archive_of(tmp_path / "left", (3, 5, 6)), 10)[0] == ["5:03", "5:05", "5:06"]
