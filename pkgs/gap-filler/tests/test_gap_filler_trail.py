"""Where a position goes back to, and what of a feed does."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import structlog
from fieldline.messages.ledger import HOUR_NS
from gap_filler.arrivals import WINDOW_NS
from gap_filler.feed import Feed
from gap_filler.metrics import Metrics
from gap_filler.plan import ServerPlan, make_plans
from gap_filler.store import Store
from gap_filler.trail import Mark, Step, Trail
from gap_filler_server import site_of
from prometheus_client import CollectorRegistry

NOW = time.time_ns() // WINDOW_NS * WINDOW_NS


def marks(offset: int, at_s: int = 0, partition: int = 0) -> dict[int, Mark]:
    return {partition: Mark(offset, 1_000 * at_s, 0)}


def test_it_goes_back_to_before_what_is_lost_of_any_partition() -> None:
    trail = Trail([Step(0, {})])
    for number in range(1, 6):
        trail.note(number, marks(10 * number, 60 * number) | marks(number, partition=1))
    assert trail.cut(2, 0) == 5
    assert trail.cut(0, 41) == 4
    assert trail.cut(0, 40) == 3
    # The other one has lost less, or more.
    assert trail.cut(1, 4) == 3
    assert trail.cut(1, 1) == 0
    assert trail.cut(1, 0) == 0


def test_steps_are_apart_and_few_and_the_newest_is_always_there() -> None:
    trail = Trail([Step(0, {})])
    for second in range(1, 101):
        trail.note(second, marks(second, second))
    assert [step.position_ns for step in trail.steps] == [*range(0, 100, 9), 100]
    for second in range(101, 10_000):
        trail.note(second, marks(second, second))
    assert len(trail.steps) == 90
    assert trail.steps[-1].position_ns == 9_999
    # The one before the first that is left was of the time that is forgotten.
    assert trail.cut(0, 5) is None


@pytest.fixture
def plan(tmp_path: Path) -> ServerPlan:
    [plan] = make_plans(site_of(tmp_path, "opc.tcp://127.0.0.1:4840"), "all")
    return plan


def make_feed(plan: ServerPlan, position_ns: int) -> Feed:
    return Feed(plan, position_ns, 1_000, Metrics(CollectorRegistry()))


def test_a_feed_goes_back_and_forgets_what_it_had_received(plan: ServerPlan) -> None:
    feed = make_feed(plan, NOW - 9 * WINDOW_NS)
    for number in range(8, 0, -1):
        feed.arrivals.close(NOW - number * WINDOW_NS)
        feed.trail.note(feed.arrivals.position_ns, marks(100 - number, 60 * (9 - number)))
    feed.take([0], [NOW], [True], [NOW], [False], [False])
    feed.cut(0, 98)
    assert feed.arrivals.position_ns == NOW - 3 * WINDOW_NS
    assert feed.arrivals.held == 0
    assert feed.rereading
    assert feed.counted_ns == NOW - WINDOW_NS
    # What is given once more counts now.
    feed.take([0], [NOW - 2 * WINDOW_NS], [True], [NOW], [False], [True])
    assert feed.arrivals.held == 1
    # Another partition has lost less: it stays where it is.
    feed.cut(1, 7)
    assert feed.arrivals.position_ns == NOW - 3 * WINDOW_NS
    assert feed.counted_ns == NOW - WINDOW_NS


def test_a_feed_that_knows_no_such_time_begins_as_far_back_as_a_new_one(plan: ServerPlan) -> None:
    feed = make_feed(plan, NOW)
    feed.trail.steps[:] = [Step(NOW, marks(5))]
    feed.cut(0, 3)
    assert feed.arrivals.position_ns <= time.time_ns() - plan.fresh_lookback_ns + WINDOW_NS


def test_the_trail_is_kept_with_the_position(plan: ServerPlan, tmp_path: Path) -> None:
    log = structlog.stdlib.get_logger()
    feed = make_feed(plan, NOW - HOUR_NS)
    feed.trail.note(NOW - HOUR_NS, marks(7))
    feed.counted_ns = NOW
    Store(tmp_path, plan, log).save(feed)
    again = Store(tmp_path, plan, log)
    restored = make_feed(plan, again.position_ns(NOW))
    again.restore(restored)
    assert restored.arrivals.position_ns == NOW - HOUR_NS
    assert restored.counted_ns == NOW
    assert restored.trail.steps == feed.trail.steps
