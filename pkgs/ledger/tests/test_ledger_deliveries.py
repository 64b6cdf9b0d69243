"""When InfluxDB or its writer is restarted, and when not."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger.deliveries import Refusals, Standstills, Waiting, Writes, waiting_of

SECOND = 10**9
PLACE = ("telegraf-opc", 0)


def refusals(looks: Iterable[tuple[int, Writes | None, bool]]) -> list[int]:
    rule = Refusals()
    return [s for s, writes, room in looks if rule.due(s * SECOND, writes, room=room)]


def refused(seconds: Iterable[int], *, room_from: int = 0) -> list[tuple[int, Writes | None, bool]]:
    """Ten writes are refused each second."""
    return [(s, Writes(7, 10 * s), s >= room_from) for s in seconds]


def test_what_refuses_for_ten_seconds_with_room_is_restarted() -> None:
    assert refusals(refused(range(20))) == [11]


def test_the_time_without_room_counts_but_something_must_be_refused_with_room() -> None:
    # With room at this look and at the one before, so that what was refused between had some.
    assert refusals(refused(range(40), room_from=30)) == [31]
    freed = [(s, Writes(7, 300), True) for s in range(31, 80)]
    assert refusals([*refused(range(31), room_from=30), *freed]) == []


def test_without_room_nothing_is_restarted() -> None:
    assert refusals(refused(range(2_000), room_from=9_999)) == []


def test_one_write_that_is_taken_begins_anew() -> None:
    assert refusals([(s, Writes(s // 9, 10 * s), True) for s in range(500)]) == []


def test_where_nothing_is_written_nothing_is_restarted() -> None:
    assert refusals([(s, Writes(7, 90), True) for s in range(2_000)]) == []


@pytest.mark.parametrize("again", [Writes(0, 3), Writes(7, 3), Writes(9, 3)])
def test_a_start_begins_anew(again: Writes) -> None:
    begun = [(s, Writes(again.taken, again.refused + s), True) for s in range(11, 30)]
    assert refusals([*refused(range(11)), *begun]) == [22]


def test_a_look_without_an_answer_is_no_news() -> None:
    away = [(s, None, True) for s in range(6, 9)]
    assert refusals([*refused(range(6)), *away, *refused(range(9, 20))]) == [11]
    assert refusals([(s, None, True) for s in range(2_000)]) == []


def test_refusals_are_forgotten_when_nothing_is_refused_any_more() -> None:
    rule = Refusals()
    for second, writes, _ in refused(range(6)):
        rule.due(second * SECOND, writes, room=False)
    assert rule.since(35 * SECOND) == SECOND
    assert rule.since(36 * SECOND) is None


def test_each_restart_of_influxdb_that_does_not_help_is_followed_by_a_longer_pause() -> None:
    found = refusals(refused(range(2_000)))
    assert [b - a for a, b in itertools.pairwise(found)] == [30, 60, 120, 300, 900]


Look = tuple[int, str, bool]


@given(
    st.lists(
        st.tuples(
            st.integers(1, 8),
            # Mostly refused, else there would hardly be a restart.
            st.sampled_from(["refused"] * 8 + ["taken", "both", "nothing", "away", "started"]),
            st.sampled_from([True, True, True, False]),
        ),
        max_size=80,
    )
)
def test_influxdb_is_restarted_only_where_it_may_help(steps: list[Look]) -> None:
    rule = Refusals()
    at, taken, refused_ = 0, 5, 0
    restarts: list[int] = []
    begun: int | None = None  # Since when nothing but refusals.
    answered, had_room = False, False
    for step, what, room in steps:
        at += step
        writes: Writes | None = None
        if what == "started":
            taken, refused_, begun = 0, 0, None
        elif what in ("taken", "both"):
            taken, refused_, begun = taken + 1, refused_ + (what == "both"), None
        elif what == "refused":
            refused_ += 1
            begun = at if begun is None else begun
        if what != "away":
            writes = Writes(taken, refused_)
        if rule.due(at * SECOND, writes, room=room):
            assert (what, room, had_room, answered) == ("refused", True, True, True)
            assert begun is not None
            assert at - begun >= 10
            assert not restarts or at - restarts[-1] >= 30
            restarts.append(at)
        answered, had_room = answered or writes is not None, room


def standstills(
    looks: Iterable[tuple[int, Mapping[tuple[str, int], Waiting] | None, bool]],
) -> list[tuple[int, list[tuple[str, int]]]]:
    rule = Standstills()
    found = [(s, rule.due(s * SECOND, waiting, store=store)) for s, waiting, store in looks]
    return [(second, places) for second, places in found if places]


def test_what_takes_nothing_for_25_s_is_restarted() -> None:
    still = {PLACE: Waiting(100, 500)}
    assert standstills([(s, still, True) for s in range(40)]) == [(25, [PLACE])]
    # More and more waits, as far as it has taken stays.
    more = [(s, {PLACE: Waiting(-1, 10 * s + 2)}, True) for s in range(40)]
    assert standstills(more) == [(25, [PLACE])]


def test_one_that_takes_something_now_and_then_is_slow_and_not_dead() -> None:
    assert standstills([(s, {PLACE: Waiting(s // 24, 9**9)}, True) for s in range(900)]) == []


def test_a_partition_that_stands_still_is_not_hidden_by_the_others() -> None:
    other = ("telegraf-opc", 1)
    looks = [(s, {PLACE: Waiting(s, 50), other: Waiting(3, 50)}, True) for s in range(40)]
    assert standstills(looks) == [(25, [other])]


@pytest.mark.parametrize(
    ("waiting", "store"), [(None, True), ({PLACE: Waiting(100, 500)}, False), ({}, True)]
)
def test_without_kafka_or_influxdb_or_work_nothing_is_restarted(
    waiting: dict[tuple[str, int], Waiting] | None, store: bool
) -> None:
    assert standstills([(s, waiting, store) for s in range(2_000)]) == []
    # And afterwards it has all the time anew.
    still = {PLACE: Waiting(100, 500)}
    looks = [(s, *((waiting, store) if s == 20 else (still, True))) for s in range(60)]
    assert standstills(looks) == [(46, [PLACE])]


def test_each_restart_of_the_writer_that_does_not_help_is_followed_by_a_longer_pause() -> None:
    found = standstills([(s, {PLACE: Waiting(1, 5)}, True) for s in range(2_000)])
    moments = [second for second, _ in found]
    assert [b - a for a, b in itertools.pairwise(moments)] == [30, 60, 120, 300, 900]


@given(
    st.lists(
        st.tuples(
            st.integers(1, 8), st.sampled_from(["still"] * 9 + ["moves", "none", "away", "store"])
        ),
        max_size=80,
    )
)
def test_the_writer_is_restarted_only_where_it_may_help(steps: list[tuple[int, str]]) -> None:
    rule = Standstills()
    at, offset = 0, 0
    begun: int | None = None
    restarts: list[int] = []
    for step, what in steps:
        at += step
        offset += what == "moves"
        waiting = {"none": {}, "away": None}.get(what, {PLACE: Waiting(offset, 9)})
        if what in ("still", "moves"):
            begun = at if begun is None or what == "moves" else begun
        else:
            begun = None
        if rule.due(at * SECOND, waiting, store=what != "store"):
            assert begun is not None
            assert at - begun >= 25
            assert not restarts or at - restarts[-1] >= 30
            restarts.append(at)


def test_which_partitions_wait() -> None:
    ends = {("g", n): end for n, end in enumerate([10, 10, 10, 10, 0, 1])}
    committed = {("g", 0): 10, ("g", 1): 9, ("g", 2): 8, ("h", 3): 10}
    # One record alone may be the mark of a transaction's end; a group that has taken nothing yet
    # has all before it.
    assert waiting_of(ends, committed) == {("g", 2): Waiting(8, 2), ("g", 3): Waiting(-1, 10)}
    # The topic was made anew.
    assert waiting_of({("g", 0): 5}, {("g", 0): 99}) == {}
