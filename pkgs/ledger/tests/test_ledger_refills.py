"""What is asked for again, how often, and which minutes of it."""

from __future__ import annotations

import numpy as np
import pytest
from fieldline.ledger import Ints
from hypothesis import given
from hypothesis import strategies as st
from ledger.refills import MINUTES, PAUSES, Key, Refills, narrow
from ledger_fakes import HOUR

A, B = Key(HOUR, 0), Key(HOUR, 2)


def lacking(*values: int) -> Ints:
    return np.array(values, np.int64)


def test_a_lost_value_is_asked_for_at_once_then_after_pauses_then_never() -> None:
    refills = Refills()
    assert refills.found(HOUR, lacking(5, 0, 0)) == 0
    now = 1000.0
    for pause in PAUSES:
        assert refills.give_up(now) == []
        assert refills.due(now) == [A]
        refills.asked(A, 100, now)
        assert refills.due(now + pause - 1) == []
        assert refills.waiting() == {HOUR}
        assert refills.give_up(now + pause - 1) == []
        refills.found(HOUR, lacking(5, 0, 0))
        now += pause
    assert refills.give_up(now) == [A]
    assert refills.give_up(now) == []
    assert refills.due(now + 1e9) == []
    assert refills.waiting() == set()


def test_what_comes_back_is_counted_and_forgotten() -> None:
    refills = Refills()
    refills.found(HOUR, lacking(5, 0, 3))
    refills.asked(A, 100, 0.0)
    assert refills.found(HOUR, lacking(2, 0, 0)) == 3
    assert set(refills.cases) == {A}
    assert refills.found(HOUR, lacking(0, 0, 0)) == 2
    assert not refills.cases


def test_what_comes_by_itself_was_not_asked_for() -> None:
    refills = Refills()
    refills.found(HOUR, lacking(5, 0, 0))
    assert refills.found(HOUR, lacking(0, 0, 0)) == 0


def test_after_a_change_it_is_asked_for_anew() -> None:
    refills = Refills()
    refills.found(HOUR, lacking(5, 0, 0))
    for _ in PAUSES:
        refills.asked(A, 100, 0.0)
    assert refills.give_up(1e9) == [A]
    refills.found(HOUR, lacking(7, 0, 0))
    assert refills.due(1e9) == [A]


def test_no_more_than_so_many_values_are_under_way() -> None:
    refills = Refills(most_values=1000)
    refills.found(HOUR, lacking(5, 0, 3))
    refills.asked(A, 700, 0.0)
    assert refills.room(1.0) == 300
    # Who has not answered within the pause is not waited for.
    assert refills.room(PAUSES[0]) == 1000


def test_the_oldest_hours_come_first_and_not_all_at_once() -> None:
    refills = Refills(most_variables=2)
    refills.found(HOUR + 1, lacking(1, 1, 0))
    refills.found(HOUR, lacking(0, 1, 0))
    assert refills.due(0.0) == [Key(HOUR, 1), Key(HOUR + 1, 0)]
    refills.forget(HOUR + 1)
    assert refills.due(0.0) == [Key(HOUR + 1, 0), Key(HOUR + 1, 1)]


def test_a_hole_of_some_minutes_is_found() -> None:
    minutes = np.full(MINUTES, 300, np.int64)
    minutes[20:22] = 0
    minutes[22] = 100
    minutes[::7] += 1
    assert narrow(minutes, 800) == (20, 23)


@pytest.mark.parametrize("short", [1, 7])
def test_what_the_minutes_do_not_explain_is_asked_for_by_the_hour(short: int) -> None:
    """A value of a minute: within the unevenness of any sampled variable."""
    minutes = np.full(MINUTES, 7, np.int64)
    minutes[:short] = 6
    assert narrow(minutes, short) == (0, MINUTES)


def test_what_was_never_produced_is_not_asked_for() -> None:
    """A server that runs from the tenth minute to the fortieth, and a hole in between."""
    minutes = np.zeros(MINUTES, np.int64)
    minutes[10:40] = 60
    minutes[20:22] = 0
    assert narrow(minutes, 120) == (20, 22)
    # Where that does not explain it, the hole is at an end.
    assert narrow(minutes, 121) == (0, MINUTES)


def test_an_empty_hour_is_asked_for_as_a_whole() -> None:
    assert narrow(np.zeros(MINUTES, np.int64), 10) == (0, MINUTES)


@given(
    st.integers(2, 400),
    st.integers(0, MINUTES - 1),
    st.integers(1, MINUTES - 1),
    st.lists(st.integers(0, 1), min_size=MINUTES, max_size=MINUTES),
)
def test_the_interval_has_all_that_a_sampled_variable_lost(
    rate: int, first: int, length: int, uneven: list[int]
) -> None:
    whole = rate + np.array(uneven, np.int64)
    held = whole.copy()
    last = min(first + length, MINUTES)
    held[first:last] = 0
    begin, end = narrow(held, int((whole - held).sum()))
    assert 0 <= begin <= first
    assert last <= end <= MINUTES


@given(
    st.lists(st.integers(0, 50), min_size=MINUTES, max_size=MINUTES),
    st.integers(1, 3000),
)
def test_the_interval_is_one_of_the_hour(minutes: list[int], short: int) -> None:
    begin, end = narrow(np.array(minutes, np.int64), short)
    assert 0 <= begin < end <= MINUTES
