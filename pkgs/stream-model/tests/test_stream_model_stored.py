"""A state from its changelog is the state that was written, whatever the site has become."""

from __future__ import annotations

import random

import pytest
from fieldline.stream import changelog
from fieldline.stream.changelog import Changelog, Position, Reader
from fieldline.stream.memory import MemoryRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_model import stored
from stream_model.plan import Plan
from stream_model.step import State, step
from stream_model_reference import SECOND, START, make_plan, make_type, records, value

HORIZON = 20 * SECOND


class Written:
    """A state and the records of its changelog."""

    def __init__(self, plan: Plan) -> None:
        self.state = State(plan, HORIZON)
        self.changelog = Changelog()
        self.records: list[MemoryRecord] = []

    def step(self, batch):
        _, outcome = step(self.state, batch, records(batch))
        context, changes = stored.take_changes(self.state, outcome.touched)
        for key, data, headers in self.changelog.add(
            Position(1, 0), context, changes, lambda key: stored.snapshot(self.state, key)
        ):
            self.records.append(MemoryRecord(len(self.records), 0, key, data, headers))
        return outcome.results

    def restored(self, plan: Plan) -> State:
        return self._read_back(plan)[0]

    def again(self) -> Written:
        """The same after a restart."""
        other = Written(self.state.plan)
        other.state, other.changelog = self._read_back(self.state.plan)
        other.records = self.records
        return other

    def _read_back(self, plan: Plan) -> tuple[State, Changelog]:
        reader = Reader()
        reader.add(self.records)
        restored = reader.end()
        state = State(plan, HORIZON)
        for key, data in restored.snapshots.items():
            if not stored.load(state, key, data):
                restored.changelog.drop(key)
        for context, changes in restored.entries:
            stored.apply(state, context, changes)
        return state, restored.changelog


def batches(rng: random.Random, count: int):
    """Batches with late values (some beyond the horizon), repeats and corrections."""
    now = START
    for _ in range(count):
        batch = []
        for _ in range(rng.randrange(1, 9)):
            now += rng.randrange(SECOND)
            behind = rng.randrange(30 * SECOND) * (rng.random() < 0.3)
            time = (now - behind) // (SECOND // 2) * (SECOND // 2)
            batch.append(value(rng.choice("xy"), rng.choice("AAABC"), time, rng.randrange(50)))
        yield batch


@settings(max_examples=100)
@given(
    seed=st.integers(0, 10**9), before=st.integers(1, 60), least=st.sampled_from([1, 300, 10**6])
)
def test_it_goes_on_as_if_nothing_had_happened(seed: int, before: int, least: int) -> None:
    rng = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changelog, "_LEAST_ENTRIES_BYTES", least)
        written = Written(make_plan("xy"))
        for batch in batches(rng, before):
            written.step(batch)
    again = written.restored(make_plan("xy"))
    assert again.windows.keys() >= {n for n, w in written.state.windows.items() if w.newest >= 0}
    later = list(batches(rng, 20))
    for batch in later:
        expected, given_again = written.step(batch), step(again, batch, records(batch))[1].results
        assert given_again == expected


def restored_with(models, batch, then):
    """A state written with the usual models, read with others; the results of another batch."""
    written = Written(make_plan("x"))
    written.step(batch)
    state = written.restored(Plan({"x": make_type(models)}))
    return step(state, then, records(then))[1].results


def test_variables_are_known_by_name() -> None:
    batch = [value("x", name, START, number) for number, name in enumerate("ABC", 1)]
    # "0" stands before A, so that every number is another one now; B is gone.
    found = restored_with({"m": ("C", "A")}, batch, [value("x", "A", START + SECOND, 9)])
    assert [(r.timestamp, r.value) for r in found] == [(START + SECOND, 903)]
    found = restored_with({"m": ("0", "C")}, batch, [value("x", "0", START + SECOND, 9)])
    assert [(r.timestamp, r.value) for r in found] == [(START + SECOND, 309)]


def test_no_revision_is_given_twice_by_models_with_other_inputs() -> None:
    first = [value("x", n, START + t * SECOND, 1) for t in (0, 2) for n in "ABC"]
    late = value("x", "A", START + SECOND, 4)
    written = Written(make_plan("x"))
    written.step(first)
    before = written.step([late, value("x", "A", START + 2 * SECOND, 7)])
    assert max(r.revision for r in before) == 1
    state = written.restored(Plan({"x": make_type({"all": ("A", "C")})}))
    # Nothing of it is in a snapshot yet, so the revisions follow from the values once more.
    batch = [value("x", "A", START + 2 * SECOND, 8)]
    found = step(state, batch, records(batch))[1].results
    given_before = {(r.name, r.timestamp, r.revision) for r in before}
    assert not given_before & {(r.name, r.timestamp, r.revision) for r in found}


def test_an_asset_that_is_gone_is_left_out() -> None:
    written = Written(make_plan("xy"))
    written.step([value(asset, n, START, 1) for asset in "xy" for n in "ABC"])
    assert written.restored(make_plan("x")).windows.keys() == {"x"}
    data = stored.snapshot(written.state, b"y")
    assert not stored.load(State(make_plan("x"), HORIZON), b"y", data)
    assert stored.load(State(make_plan("xy"), HORIZON), b"y", data)


def test_a_repair_that_comes_again_after_a_restart_outlives_its_entry() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changelog, "_LEAST_ENTRIES_BYTES", 1)
        written = Written(make_plan("xy"))
        late = [value("x", "A", START + k * SECOND, 1) for k in (0, 50, 100, 10)]
        written.step(late)
        written.state.repairs.waiting.clear()
        written.state.repairs.changed.add("x")
        for k in range(100):
            written.step([value("y", "A", START + k * SECOND, 1)])
        # Whole now, and empty; then in an entry once more.
        written.step([value("x", "A", START + 11 * SECOND, 1)])
        assert written.state.repairs.waiting.keys() == {"x"}
        written = written.again()
        for k in range(100, 200):
            written.step([value("y", "A", START + k * SECOND, 1)])
        assert written.again().state.repairs.waiting.keys() == {"x"}


def test_a_change_takes_18_bytes_a_value() -> None:
    written = Written(make_plan("x"))
    batch = [value("x", "A", START + k, k) for k in range(100)]
    _, outcome = step(written.state, batch, records(batch))
    context, [(key, change)] = stored.take_changes(written.state, outcome.touched)
    assert (key, len(change)) == (b"x", 2 + 18 * 100)
    assert len(context) < 20
