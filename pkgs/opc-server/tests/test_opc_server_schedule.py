"""Due times: an absolute grid, no drift, no burst."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opc_server.schedule import Due, Schedule

MS = 1_000_000


def test_ticks_are_on_the_grid() -> None:
    schedule = Schedule(0, 0, [200 * MS])
    assert schedule.next_ns() == 200 * MS
    assert schedule.due(199 * MS) == []
    assert schedule.due(201 * MS) == [Due(200 * MS, 1 * MS, 0)]
    assert schedule.next_ns() == 400 * MS


def test_periods_meet() -> None:
    schedule = Schedule(7, 7, [2000 * MS, 200 * MS])
    met = [schedule.due(7 + step * 200 * MS) for step in range(1, 11)]
    assert [len(due) for due in met] == [1] * 9 + [2]
    assert met[-1] == [Due(200 * MS, 0, 0), Due(2000 * MS, 0, 0)]


def test_a_late_tick_is_one_tick_and_what_it_missed_is_counted() -> None:
    schedule = Schedule(0, 0, [100 * MS])
    assert schedule.due(570 * MS) == [Due(100 * MS, 70 * MS, 4)]
    assert schedule.due(570 * MS) == []
    assert schedule.next_ns() == 600 * MS


def test_what_passed_before_the_start_is_not_missed() -> None:
    schedule = Schedule(0, 950 * MS, [100 * MS, 400 * MS])
    assert schedule.next_ns() == 1000 * MS
    assert schedule.due(1000 * MS) == [Due(100 * MS, 0, 0)]


@given(
    st.integers(1, 10**10),
    st.lists(st.integers(0, 3 * 10**10), min_size=1, max_size=50),
)
def test_every_instant_is_either_ticked_or_missed(period: int, steps: list[int]) -> None:
    schedule = Schedule(0, 0, [period])
    now = seen = 0
    for step in steps:
        now += step
        for due in schedule.due(now):
            seen += 1 + due.missed
            assert 0 <= due.late_ns < period
        assert seen == now // period
        assert now < schedule.next_ns() <= now + period
