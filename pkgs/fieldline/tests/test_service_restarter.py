"""How a service has another unit restarted: the file, the count, the pauses."""

from __future__ import annotations

import itertools
from pathlib import Path

import structlog
from fieldline.service.restarter import Pauses, Restarter
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

SECOND = 10**9


def restarts(looks: list[tuple[int, bool]]) -> list[int]:
    """When a restart came, of who wants one at each look that is ill."""
    pauses = Pauses()
    found = []
    for second, ill in looks:
        if pauses.over(second * SECOND, ill=ill) and ill:
            pauses.begin(second * SECOND)
            found.append(second)
    return found


def test_each_restart_that_does_not_help_is_followed_by_a_longer_pause() -> None:
    found = restarts([(s, True) for s in range(5_000)])
    pauses = [b - a for a, b in itertools.pairwise(found)]
    assert pauses == [30, 60, 120, 300, 900, 900, 900, 900]


def test_after_a_cure_the_pause_is_short_again() -> None:
    ill = [(s, True) for s in range(100)]
    assert restarts([*ill, *[(s, s >= 500) for s in range(100, 560)]]) == [0, 30, 90, 500, 530]
    # A moment without illness is no cure.
    assert restarts([*ill, *[(s, s != 100) for s in range(100, 260)]]) == [0, 30, 90, 210]


@given(st.lists(st.tuples(st.integers(1, 400), st.booleans()), max_size=60))
def test_two_restarts_are_never_closer_than_thirty_seconds(steps: list[tuple[int, bool]]) -> None:
    looks = list(itertools.accumulate(steps, lambda a, b: (a[0] + b[0], b[1]), initial=(0, False)))
    assert all(b - a >= 30 for a, b in itertools.pairwise(restarts(looks)))


def made(path: Path | None) -> tuple[Restarter, CollectorRegistry]:
    registry = CollectorRegistry()
    counter = Counter("restarts", "Restarts", ["reason"], registry=registry)
    return Restarter("Telegraf", path, counter, structlog.get_logger()), registry


def test_it_is_asked_for_by_a_file(tmp_path: Path) -> None:
    restarter, registry = made(tmp_path / "wish")
    assert restarter.state.last_ns is None
    with capture_logs() as events:
        restarter.ask("dead", "nothing comes")
        restarter.ask("dead", "still nothing comes")
    assert (tmp_path / "wish").read_text().endswith(" still nothing comes\n")
    assert registry.get_sample_value("restarts_total", {"reason": "dead"}) == 2
    assert (restarter.state.count, restarter.state.reason) == (2, "still nothing comes")
    assert [event["event"] for event in events] == ["restarting Telegraf"] * 2


def test_where_nobody_restarts_anything_and_where_it_fails(tmp_path: Path) -> None:
    made(None)[0].ask("dead", "nothing comes")
    with capture_logs() as events:
        made(tmp_path)[0].ask("dead", "nothing comes")
    assert events[-1]["event"] == "Telegraf cannot be restarted"
