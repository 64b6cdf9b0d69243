"""Why a variable is stale, and when Telegraf is restarted for it."""

from __future__ import annotations

import itertools

import pytest
from gap_filler.staleness import HOPS, WORDS, Cause, Restarts, Seen, cause_of, is_many, limits_ns
from hypothesis import given
from hypothesis import strategies as st

SECOND = 1_000_000_000
T = 1_700_000_000_000_000_000
BAD, UNKNOWN = 0x808C0000, 0x80340000


@pytest.mark.parametrize(
    ("kafka", "now", "before", "own", "cause"),
    [
        (T, Seen(T + SECOND, 0, 1.0), None, True, Cause.SUBSCRIPTION),
        (-1, Seen(T, 0, 1.0), None, False, Cause.SUBSCRIPTION),
        (T, Seen(T, 0, 1.0), None, True, Cause.STOPPED),
        # Kafka has the 100 ns that a read of the value lacks.
        (T + 900, Seen(T, 0, 1.0), None, True, Cause.STOPPED),
        (T, Seen(T, BAD, None), None, True, Cause.BAD),
        # A bad value is one that has to arrive as well.
        (T, Seen(T + SECOND, BAD, None), None, True, Cause.SUBSCRIPTION),
        (T, Seen(None, UNKNOWN, None), None, True, Cause.NODE),
        (T, Seen(None, 0, 1.0), None, True, Cause.STOPPED),
        # A PLC's source time goes on, its value does not: it reports nothing, and need not.
        (T, Seen(T + SECOND, 0, 1.0), None, False, Cause.UNKNOWN),
        (T, Seen(T + SECOND, 0, 1.0), Seen(T, 0, 1.0), False, Cause.UNCHANGED),
        (T, Seen(T + SECOND, 0, 2.0), Seen(T, 0, 1.0), False, Cause.SUBSCRIPTION),
        (T, Seen(T + SECOND, BAD, 1.0), Seen(T, 0, 1.0), False, Cause.SUBSCRIPTION),
    ],
)
def test_cause(kafka: int, now: Seen, before: Seen | None, own: bool, cause: Cause) -> None:
    assert cause_of(kafka, now, before, own=own) is cause


def test_every_cause_has_a_hop_and_words() -> None:
    assert set(HOPS) == set(WORDS) == set(Cause)


def test_stale_is_three_periods_and_ten_seconds_at_least() -> None:
    assert limits_ns([SECOND // 5, 4 * SECOND]).tolist() == [10 * SECOND, 12 * SECOND]


@pytest.mark.parametrize(
    ("dead", "of", "many"), [(0, 0, False), (0, 5, False), (1, 5, True), (1, 6, False)]
)
def test_many(dead: int, of: int, many: bool) -> None:
    assert is_many(dead, of) is many
    assert is_many(100, 10_000)


def restarts(seconds: list[tuple[int, bool, bool]]) -> list[int]:
    rule = Restarts()
    return [s for s, dead, many in seconds if rule.due(s * SECOND, dead=dead, many=many)]


def test_many_dead_ones_are_waited_for_ten_seconds_a_few_for_a_minute() -> None:
    assert restarts([(s, True, True) for s in range(12)]) == [10]
    assert restarts([(s, True, False) for s in range(62)]) == [60]
    # One look without any begins anew.
    assert restarts([(s, s != 5, s != 5) for s in range(16)]) == []


def test_each_restart_that_does_not_help_is_followed_by_a_longer_pause() -> None:
    found = restarts([(s, True, True) for s in range(2_000)])
    assert [b - a for a, b in itertools.pairwise(found)] == [30, 60, 120, 300, 900]


def test_after_a_cure_the_pause_is_short_again() -> None:
    dead = [(s, True, True) for s in range(100)]
    cured = [(s, False, False) for s in range(100, 500)]
    found = restarts([*dead, *cured, *[(s, True, True) for s in range(500, 560)]])
    assert found == [10, 40, 510, 540]


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans(), st.booleans()), max_size=60))
def test_two_restarts_are_never_closer_than_thirty_seconds(
    steps: list[tuple[int, bool, bool]],
) -> None:
    at, moments = 0, []
    for step, dead, many in steps:
        at += step
        moments.append((at, dead or many, many))
    found = restarts(moments)
    assert all(b - a >= 30 for a, b in itertools.pairwise(found))
