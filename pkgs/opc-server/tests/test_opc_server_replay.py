"""Replay: the last recorded value at or before the position, and files that are refused."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fieldline.service import EXIT_CONFIGURATION, ServiceError
from fieldline.site import Replay
from opc_server.sources.replay import ReplaySource
from opc_server.status import BAD_NO_DATA, GOOD, UNCERTAIN_LAST_USABLE

LINES = ["0,1.0", "1,2.0", "3,3.0"]


def write(directory: Path, lines: list[str], header: str = "time,x") -> None:
    (directory / "run.csv").write_text("\n".join([header, *lines]) + "\n")


@pytest.fixture
def source(tmp_path: Path, make_point: Any) -> Any:
    def make(
        column: str = "x",
        *,
        file: str = "run.csv",
        time_column: str = "time",
        speed: int = 1,
        loop: bool = True,
    ) -> ReplaySource:
        replay = Replay(file, column, time_column, speed, loop)
        return ReplaySource([make_point(source=replay)], tmp_path)

    return make


def values_at(source: ReplaySource, make_tick: Any, collected: Any, *seconds: float) -> list[float]:
    for second in seconds:
        source.sample(make_tick(second), collected)
    return collected.values


def test_the_value_is_the_last_one_at_or_before_the_position(
    tmp_path: Path, source: Any, make_tick: Any, collected: Any
) -> None:
    write(tmp_path, LINES)
    values = values_at(source(), make_tick, collected, 0, 0.9, 1, 2.9, 3, 4.4)
    assert values == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert set(collected.statuses) == {GOOD}


def test_a_loop_begins_again_one_usual_interval_after_its_end(
    tmp_path: Path, source: Any, make_tick: Any, collected: Any
) -> None:
    # Intervals are 1 s and 2 s, their median 1.5 s: the loop is 4.5 s long.
    write(tmp_path, LINES)
    assert values_at(source(), make_tick, collected, 4.49, 4.5, 5.5, 45.0) == [3.0, 1.0, 2.0, 1.0]


@pytest.mark.parametrize("speed", [1, 10, 1000])
def test_speed_moves_the_position(
    tmp_path: Path, source: Any, make_tick: Any, collected: Any, speed: int
) -> None:
    write(tmp_path, LINES)
    made = source(speed=speed)
    assert values_at(made, make_tick, collected, 0.9 / speed, 1 / speed) == [1.0, 2.0]


def test_without_loop_the_last_value_stays_as_the_last_usable(
    tmp_path: Path, source: Any, make_tick: Any, collected: Any
) -> None:
    write(tmp_path, LINES)
    assert values_at(source(loop=False), make_tick, collected, 4, 4.5, 1000) == [3.0, 3.0, 3.0]
    assert collected.statuses == [GOOD, UNCERTAIN_LAST_USABLE, UNCERTAIN_LAST_USABLE]


def test_what_was_not_recorded_is_the_value_before_or_bad(
    tmp_path: Path, source: Any, make_tick: Any, collected: Any
) -> None:
    write(tmp_path, ["0,", "1,5.0", "2,nan", "3,inf", "4,6.0"])
    values = values_at(source(), make_tick, collected, 0, 1, 2, 3, 4)
    assert math.isnan(values[0])
    assert values[1:] == [5.0, 5.0, 5.0, 6.0]
    assert collected.statuses == [BAD_NO_DATA, GOOD, GOOD, GOOD, GOOD]


@pytest.mark.parametrize(
    "times",
    [
        ["1700000000", "1700000001"],
        ["1700000000000", "1700000001000"],
        ["1700000000000000", "1700000001000000"],
        ["1700000000000000000", "1700000001000000000"],
        ["2023-11-14T22:13:20Z", "2023-11-14T22:13:21Z"],
        ["2023-11-14T23:13:20+01:00", "2023-11-14T22:13:21Z"],
        ["2023-11-14 22:13:20.000000", "2023-11-14 22:13:21.000001"],
        ["2023-11-14T22:13:20.000000000", "2023-11-14T22:13:21.000000000"],
    ],
)
def test_times_of_every_form_are_one_second_apart(
    tmp_path: Path, source: Any, make_tick: Any, collected: Any, times: list[str]
) -> None:
    write(tmp_path, [f"{time},{value}" for time, value in zip(times, (1.0, 2.0), strict=True)])
    assert values_at(source(), make_tick, collected, 0.999, 1.0001) == [1.0, 2.0]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "text", "zoned"])
def test_parquet_with_times_of_every_unit(
    tmp_path: Path, source: Any, make_tick: Any, collected: Any, unit: str
) -> None:
    begin = datetime(2024, 2, 28, 23, 59, 59, tzinfo=UTC)
    times = [begin, begin + timedelta(seconds=1)]
    if unit == "text":
        column = pa.array([time.isoformat() for time in times])
    elif unit == "zoned":
        column = pa.array(times, pa.timestamp("us", tz="Europe/Berlin"))
    else:
        column = pa.array([time.replace(tzinfo=None) for time in times], pa.timestamp(unit))
    table = pa.table({"when": column, "x": pa.array([True, False]), "other": ["a", "b"]})
    pq.write_table(table, tmp_path / "run.parquet")
    made = source(file="run.parquet", time_column="when")
    assert values_at(made, make_tick, collected, 0.5, 1) == [1.0, 0.0]


def test_one_source_serves_many_columns(
    tmp_path: Path, make_point: Any, make_tick: Any, collected: Any
) -> None:
    write(tmp_path, ["0,1,10,5"], "time,a,b,c")
    replays = [Replay("run.csv", column, "time", 1, True) for column in ("b", "a", "b")]
    points = [make_point(index, source=replay) for index, replay in enumerate(replays)]
    ReplaySource(points, tmp_path).sample(make_tick(0), collected)
    assert collected.values == [10.0, 1.0, 10.0]


@pytest.mark.parametrize(
    ("lines", "header", "naming"),
    [
        (LINES, "time,y", "no column 'x'. Its columns: time, y"),
        (LINES, "at,x", "no column 'time'"),
        ([], "time,x", "no rows"),
        (["0,warm"], "time,x", "column 'x' that are no numbers"),
        (["0,", "1,"], "time,x", "no value in column 'x'"),
        (["1,1.0", "0,2.0"], "time,x", "back in time in row 2 of column 'time'"),
        ([",1.0"], "time,x", "column 'time'"),
        (["0,1.0", ",1.0"], "time,x", "no time in row 2 of column 'time'"),
        (["monday,1.0"], "time,x", "times in column 'time' that cannot be read"),
        (["0.5,1.0"], "time,x", "no times in column 'time'"),
        (["0,1.0,7"], "time,x", "cannot be read as CSV"),
        (["0,1,2"], "time,x,x", "more than one column 'x'"),
    ],
)
def test_a_wrong_file_is_refused_by_name(
    tmp_path: Path, source: Any, lines: list[str], header: str, naming: str
) -> None:
    write(tmp_path, lines, header)
    with pytest.raises(ServiceError) as caught:
        source()
    assert caught.value.code == EXIT_CONFIGURATION
    assert "run.csv" in caught.value.what_to_do
    assert naming in caught.value.what_to_do


@pytest.mark.parametrize("file", ["absent.csv", "absent.parquet"])
def test_a_file_that_is_not_there_is_refused(source: Any, file: str) -> None:
    with pytest.raises(ServiceError, match=rf"{file} is not there"):
        source(file=file)


def test_what_is_no_parquet_is_refused(tmp_path: Path, source: Any) -> None:
    (tmp_path / "run.parquet").write_text("time,x\n0,1\n")
    with pytest.raises(ServiceError, match="cannot be read as Parquet"):
        source(file="run.parquet")
