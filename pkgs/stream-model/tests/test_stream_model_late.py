"""Late values with the engine: what is given, counted and said, over restarts and members."""

from __future__ import annotations

import itertools

import pytest
from fieldline.messages import OpcValue
from fieldline.stream import engine
from fieldline.stream.memory import MemoryLog
from prometheus_client import CollectorRegistry
from stream_model.metrics import Metrics
from stream_model.repairs import QUIET_S, REVISION
from stream_model_reference import SECOND, START, final, make_plan, reference, value
from stream_model_run import Runner, dead_letters, drained, fill, make_log, results
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "POLL_S", 0.001)


def plant(count: int, assets: str = "xy") -> list[OpcValue]:
    """A value of each asset each second; each fifth is of B, the third and each hundredth of C."""
    return [
        value(a, "C" if n % 100 == 2 else "AAAAB"[n % 5], START + n * SECOND, n % 97)
        for n in range(count)
        for a in assets
    ]


def hole(values: list[OpcValue], first: int, last: int) -> tuple[list[OpcValue], list[OpcValue]]:
    """The values without those of some seconds, and these."""
    missing = [v for v in values if first <= (v.time - START) // SECOND < last]
    return [v for v in values if v not in missing], missing


def recomputed(log: MemoryLog) -> list[int]:
    return [r.revision for r in results(log) if r.revision >= REVISION]


async def test_a_filled_hole_is_counted_and_said_once() -> None:
    log = make_log()
    live, missing = hole(plant(400), 100, 200)
    await fill(log, live)
    runner = Runner(log)
    await runner.drain()
    with capture_logs() as events:
        await fill(log, missing)
        again = Runner(log, registry=CollectorRegistry())
        await again.drain()
    assert final(results(log)) == reference(live + missing)
    assert dead_letters(log) == []
    given = len(recomputed(log))
    assert given > 200
    assert again.metric("beyond_horizon_total") == len(missing)
    assert again.metric("late_total") == len(missing)
    assert again.metric("inputs_total", kind="used") == len(missing)
    assert again.metric("recomputations_total") == 1
    assert again.metric("recomputed_results_total") == given
    assert sum(
        again.metric("results_total", model=f"type.{m}") for m in ("all", "again", "pair", "one")
    ) == len(results(log)) - len([r for r in results(log) if r.revision < REVISION])
    assert again.metric("reread_total") >= 2 * len(missing)
    assert again.metric("recomputation_seconds_count") == 1
    assert again.metric("repairs_pending", partition="0") == 0
    assert again.metric("not_recomputable_total") == 0
    said = [event for event in events if "recomputed" in event["event"]]
    assert [(e["assets"], e["results"], e["left"]) for e in said] == [(2, given, 0)]
    assert not [event for event in events if event["log_level"] in ("warning", "error")]


async def test_what_retention_removed_is_said_with_its_interval() -> None:
    log = make_log()
    live, missing = hole(plant(4400, "x"), 100, 200)
    await fill(log, live)
    runner = Runner(log)
    await runner.drain()
    log.first[0] = 4250
    with capture_logs() as events:
        await fill(log, missing)
        again = Runner(log, registry=CollectorRegistry())
        await again.drain()
    assert recomputed(log) == []
    assert again.metric("not_recomputable_total") == 1
    (error,) = (event for event in events if event["log_level"] == "error")
    assert "not recomputable" in error["event"]
    assert error["examples"] == [
        {"asset": "x", "first": "2023-11-14T22:15:00.000+00:00",
         "last": "2023-11-14T23:25:39.000+00:00"}
    ]  # fmt: skip


async def test_too_old_for_the_topics_retention_is_a_dead_letter() -> None:
    log = make_log()
    live, missing = hole(plant(400), 100, 200)
    await fill(log, live + missing)
    runner = Runner(log, retention_ns=250 * SECOND)
    await runner.drain()
    old = [v for v in missing if v.time < START + 149 * SECOND]
    assert len(dead_letters(log)) == len(old)
    assert runner.metric("rejected_total", reason="too-late") == len(old)
    assert runner.metric("beyond_horizon_total") == len(missing) - len(old)


async def test_nothing_is_recomputed_before_it_is_quiet() -> None:
    log = make_log()
    live, missing = hole(plant(400), 100, 200)
    await fill(log, live + missing)
    ticks = itertools.count(0.0, 0.1)
    asked: list[float] = []

    def timer() -> float:
        asked.append(next(ticks))
        return asked[-1]

    runner = Runner(log, timer=timer)
    await runner.broker.open()
    while not drained(log):
        await runner.engine.round()
    begin = asked[-1]
    while not recomputed(log):
        assert asked[-1] < begin + 2 * QUIET_S
        await runner.engine.round()
    assert asked[-1] >= begin + QUIET_S - 0.2
    await runner.engine.close()
    await runner.broker.close()


async def test_without_the_changelog_revisions_still_rise() -> None:
    log = make_log()
    values = plant(400, "x")
    live, missing = hole(values, 100, 200)
    corrected = [value("x", "A", v.time, 96) for v in missing if v.variable == "A"]
    await fill(log, live + missing)
    await Runner(log).drain()
    log.records["model.changelog"] = [[]]
    # The lookback reaches back to what was late, so it is late once more; but nothing is given
    # before there is something new, since the offset would be that of the last time.
    again = Runner(log, lookback_ms=10**6)
    before = len(results(log))
    await again.until(lambda: again.rounds > 20)
    assert again.metric("replayed_total") == len(live) + len(missing)
    assert len(results(log)) == before
    await fill(log, corrected)
    await Runner(log, lookback_ms=10**6).drain()
    assert final(results(log)) == reference(values + corrected)
    assert len(set(recomputed(log))) == 2


async def test_a_repair_moves_with_its_partition() -> None:
    log = make_log(2)
    plan = make_plan("pq")
    live, missing = hole(plant(400, "pq"), 100, 200)
    await fill(log, live)
    metrics = Metrics(CollectorRegistry())
    first, second = (Runner(log, plan=plan, metrics=metrics) for _ in range(2))
    # The clock of the first one stands still: to it, nothing is ever due.
    first.engine._timer = lambda: 0.0
    await first.broker.open()
    await fill(log, missing)
    while not drained(log):
        await first.engine.round()
    assert recomputed(log) == []
    await second.broker.open()
    while not (second.settled and second.done()):
        await first.engine.round()
        await second.engine.round()
    assert recomputed(log)
    await first.engine.close()
    await first.broker.close()
    while second.settled[-1] != frozenset({0, 1}) or not second.done():
        await second.engine.round()
    assert final(results(log)) == reference(live + missing)
    await second.engine.close()
    await second.broker.close()
