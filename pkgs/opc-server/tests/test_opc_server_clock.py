"""Source times: never back, never twice, and said to be uncertain where they are."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opc_server.clock import Stamper, SystemClock, TimeSync

SECOND = 1_000_000_000


def test_a_source_time_is_the_wall_clock_in_whole_microseconds(clock: Any) -> None:
    clock.wall_offset += 1234
    stamp = Stamper(clock, lambda _leap: None).stamp()
    assert clock.wall_ns() - 1000 < stamp.time_ns <= clock.wall_ns()
    assert stamp.time_ns % 1000 == 0
    assert stamp.certain


def test_a_leap_back_is_told_and_caught_up_with_at_half_speed(clock: Any) -> None:
    leaps: list[int] = []
    stamper = Stamper(clock, leaps.append)
    stamps = [stamper.stamp()]
    clock.wall_offset -= 10 * SECOND
    for _ in range(25):
        clock.now += SECOND
        stamps.append(stamper.stamp())
    assert leaps == [-10 * SECOND]
    times = [stamp.time_ns for stamp in stamps]
    assert all(later > earlier for earlier, later in pairwise(times))
    # It is 10 s ahead and gains half a second on each: right again after 20 s.
    assert [stamp.certain for stamp in stamps].index(False) == 1
    assert [stamp.certain for stamp in stamps].count(False) == 19
    assert times[-1] == clock.wall_ns()


def test_a_leap_forward_is_told_and_followed(clock: Any) -> None:
    leaps: list[int] = []
    stamper = Stamper(clock, leaps.append)
    stamper.stamp()
    clock.wall_offset += 3600 * SECOND
    stamp = stamper.stamp()
    assert leaps == [3600 * SECOND]
    assert (stamp.time_ns, stamp.certain) == (clock.wall_ns(), True)


def test_slewing_is_no_leap(clock: Any) -> None:
    leaps: list[int] = []
    stamper = Stamper(clock, leaps.append)
    for _ in range(100):
        clock.now += SECOND
        clock.wall_offset -= 500_000  # 500 ppm, the most that the kernel slews by
        assert stamper.stamp().certain
    assert leaps == []


@given(st.lists(st.tuples(st.integers(0, 10**10), st.integers(-(10**12), 10**12)), max_size=30))
def test_source_times_always_increase(moves: list[tuple[int, int]]) -> None:
    class Moved(SystemClock):
        now = 10**9
        wall = 10**18

        def monotonic_ns(self) -> int:
            return self.now

        def wall_ns(self) -> int:
            return self.wall

    moved = Moved()
    stamper = Stamper(moved, lambda _leap: None)
    times = [stamper.stamp().time_ns]
    for elapsed, leap in moves:
        moved.now += elapsed
        moved.wall += elapsed + leap
        times.append(stamper.stamp().time_ns)
    assert all(later > earlier for earlier, later in pairwise(times))


def test_time_is_synchronised_once_the_file_is_there(clock: Any, tmp_path: Path) -> None:
    path = tmp_path / "synchronized"
    synchronized = TimeSync(clock, str(path))
    assert not synchronized()
    path.touch()
    assert not synchronized()  # It looks once a second.
    clock.now += SECOND
    assert synchronized()
    path.unlink()
    clock.now += 2 * SECOND
    assert synchronized()
