"""Repairs: how marks are merged and stored, and when a recomputation is due."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from stream_model import stored
from stream_model.judge import FUTURE_NS
from stream_model.repairs import PATIENCE_S, QUIET_S, REVISION, Pace, Repair, Repairs, Rest
from stream_model.step import State
from stream_model_reference import make_plan

marks = st.lists(
    st.tuples(st.sampled_from("xy"), st.integers(0, 1000), st.integers(0, 100)), max_size=30
)


@given(marks=marks, runs=st.sets(st.integers(0, 30)), restart=st.integers(0, 30))
def test_nothing_that_was_marked_is_ever_outside(
    marks: list[tuple[str, int, int]], runs: set[int], restart: int
) -> None:
    state = State(make_plan(), 0)
    for offset, (asset, time, behind) in enumerate(marks):
        if offset == restart:
            state = again(state)
        repairs = state.repairs
        if offset in runs:
            repairs.run()
        repairs.mark(asset, time, time + behind, offset)
        assert len(repairs) <= 4
    state.repairs.give_back()
    for asset in "xy":
        mine = [(o, t, t + b) for o, (a, t, b) in enumerate(marks) if a == asset]
        if mine:
            repair = state.repairs.waiting[asset]
            assert repair == Repair(
                min(t for _, t, _ in mine), max(t for _, t, _ in mine),
                max(e for _, _, e in mine), mine[0][0], min(t for _, t, _ in mine),
            )  # fmt: skip
    assert state.repairs.assets() == {asset for asset, _, _ in marks}


def again(state: State) -> State:
    """The state as it is read back."""
    loaded = State(make_plan(), 0)
    for key in stored.keys(state):
        assert stored.load(loaded, key, stored.snapshot(state, key))
    return loaded


def test_what_is_done_is_stored_and_what_is_ended_is_not() -> None:
    state = State(make_plan(), 0)
    state.repairs.mark("x", 10, 99, 1)
    state.repairs.mark("x", 30, 99, 2)
    state.repairs.run()["x"].done = 20
    assert again(state).repairs.waiting == {"x": Repair(10, 30, 99, 1, 20)}
    state.repairs.mark("x", 15, 99, 3)
    # What came meanwhile needs what is done once more.
    assert again(state).repairs.waiting == {"x": Repair(10, 30, 99, 1, 15)}
    state.repairs.running.clear()
    assert again(state).repairs.waiting == {"x": Repair(15, 15, 99, 3, 15)}
    state.repairs.waiting.clear()
    ended = State(make_plan(), 0)
    # It may have one again in an entry after that.
    assert stored.load(ended, b"\0x", stored.snapshot(state, b"\0x"))
    assert not ended.repairs


def test_repairs_of_an_asset_that_is_gone_are_left_out() -> None:
    state = State(make_plan("xy"), 0)
    state.repairs.mark("y", 10, 99, 1)
    other = State(make_plan("x"), 0)
    assert not stored.load(other, b"\0y", stored.snapshot(state, b"\0y"))
    assert not other.repairs


def test_changes_are_given_once() -> None:
    state = State(make_plan(), 0)
    state.repairs.mark("x", 10, 99, 1)
    context, [(key, change)] = stored.take_changes(state, ())
    assert key == b"\0x"
    assert stored.take_changes(state, ())[1] == []
    other = State(make_plan(), 0)
    stored.apply(other, context, [(key, change)])
    assert other.repairs.waiting == state.repairs.waiting


def test_revisions_rise_whatever_the_offset_does() -> None:
    repairs = Repairs()
    assert repairs.take_revision(500) == REVISION + 500
    assert repairs.take_revision(500) == REVISION + 501
    assert repairs.take_revision(20) == REVISION + 502
    assert repairs.take_revision(900) == REVISION + 900
    # The topic `model` is read by programs that know floats only.
    assert int(float(REVISION + 2**52)) == REVISION + 2**52
    loaded = Repairs()
    loaded.load_ledger(repairs.encode_ledger())
    assert loaded.take_revision(0) == REVISION + 901


def test_the_lead_rises_by_doubling_to_what_is_accepted_at_most() -> None:
    repairs = Repairs()
    repairs.raise_lead(10**9)
    assert not repairs.ledger_changed
    repairs.raise_lead(17 * 10**9)
    assert (repairs.ledger.lead, repairs.ledger_changed) == (32 * 10**9, True)
    repairs.raise_lead(10**15)
    assert repairs.ledger.lead == FUTURE_NS


def test_a_state_that_was_rebuilt_knows_all_again_once_the_rest_is_gone_from_the_log() -> None:
    repairs = Repairs()
    assert repairs.knows_all(0, 10**9)
    repairs.rebuilt(7, 5000)
    loaded = Repairs()
    loaded.load_ledger(repairs.encode_ledger())
    assert not loaded.knows_all(0, 10**9)
    assert not loaded.knows_all(6000, 10**9)
    assert loaded.knows_all(6001, 10**9)


def test_a_recomputation_waits_until_it_is_quiet() -> None:
    pace = Pace(Rest())
    assert not pace.due(False, 0, 1000)
    assert not pace.due(True, 1, 1001)
    assert not pace.due(True, 2, 1001 + QUIET_S - 0.1)
    assert not pace.due(True, 2, 1001 + 2 * QUIET_S - 0.2)
    assert pace.due(True, 2, 1001 + 2 * QUIET_S - 0.1)


def dues(pace: Pace, seconds: int, took: int) -> list[int]:
    """When recomputations begin that take so long, while values keep coming each second."""
    found = []
    now = 0
    while now < seconds:
        if pace.due(True, now, now):
            found.append(now)
            now += took
        now += 1
    return found


def test_while_values_keep_coming_it_waits_and_leaves_most_of_the_time() -> None:
    assert dues(Pace(Rest()), 200, 2) == [60, 123, 186]
    slow = dues(Pace(Rest()), 5000, 100)
    assert len(slow) == 5
    assert min(b - a for a, b in pairwise(slow)) >= 10 * 100
    assert PATIENCE_S == 60


def test_after_a_long_one_it_must_be_quiet_for_as_long() -> None:
    pace = Pace(Rest())
    assert not pace.due(True, 1, 100)
    assert pace.due(True, 1, 110)
    assert not pace.due(False, 1, 150)
    assert not pace.due(True, 2, 200)
    assert not pace.due(True, 2, 239)
    assert pace.due(True, 2, 240)


def test_partitions_share_the_rest_of_their_process() -> None:
    rest = Rest()
    first, second = Pace(rest), Pace(rest)
    assert not first.due(True, 1, 0)
    assert first.due(True, 2, 60)
    assert not second.due(True, 1, 60)
    # It took 40 s; both go on being late.
    assert not first.due(True, 3, 100)
    for now in range(101, 460, 10):
        assert not second.due(True, now, now)
        assert not first.due(True, now, now)
    assert second.due(True, 460, 460)
