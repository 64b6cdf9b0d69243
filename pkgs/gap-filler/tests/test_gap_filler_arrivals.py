"""Windows of source time: what is kept, counted and dropped, held against plain sets."""

from __future__ import annotations

import numpy as np
from gap_filler.arrivals import WINDOW_NS, Arrivals
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

VARIABLES = 3
BEGIN = 1_700_000_000_000_000_000 // WINDOW_NS * WINDOW_NS


def add(arrivals: Arrivals, rows: list[tuple[int, int, bool, bool]]) -> list[bool]:
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    closed: list[bool] = arrivals.add(
        columns[0].astype(np.int64),
        columns[1].astype(np.int64),
        columns[2].astype(np.bool_),
        columns[3].astype(np.bool_),
    ).tolist()
    return closed


def test_a_value_counts_once_and_its_first_record_decides() -> None:
    arrivals = Arrivals(VARIABLES, BEGIN, 100)
    time = BEGIN + 123_456_700
    add(arrivals, [(1, time, True, True), (1, time, False, True), (2, time, False, False)])
    received = arrivals.received(BEGIN + WINDOW_NS)
    assert received.of(1).tolist() == received.of(2).tolist() == [time]
    assert received.of(0).tolist() == []
    assert received.counts().tolist() == [0, 1, 1]
    assert received.records.tolist() == [0, 2, 1]
    # It came in time once, so it is not late; one that is not good is in no count of good ones.
    assert received.late.tolist() == [False, False]
    assert received.good.tolist() == [0, 1, 0]
    assert received.bad.tolist() == [False, False, True]


def test_a_value_that_came_good_and_bad_is_spoiled() -> None:
    arrivals = Arrivals(VARIABLES, BEGIN, 100)
    add(
        arrivals,
        [
            *((0, BEGIN, False, good) for good in (True, False)),
            *((0, BEGIN + 100, False, False) for _ in range(2)),
            *((1, BEGIN, False, True) for _ in range(2)),
        ],
    )
    received = arrivals.received(BEGIN + WINDOW_NS)
    assert received.spoiled.tolist() == [True, False, False]
    assert received.of(0).tolist() == [BEGIN, BEGIN + 100]
    assert received.whole(0).tolist() == [BEGIN + 100]
    assert arrivals.received(BEGIN).spoiled.tolist() == []


def test_a_window_ends_before_the_next_one_begins() -> None:
    arrivals = Arrivals(VARIABLES, BEGIN, 100)
    end = BEGIN + WINDOW_NS
    add(arrivals, [(0, BEGIN, False, True), (0, end - 100, False, True), (0, end, False, True)])
    assert arrivals.received(end).of(0).tolist() == [BEGIN, end - 100]
    assert arrivals.received(end + WINDOW_NS).of(0).tolist() == [BEGIN, end - 100, end]


def test_values_of_closed_windows_are_told_apart_and_not_kept() -> None:
    arrivals = Arrivals(VARIABLES, BEGIN, 100)
    arrivals.close(BEGIN + WINDOW_NS)
    rows = [(0, BEGIN, False, True), (0, BEGIN + WINDOW_NS, False, True)]
    assert add(arrivals, rows) == [True, False]
    assert arrivals.held == 1


def test_the_newest_windows_go_where_there_is_no_room() -> None:
    arrivals = Arrivals(VARIABLES, BEGIN, 3)
    for window in (0, 1, 2):
        time = BEGIN + window * WINDOW_NS
        add(arrivals, [(0, time, False, True), (1, time, False, True)])
    assert arrivals.limit_ns == BEGIN + WINDOW_NS
    assert arrivals.held == 2
    assert arrivals.received(BEGIN + 3 * WINDOW_NS).counts().tolist() == [1, 1, 0]
    # At the limit it begins anew.
    arrivals.close(BEGIN + WINDOW_NS)
    arrivals.reset()
    assert (arrivals.held, arrivals.limit_ns) == (0, None)
    add(arrivals, [(2, BEGIN + WINDOW_NS, False, True)])
    assert arrivals.received(BEGIN + 2 * WINDOW_NS).counts().tolist() == [0, 0, 1]


def test_ten_thousand_variables_for_ten_minutes_take_eight_bytes_a_value() -> None:
    arrivals = Arrivals(10_000, BEGIN, 6_000_000)
    indices = np.arange(10_000)
    flags = np.zeros(10_000, np.bool_)
    for second in range(60):
        times = np.full(10_000, BEGIN + second * 1_000_000_000, np.int64)
        arrivals.add(indices, times, flags, ~flags)
    assert arrivals.held == 600_000
    held = sum(p.nbytes for pieces in arrivals._windows.values() for p in pieces)
    assert held == 8 * arrivals.held


class Machine(RuleBasedStateMachine):
    """Any order of adding, closing and running out of room, against plain sets."""

    def __init__(self) -> None:
        super().__init__()
        self.arrivals = Arrivals(VARIABLES, BEGIN, 12)
        self.values: set[tuple[int, int]] = set()
        self.position = BEGIN

    @rule(
        rows=st.lists(
            st.tuples(
                st.integers(0, VARIABLES - 1),
                st.integers(0, 40).map(lambda n: BEGIN + n * WINDOW_NS // 4),
                st.booleans(),
                st.booleans(),
            ),
            min_size=1,
            max_size=6,
        )
    )
    def comes(self, rows: list[tuple[int, int, bool, bool]]) -> None:
        closed = add(self.arrivals, rows)
        assert closed == [time < self.position for _, time, _, _ in rows]
        self.values |= {(index, time) for index, time, _, _ in rows}

    @rule(windows=st.integers(0, 2))
    def closes(self, windows: int) -> None:
        end = self.position + windows * WINDOW_NS
        if self.arrivals.limit_ns is not None:
            end = min(end, self.arrivals.limit_ns)
        self.arrivals.close(end)
        self.position = max(end, self.position)
        self.values = {(i, t) for i, t in self.values if t >= self.position}

    @rule()
    def begins_anew_at_the_limit(self) -> None:
        if self.arrivals.limit_ns == self.position:
            self.arrivals.reset()
            # Whoever does so has everything read again.
            rows = [(index, time, False, True) for index, time in sorted(self.values)]
            if rows:
                add(self.arrivals, rows)

    @invariant()
    def everything_before_the_limit_is_there(self) -> None:
        limit = self.arrivals.limit_ns
        until = BEGIN + 20 * WINDOW_NS if limit is None else limit
        received = self.arrivals.received(until)
        found = set(zip(received.indices.tolist(), received.times.tolist(), strict=True))
        assert found == {(i, t) for i, t in self.values if self.position <= t < until}
        for index in range(VARIABLES):
            assert received.of(index).tolist() == sorted(t for i, t in found if i == index)


TestMachine = Machine.TestCase
