"""The meaning of results: whatever the order, the batches and the repeats."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from fieldline.messages import ModelResult, OpcValue
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_model.judge import FUTURE_NS
from stream_model.repairs import Repair
from stream_model.step import Outcome, Rejected, State, replay, step
from stream_model_reference import (
    MODELS,
    NOW,
    SECOND,
    START,
    final,
    make_plan,
    records,
    reference,
    value,
)

HORIZON = 60 * SECOND


def run(
    batches: Sequence[Sequence[OpcValue]], state: State | None = None
) -> tuple[list[ModelResult], list[Outcome]]:
    state = state or State(make_plan(), HORIZON)
    outcomes = [step(state, batch, records(batch))[1] for batch in batches]
    for outcome, batch in zip(outcomes, batches, strict=True):
        counts = outcome.used + outcome.repeated + outcome.unused + len(outcome.rejected)
        assert counts == len(batch)
    return [result for outcome in outcomes for result in outcome.results], outcomes


def cut(values: Sequence[OpcValue], cuts: Sequence[int]) -> list[list[OpcValue]]:
    places = [0, *sorted({c % (len(values) + 1) for c in cuts}), len(values)]
    return [list(values[a:b]) for a, b in pairwise(places)]


identities = st.tuples(
    st.sampled_from("xy"), st.sampled_from("ABC"), st.integers(0, 30), st.integers(0, 9)
)
cuts = st.lists(st.integers(0, 200), max_size=12)


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_any_order_any_batches_any_repeats_give_the_batch_definition(data: st.DataObject) -> None:
    drawn = data.draw(st.lists(identities, max_size=40, unique_by=lambda i: i[:3]))
    values = [value(a, v, START + 2 * t * SECOND, n) for a, v, t, n in drawn]
    repeats = data.draw(st.lists(st.sampled_from(values), max_size=10)) if values else []
    arrived = data.draw(st.permutations(values + repeats))
    results, outcomes = run(cut(arrived, data.draw(cuts)))
    assert final(results) == reference(values)
    assert sum(outcome.repeated for outcome in outcomes) == len(repeats)
    assert not any(outcome.rejected for outcome in outcomes)


@settings(max_examples=150, deadline=None)
@given(st.lists(identities, max_size=50), cuts)
def test_of_corrections_the_last_one_holds(
    drawn: list[tuple[str, str, int, int]], at: list[int]
) -> None:
    values = [value(a, v, START + 2 * t * SECOND, n) for a, v, t, n in drawn]
    results, _ = run(cut(values, at))
    assert final(results) == reference(values)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_over_a_long_time_with_a_short_horizon(data: st.DataObject) -> None:
    """Disorder stays within the horizon, while windows are cut off behind it."""
    count = data.draw(st.integers(50, 300))
    numbers = data.draw(st.integers(0, 2**32))
    rng = np.random.default_rng(numbers)
    times = np.sort(rng.integers(0, 3 * count, count))
    delays = rng.integers(0, 20, count)
    values = list(
        {
            (v, t): value("x", v, START + int(t) * SECOND, rng.integers(0, 9))
            for v, t in zip(rng.choice(list("ABC"), count), times, strict=True)
        }.values()
    )
    arrival = np.argsort([v.time // SECOND + d for v, d in zip(values, delays, strict=False)])
    arrived = [values[int(place)] for place in arrival]
    results, outcomes = run(
        cut(arrived, data.draw(cuts)), State(make_plan(), horizon_ns=20 * SECOND)
    )
    assert final(results) == reference(values)
    assert not any(outcome.rejected for outcome in outcomes)


@settings(max_examples=150, deadline=None)
@given(st.lists(identities, max_size=60), cuts, st.integers(1, 40))
def test_within_the_horizon_all_is_right_whatever_came_too_late(
    drawn: list[tuple[str, str, int, int]], at: list[int], horizon: int
) -> None:
    values = [value(a, v, START + 2 * t * SECOND, n) for a, v, t, n in drawn]
    newest = {a: max(v.time for v in values if v.asset == a) for a in {v.asset for v in values}}

    def recent(results: dict[tuple[str, str, int], float]) -> dict[tuple[str, str, int], float]:
        return {k: v for k, v in results.items() if k[2] >= newest[k[0]] - horizon * SECOND}

    def beyond(outcomes: Sequence[Outcome]) -> int:
        assert not any(outcome.rejected for outcome in outcomes)
        return sum(outcome.beyond for outcome in outcomes)

    _, alone = run([[v] for v in values], State(make_plan(), horizon * SECOND))
    results, together = run(cut(values, at), State(make_plan(), horizon * SECOND))
    assert recent(final(results)) == recent(reference(values))
    assert beyond(together) == beyond(alone)
    if not beyond(alone):
        assert final(results) == reference(values)


@settings(max_examples=150, deadline=None)
@given(st.lists(identities, max_size=60), cuts, st.integers(0, 60))
def test_a_replayed_state_goes_on_like_the_first(
    drawn: list[tuple[str, str, int, int]], at: list[int], restart: int
) -> None:
    values = [value(a, v, START + 2 * t * SECOND, n) for a, v, t, n in drawn]
    before, after = values[:restart], values[restart:]
    given_before, _ = run(cut(before, at))
    state = replay(State(make_plan(), HORIZON), before, records(before))
    given_after, _ = run(cut(after, at), state)
    results = {(r.asset, r.name, r.timestamp): r.value for r in given_before}
    revisions = {(r.asset, r.name, r.timestamp): r.revision for r in given_before}
    for r in given_after:
        key = (r.asset, r.name, r.timestamp)
        assert r.revision > revisions.get(key, -1)
        results[key] = r.value
    assert results == reference(values)


def test_inputs_that_share_a_time_give_one_result() -> None:
    batch = [value("x", v, START, n) for v, n in (("A", 1), ("B", 2), ("C", 3))]
    results, _ = run([batch])
    assert [(r.name, r.value, r.revision) for r in results] == [
        ("all", 30201.0, 0),
        ("again", 30201.0, 0),
        ("pair", 102.0, 0),
        ("one", 3.0, 0),
    ]


def test_an_input_that_comes_after_its_time_raises_the_revision() -> None:
    first = [value("x", v, START, 1) for v in "ABC"]
    later = [value("x", "A", START + SECOND, 2)]
    shared = [value("x", "B", START + SECOND, 3)]
    results, _ = run([first, later, shared])
    last = [r for r in results if r.name == "all" and r.timestamp == START + SECOND]
    assert [(r.value, r.revision) for r in last] == [(10102.0, 0), (10302.0, 1)]


def test_a_late_input_changes_results_until_the_next_value() -> None:
    first = [value("x", v, START, 1) for v in "ABC"]
    ticks = [value("x", "A", START + k * SECOND, k) for k in range(1, 6)]
    following = [value("x", "B", START + 4 * SECOND, 7)]
    late = [value("x", "B", START + 2 * SECOND, 5)]
    _, outcomes = run([first, ticks, following, late])
    again = [r for r in outcomes[-1].results if r.name == "all"]
    assert [((r.timestamp - START) // SECOND, r.value, r.revision) for r in again] == [
        (2, 10502.0, 1),
        (3, 10503.0, 1),
    ]
    assert outcomes[-1].late == 1


def test_an_equal_value_with_a_new_time_is_a_change_and_a_repeat_is_none() -> None:
    first = [value("x", v, START, 1) for v in "ABC"]
    equal = [value("x", "A", START + SECOND, 1)]
    _, outcomes = run([first, equal, equal])
    assert [len(outcome.results) for outcome in outcomes] == [4, 3, 0]
    assert outcomes[2].repeated == 1


def late_by_60_s() -> list[list[OpcValue]]:
    first = [value("x", v, START, 1) for v in "ABC"]
    far = [value("x", v, START + 100 * SECOND, 2) for v in "ABC"]
    far += [value("x", "A", START + 50 * SECOND, 2), value("x", "A", START + 40 * SECOND, 2)]
    late = [value("x", "A", START + 40 * SECOND - 1, 3), value("x", "A", START + 40 * SECOND, 2)]
    return [first, far, late]


def test_later_than_the_horizon_waits_for_a_recomputation_but_the_boundary_does_not() -> None:
    state = State(make_plan(), HORIZON)
    _, outcomes = run(late_by_60_s(), state)
    assert [outcome.beyond for outcome in outcomes] == [0, 0, 1]
    assert (outcomes[2].used, outcomes[2].late, outcomes[2].repeated) == (1, 1, 1)
    late = START + 40 * SECOND - 1
    assert state.repairs.waiting == {"x": Repair(late, late, START + 40 * SECOND, 0, late)}


def test_later_than_retention_is_refused() -> None:
    old = NOW - START - 40 * SECOND + 1
    for retention, refused in ((old, []), (old - 1, [Rejected(0, "too-late")])):
        state = State(make_plan(), HORIZON, retention)
        _, outcomes = run(late_by_60_s(), state)
        assert outcomes[2].rejected == refused
        assert len(state.repairs) == 1 - len(refused)


def test_a_first_value_older_than_retention_is_used_as_far_as_the_window_goes() -> None:
    fresh = [value("x", v, START + k * SECOND, k) for k in range(0, 100, 10) for v in "AB"]
    setpoint = [value("x", "C", START - 7200 * SECOND, 9)]
    state = State(make_plan(), HORIZON, retention_ns=NOW - START)
    _, outcomes = run([fresh, setpoint], state)
    assert (outcomes[1].rejected, outcomes[1].used, outcomes[1].partly) == ([], 1, 1)
    assert min(r.timestamp for r in outcomes[1].results if r.name == "all") == START + 30 * SECOND
    assert not state.repairs


def test_a_first_value_is_taken_however_old_it_is() -> None:
    """The initial value of a setpoint has the time of its last change."""
    fresh = [value("x", v, START + k * SECOND, k) for k in range(3) for v in "AB"]
    setpoint = [value("x", "C", START - 7200 * SECOND, 9)]
    results, outcomes = run([fresh, setpoint])
    assert outcomes[1].rejected == []
    assert final(results) == reference(fresh + setpoint)


def test_a_value_overtaken_in_a_gap_is_taken() -> None:
    before = [value("x", v, START, 1) for v in "ABC"]
    reconnected = [value("x", "A", START + 600 * SECOND, 2)]
    changed_meanwhile = [value("x", "C", START + 300 * SECOND, 5)]
    results, outcomes = run([before, reconnected, changed_meanwhile])
    assert outcomes[2].rejected == []
    assert outcomes[2].partly == 0
    assert final(results) == reference(before + reconnected + changed_meanwhile)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (value("nobody", "A", START), "unknown-asset"),
        (value("x", "Z", START), "unknown-variable"),
        (OpcValue("x", "A", START, 1.0, 0x80000000), "bad-quality"),
        (OpcValue("x", "A", START, 1.0, None), "bad-quality"),
        (OpcValue("x", "", START, None, 0x80320000), "bad-quality"),
        (OpcValue("x", "", START, None, 0), "no-value"),
        (OpcValue("x", "A", START, "on", 0), "no-number"),
        (OpcValue("x", "A", START, None, 0), "no-number"),
        (OpcValue("x", "A", START, float("nan"), 0), "not-finite"),
        (OpcValue("x", "A", START, 10**400, 0), "not-finite"),
        (value("x", "A", -1), "bad-timestamp"),
        (value("x", "A", NOW + FUTURE_NS + 1), "bad-timestamp"),
        (value("x", "A", 10**30), "bad-timestamp"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(item: OpcValue, reason: str) -> None:
    _, outcomes = run([[item]])
    assert outcomes[0].rejected == [Rejected(0, reason)]


def test_source_times_are_held_against_the_records_own_time() -> None:
    state = State(make_plan(), HORIZON)
    early = [value("x", "A", START, 1), value("x", "B", START + 1800 * SECOND, 2)]
    late = [value("x", "C", START + 3601 * SECOND, 3), value("x", "C", START + 3600 * SECOND, 4)]
    _, outcome = step(state, [*early, *late], records([*early, *late], START))
    assert outcome.rejected == [Rejected(2, "bad-timestamp")]
    assert state.repairs.ledger.lead == FUTURE_NS
    # An hour later, it is a value like any other.
    _, outcome = step(state, late[:1], records(late[:1], START + 3600 * SECOND))
    assert outcome.rejected == []


def test_uncertain_whole_and_boolean_values_are_used_and_unused_ones_counted() -> None:
    batch = [
        OpcValue("x", "A", START, 3, 0x40000000),
        OpcValue("x", "B", START, True, 0),
        OpcValue("x", "Unused", START, "a text", 0x80000000),
    ]
    results, outcomes = run([batch])
    assert (outcomes[0].used, outcomes[0].unused) == (2, 1)
    assert [(r.name, r.value) for r in results] == [("pair", 301.0)]


def with_model(function: object) -> State:
    return State(make_plan(["x"], function), HORIZON)


FIRST = [value("x", v, START, 1) for v in "ABC"]
SECOND_VALUE = [value("x", "A", START + SECOND, 2)]


def raises(_: np.ndarray) -> np.ndarray:
    raise RuntimeError("no")


def mutates(inputs: np.ndarray) -> np.ndarray:
    inputs *= 2
    return inputs[:, 0]


@pytest.mark.parametrize(
    "function",
    [
        raises,
        mutates,
        lambda inputs: inputs,
        lambda _: 1.0,
        lambda _: "text",
        lambda _: None,
        lambda inputs: np.full(len(inputs), np.nan),
        lambda inputs: np.zeros(len(inputs) + 1),
    ],
)
def test_a_broken_model_leaves_its_results_out_and_stops_nothing(function: object) -> None:
    results, outcomes = run([FIRST, SECOND_VALUE], with_model(function))
    assert results == []
    assert {name: count for name, (count, _) in outcomes[0].model_errors.items()} == {
        f"type.{name}": 1 for name in MODELS
    }
    assert all(text for _, text in outcomes[0].model_errors.values())


def test_only_the_events_that_a_model_cannot_take_are_left_out() -> None:
    def picky(inputs: np.ndarray) -> np.ndarray:
        if (inputs[:, 0] == 3).any():
            raise ValueError(3)
        return inputs[:, 0]

    ticks = [value("x", "C", START + k * SECOND, k) for k in range(10)]
    results, outcomes = run([ticks], with_model(picky))
    assert [r.value for r in results if r.name == "one"] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert outcomes[0].model_errors["type.one"][0] == 1


def test_memory_is_bounded_by_the_horizon() -> None:
    state = State(make_plan(["x"]), horizon_ns=10 * SECOND)
    for k in range(0, 5000, 5):
        batch = [value("x", "A", START + (k + i) * SECOND // 10, i) for i in range(5)]
        batch.append(value("x", "B", START + k * SECOND // 10, 1))
        step(state, batch, records(batch))
    window = state.windows["x"]
    assert max(map(len, window._times)) < 300
    assert sum(map(len, window._revisions)) < 300
