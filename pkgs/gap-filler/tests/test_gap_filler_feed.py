"""What is taken from the topic, and what is not: strange times, our own records, repeats."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from gap_filler.arrivals import WINDOW_NS
from gap_filler.feed import Feed
from gap_filler.metrics import Metrics
from gap_filler.plan import make_plans
from gap_filler_server import SECOND, site_of
from prometheus_client import CollectorRegistry

NOW = time.time_ns() // WINDOW_NS * WINDOW_NS
BEGIN = NOW - 10 * WINDOW_NS


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def feed(tmp_path: Path, registry: CollectorRegistry) -> Feed:
    [plan] = make_plans(site_of(tmp_path, "opc.tcp://127.0.0.1:4840"), "all")
    return Feed(plan, BEGIN, 1_000, Metrics(registry))


def take(
    feed: Feed,
    time_ns: int,
    *,
    good: bool = True,
    appended: int | None = None,
    own: bool = False,
    again: bool = False,
) -> None:
    when = time_ns if appended is None else appended
    feed.take([0], [time_ns], [good], [when], [own], [again])


def kept(feed: Feed) -> list[int]:
    return feed.arrivals.received(NOW + WINDOW_NS).of(0).tolist()


def test_a_value_is_kept_and_shows_that_the_collection_lives(feed: Feed) -> None:
    take(feed, BEGIN + SECOND, appended=NOW)
    assert kept(feed) == [BEGIN + SECOND]
    assert (feed.newest(), feed.newest_ns[1]) == (BEGIN + SECOND, -1)
    # Older ones, and the same once more, are no sign of life.
    arrived = feed.arrived_ns[0]
    take(feed, BEGIN + SECOND, appended=NOW + SECOND)
    take(feed, BEGIN, appended=NOW + SECOND)
    assert feed.arrived_ns[0] == arrived


def test_our_own_records_are_kept_and_show_nothing(feed: Feed) -> None:
    take(feed, BEGIN + SECOND, own=True, appended=NOW)
    assert kept(feed) == [BEGIN + SECOND]
    assert feed.newest() is None
    assert not feed.arrivals.received(NOW).late.any()


@pytest.mark.parametrize(
    ("time_ns", "reason"),
    [(0, "ancient"), (-(2**70), "ancient"), (2**70, "future"), (NOW + 10**13, "future")],
    ids=["epoch", "far below", "far above", "in three hours"],
)
def test_absurd_times_are_counted_and_left_out(
    feed: Feed, registry: CollectorRegistry, time_ns: int, reason: str
) -> None:
    take(feed, time_ns, appended=NOW)
    assert registry.get_sample_value("gap_filler_unused_total", {"reason": reason}) == 1
    assert (kept(feed), feed.newest()) == ([], None)


def test_a_server_whose_clock_is_ahead_has_its_own_time(feed: Feed) -> None:
    feed.offset_ns = 3_600 * SECOND
    ahead = NOW + 3_600 * SECOND
    take(feed, ahead, appended=NOW)
    received = feed.arrivals.received(ahead + WINDOW_NS)
    assert received.of(0).tolist() == [ahead]
    assert not received.late.any()
    take(feed, ahead - 20 * SECOND, appended=NOW)
    assert feed.arrivals.received(ahead + WINDOW_NS).late.tolist() == [True, False]


def test_what_is_given_again_counts_only_where_it_is_wanted(feed: Feed) -> None:
    take(feed, BEGIN, again=True)
    assert kept(feed) == []
    feed.rereading = True
    take(feed, BEGIN, again=True)
    assert kept(feed) == [BEGIN]
    assert feed.newest() is None


def test_a_repeat_of_a_closed_window_is_counted_and_may_be_spoiled(feed: Feed) -> None:
    known = feed.arrivals.received(NOW).bad | True
    feed.tally.closed(BEGIN // (3_600 * SECOND) * 3_600 * SECOND, known)
    feed.arrivals.close(BEGIN + WINDOW_NS)
    take(feed, BEGIN)
    take(feed, BEGIN, own=True, good=False)
    assert not feed.spoiled
    take(feed, BEGIN, good=False)
    assert feed.spoiled == {(0, BEGIN)}
    [row] = feed.tally.changed()
    assert row.fields["doubled"] == 2
