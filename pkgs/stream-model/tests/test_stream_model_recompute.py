"""Recomputations, without the engine: whatever is late, the end is that of a batch over it all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fieldline.stream import Range
from fieldline.stream.memory import MemoryRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_model import recompute
from stream_model.recompute import Recomputation
from stream_model.repairs import PATIENCE_S, REVISION, Repairs
from stream_model_partition import HOUR, Partition, given_again, minutes, small, with_hole
from stream_model_reference import SECOND, START, final, reference, value

SIZES = [(5, 40, 4), (20, 1000, 50), (10**6, 10_000, 10_000)]
identities = st.tuples(
    st.sampled_from("xy"), st.sampled_from("ABC"), st.integers(0, 60), st.integers(0, 9)
)


@settings(max_examples=100)
@given(
    drawn=st.lists(identities, max_size=60, unique_by=lambda i: i[:3]),
    data=st.data(),
    horizon=st.sampled_from([1, 10, 40]),
    sizes=st.sampled_from(SIZES),
)
def test_any_order_with_any_recomputations_in_between(
    drawn: list[tuple[str, str, int, int]],
    data: st.DataObject,
    horizon: int,
    sizes: tuple[int, int, int],
) -> None:
    values = [value(a, v, START + 2 * t * SECOND, n) for a, v, t, n in drawn]
    values += data.draw(st.lists(st.sampled_from(values), max_size=10)) if values else []
    partition = Partition(horizon_ns=horizon * SECOND)
    place = 0
    with pytest.MonkeyPatch.context() as patch:
        small(patch, sizes)
        while place < len(values):
            count = data.draw(st.integers(1, 20))
            partition.arrive(values[place : place + count], data.draw(st.sampled_from([0, HOUR])))
            place += count
            if data.draw(st.booleans()):
                partition.recompute()
        reports = partition.recompute()
    assert final(partition.results) == reference(values)
    assert not any(report.unknown for report in reports)
    assert not partition.processor.owed()


def test_a_hole_that_is_filled_gives_its_results_and_no_others() -> None:
    partition = Partition()
    live, hole = with_hole("xy", 200, 300, 1200)
    partition.arrive(live)
    partition.arrive(hole)
    before = len(partition.log)
    partition.read = 0
    (report,) = partition.recompute()
    assert final(partition.results) == reference(live + hole)
    times = {r.timestamp for r in given_again(partition)}
    # The last value in the hole of each variable holds until its next one.
    assert {v.time for v in hole} <= times
    assert min(times) == START + 200 * SECOND
    assert max(times) <= START + 303 * SECOND
    assert {r.revision for r in given_again(partition)} == {REVISION + before}
    assert report.ended
    assert (report.assets, report.pending, report.unknown) == (2, 0, [])
    assert report.given.total() == len(given_again(partition))
    # Not read: all that was long before. (The least lead that is assumed is 16 s.)
    assert partition.read < before - 2 * 2 * 180
    assert report.records == partition.read


def test_what_comes_again_gives_nothing_again() -> None:
    partition = Partition()
    values = minutes("x", 0, 1200)
    partition.arrive(values)
    partition.arrive(values[200:600])
    (report,) = partition.recompute()
    assert (report.ended, report.given.total()) == (True, 0)
    assert given_again(partition) == []


def test_a_correction_long_after_gives_what_it_changes() -> None:
    partition = Partition()
    values = minutes("x", 0, 400)
    partition.arrive(values)
    corrected = value("x", "B", values[104].time, 80)
    assert (values[104].variable, values[104].value) == ("B", 7)
    partition.arrive([corrected])
    partition.recompute()
    assert final(partition.results) == reference([*values, corrected])
    assert {r.timestamp for r in given_again(partition)} == {v.time for v in values[104:109]}


def test_a_value_that_is_late_during_a_recomputation_starts_another() -> None:
    partition = Partition()
    live, hole = with_hole("x", 50, 150, 600)
    partition.arrive(live)
    partition.arrive(hole[:100])
    with pytest.MonkeyPatch.context() as patch:
        small(patch, (10**6, 50, 8))
        work = partition.begin()
        assert work is not None
        steps = partition.run(work)
        next(steps)
        assert given_again(partition)
        partition.arrive(hole[100:])
        reports = list(steps)
    assert (reports[-1].ended, reports[-1].pending) == (True, 1)
    partition.recompute()
    assert final(partition.results) == reference(live + hole)
    assert len({r.revision for r in given_again(partition)}) == 2


def test_one_that_is_dropped_in_the_middle_is_done_again_and_what_is_done_is_not() -> None:
    partition = Partition()
    live, hole = with_hole("xy", 50, 150, 600)
    partition.arrive(live)
    partition.arrive(hole)
    with pytest.MonkeyPatch.context() as patch:
        small(patch, (10**6, 50, 8))
        work = partition.begin()
        assert work is not None
        steps = partition.run(work)
        next(steps)
        next(steps)
        partition.recompute()
    assert final(partition.results) == reference(live + hole)
    keys = [(r.asset, r.name, r.timestamp) for r in given_again(partition)]
    assert len(keys) == len(set(keys))


def test_an_old_setpoint_is_known_without_reading_the_whole_log() -> None:
    partition = Partition()
    setpoint = value("x", "C", START - 24 * HOUR, 5)
    live = [setpoint, *(v for v in minutes("x", 0, 3000) if v.variable != "C")]
    hole = live[2000:2100]
    partition.arrive([*live[:2000], *live[2100:]])
    partition.arrive(hole)
    partition.read = 0
    partition.recompute()
    assert final(partition.results) == reference(live)
    assert partition.read < 1500


def test_a_variable_that_never_had_a_value_is_not_looked_for() -> None:
    partition = Partition()
    live = [v for v in minutes("x", 0, 3000) if v.variable != "C"]
    partition.arrive([*live[:2000], *live[2100:]])
    partition.arrive(live[2000:2100])
    partition.read = 0
    (report,) = partition.recompute()
    assert final(partition.results) == reference(live)
    assert report.given.keys() == {"type.pair"}
    assert partition.read < 1500


def test_an_input_is_looked_for_until_it_is_found() -> None:
    partition = Partition(lookback_ms=1000)
    early = value("x", "C", START, 5)
    live = [early, *(v for v in minutes("x", 1, 3000) if v.variable != "C")]
    partition.arrive([*live[:2000], *live[2100:]])
    # The window's own last value is a newer one.
    partition.arrive([value("x", "C", live[2900].time, 6)])
    partition.arrive([value("x", "A", live[-1].time + 60 * SECOND, 6)])
    partition.arrive(live[2000:2100])
    partition.recompute()
    assert final(partition.results) == reference(partition.values)
    assert partition.read > 2000


@settings(max_examples=100)
@given(
    drawn=st.lists(identities, min_size=5, max_size=60, unique_by=lambda i: i[:3]),
    data=st.data(),
    sizes=st.sampled_from(SIZES),
)
def test_what_retention_removed_is_not_guessed(
    drawn: list[tuple[str, str, int, int]], data: st.DataObject, sizes: tuple[int, int, int]
) -> None:
    """What is given is right; what is missing or wrong in the end was reported."""
    values = [value(a, v, START + 2 * t * SECOND, n) for a, v, t, n in drawn]
    live = data.draw(st.integers(1, len(values) - 1))
    ahead = data.draw(st.sampled_from([0, 10 * SECOND]))
    partition = Partition()
    partition.arrive(sorted(values[:live], key=lambda v: v.time), ahead)
    partition.first = data.draw(st.integers(0, live))
    with pytest.MonkeyPatch.context() as patch:
        small(patch, sizes)
        patch.setattr(recompute, "FUTURE_NS", 16 * SECOND)
        partition.arrive(values[live:], ahead)
        reports = partition.recompute()
    wanted = reference(values)
    for result in given_again(partition):
        assert result.value == wanted[result.asset, result.name, result.timestamp], result
    unknown = [interval for report in reports for interval in report.unknown]
    got = final(partition.results)
    for (asset, model, time), number in wanted.items():
        if got.get((asset, model, time)) != number:
            assert any(a == asset and first <= time <= last for a, first, last in unknown)


def test_late_values_that_are_gone_themselves_are_reported() -> None:
    partition = Partition()
    live, hole = with_hole("x", 50, 150, 600)
    partition.arrive(live)
    partition.arrive(hole)
    partition.first = len(partition.log)
    (report,) = partition.recompute()
    assert report.unknown == [("x", hole[0].time, hole[-1].time)]
    assert (report.given.total(), report.pending) == (0, 0)


def test_memory_is_bounded_by_leaving_assets_and_then_time_for_another_reading() -> None:
    partition = Partition()
    live, hole = with_hole("xy", 50, 450, 1200)
    partition.arrive(live)
    partition.arrive(hole)
    most = 0

    class Watched(Recomputation):
        def take(self, records: Sequence[MemoryRecord]) -> None:
            super().take(records)
            nonlocal most
            most = max(most, sum(map(len, self._recordings.values())))

    with pytest.MonkeyPatch.context() as patch:
        small(patch, (200, 10_000, 10_000))
        patch.setattr("stream_model.partition.Recomputation", Watched)
        reports = partition.recompute()
    assert final(partition.results) == reference(live + hole)
    assert len([report for report in reports if report.ended]) > 4
    assert most < 230


def test_what_is_newer_than_the_hole_is_not_held() -> None:
    partition = Partition()
    live, hole = with_hole("x", 50, 60, 4000)
    partition.arrive(live)
    partition.arrive(hole)
    most = 0

    class Watched(Recomputation):
        def take(self, records: Sequence[MemoryRecord]) -> None:
            super().take(records)
            nonlocal most
            most = max(most, sum(map(len, self._recordings.values())))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stream_model.partition.Recomputation", Watched)
        partition.recompute()
    assert final(partition.results) == reference(live + hole)
    # The hole, what is looked back to, and a little.
    assert len(hole) < most < 4 * len(hole) + 50


def test_a_source_that_was_ahead_may_have_sent_what_holds_there_long_before() -> None:
    """Read from 98 s on, there is a value of 105 s; the one of 113 s came at 97.5 s."""
    partition = Partition(lookback_ms=1000)

    def arrive(variable: str, second: float, number: int, at_second: float) -> None:
        at_ns = START + int(at_second * SECOND)
        item = value("x", variable, START + int(second * SECOND), number)
        partition.arrive([item], at_ns=at_ns)

    for variable in "ABC":
        arrive(variable, 0, 1, 0)
    arrive("B", 113, 7, 97.5)
    arrive("B", 105, 5, 106)
    arrive("C", 110, 4, 110)
    for second in (200, 210, 220):
        for variable in "ABC":
            arrive(variable, second, 2, second)
    arrive("A", 115, 3, 221)
    partition.recompute()
    assert final(partition.results) == reference(partition.values)


def test_a_state_that_was_rebuilt_looks_for_what_it_does_not_know() -> None:
    partition = Partition()
    live, hole = with_hole("x", 100, 110, 1000)
    partition.arrive(live)
    rebuilt = Partition()
    rebuilt.log, rebuilt.values = partition.log, partition.values
    # Neither C is in what it was rebuilt from, nor in what came after that.
    assert all(v.variable != "C" for v in live[700:])
    rebuilt.processor.rebuild(rebuilt.log[700:], 1)
    rebuilt.arrive([value("x", "A", live[-1].time + SECOND, 1)])
    rebuilt.arrive(hole)
    rebuilt.recompute()
    wanted = reference(rebuilt.values)
    given = {(r.asset, r.name, r.timestamp): r.value for r in given_again(rebuilt)}
    assert given.keys() >= {(v.asset, "all", v.time) for v in hole}
    assert all(wanted[key] == number for key, number in given.items())


def test_what_a_live_step_stores_meanwhile_is_not_ahead_of_what_was_given() -> None:
    partition = Partition()
    live, hole = with_hole("x", 50, 150, 600)
    partition.arrive(live)
    partition.arrive(hole[1:])
    with pytest.MonkeyPatch.context() as patch:
        small(patch, (10**6, 50, 10_000))
        work = partition.begin()
        assert work is not None
        for number, piece in enumerate(work.run()):
            if isinstance(piece, Range):
                start = piece.start or 0
                work.take(partition.log[start : piece.end])
                work.taken(start, 0)
            elif number == 10:
                # Some ticks have been computed, but no step was given.
                break
            else:
                assert piece is None
        assert work._done
        partition.arrive(hole[:1])
    stored_repairs = Repairs()
    stored_repairs.load("x", partition.state.repairs.encode("x"))
    assert stored_repairs.waiting["x"].done == hole[0].time
    assert partition.state.repairs.running["x"].done == hole[1].time
    partition.recompute()
    assert final(partition.results) == reference(live + hole)


@pytest.mark.parametrize("by_s", [3500, -3500])
def test_a_clock_that_is_set_and_set_back_starts_no_storm(by_s: int) -> None:
    """Two assets, a value each 5 s for 130 minutes, a wrong clock for 10 of them in the middle."""
    partition = Partition(horizon_ns=60 * SECOND, lookback_ms=60_000)
    right = minutes("xy", 0, 1560, step=5)
    begin, end = 2 * 780, 2 * 900
    runs = 0
    for place in range(0, len(right), 2):
        batch = right[place : place + 2]
        now = batch[-1].time
        if begin <= place < end:
            batch = [
                value(v.asset, v.variable, v.time + by_s * SECOND + 1, int(v.value or 0))
                for v in batch
            ]
        partition.arrive(batch, at_ns=now)
        partition.now = (now - START) / SECOND
        work = partition.processor.rereading(len(partition.log), partition.now)
        if work is not None:
            runs += 1
            list(partition.run(work))
    partition.recompute()
    assert final(partition.results) == reference(partition.values)
    late = 600 if by_s < 0 else 3500
    assert runs <= late / PATIENCE_S + 1
    # Each gives what is new since the last one, and a little at its edges.
    again = len(given_again(partition))
    assert again < 1.5 * len({(r.asset, r.name, r.timestamp) for r in given_again(partition)})
