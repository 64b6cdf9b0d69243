"""Random walks: repeatable, each on its own, within their range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fieldline.site import RandomWalk
from hypothesis import assume, given
from hypothesis import strategies as st
from opc_server.sources.random_walk import BLOCK, RandomWalkSource, fold
from opc_server.status import GOOD, UNCERTAIN


def walk(source: RandomWalkSource, collected: Any, make_tick: Callable[..., Any], n: int) -> Any:
    """The source's first `n` values, shape (n, points)."""
    for step in range(n):
        source.sample(make_tick(step), collected)
    return np.array(collected.values).reshape(n, -1)


def test_a_walk_starts_where_it_says_and_moves_by_its_step(
    make_point: Any, make_tick: Any, collected: Any
) -> None:
    point = make_point(source=RandomWalk(step=3.1, start=100.0))
    values = walk(RandomWalkSource([point], 1), collected, make_tick, 500)[:, 0]
    steps = np.abs(np.diff(values))
    assert values[0] == 100.0
    assert steps.max() <= 3.1
    assert steps.max() > 2.9
    assert set(collected.statuses) == {GOOD}


def test_a_walk_stays_in_its_range_and_reaches_both_ends(
    make_point: Any, make_tick: Any, collected: Any
) -> None:
    point = make_point(range=(0.0, 10.0), source=RandomWalk(step=4.0, start=5.0))
    values = walk(RandomWalkSource([point], 1), collected, make_tick, 1000)
    assert values.min() >= 0.0
    assert values.max() <= 10.0
    assert values.min() < 0.5
    assert values.max() > 9.5


@pytest.mark.parametrize("others", [0, 1, 20])
def test_a_seed_gives_the_same_values_whatever_else_there_is(
    make_point: Any, make_tick: Any, others: int, collected: Any
) -> None:
    points = [make_point(index) for index in range(others + 1)]
    source = RandomWalkSource(list(reversed(points)), 42)
    values = walk(source, collected, make_tick, 2 * BLOCK + 3)[:, -1]
    again = type(collected)()
    alone = walk(RandomWalkSource([points[0]], 42), again, make_tick, 2 * BLOCK + 3)[:, 0]
    assert values.tolist() == alone.tolist()


def test_another_seed_asset_or_none_gives_other_values(
    make_point: Any, make_tick: Any, collected: Any
) -> None:
    made = []
    for seed, index in ((1, 0), (2, 0), (1, 1), (None, 0), (None, 0)):
        source = RandomWalkSource([make_point(index)], seed)
        made.append(tuple(walk(source, type(collected)(), make_tick, 5)[:, 0]))
    assert len(set(made)) == 5


def test_uncertain_time_makes_uncertain_values(
    make_point: Any, make_tick: Any, collected: Any
) -> None:
    RandomWalkSource([make_point()], 1).sample(make_tick(0, UNCERTAIN), collected)
    assert collected.statuses == [UNCERTAIN]


@given(st.floats(-1e15, 1e15), st.floats(1e-3, 1e12), st.lists(st.floats(-1e15, 1e15), min_size=1))
def test_fold_leaves_nothing_outside(low: float, span: float, values: list[float]) -> None:
    size = len(values)
    high = low + span
    assume(high > low)
    folded = fold(np.array(values), np.full(size, low), np.full(size, high))
    assert ((folded >= low) & (folded <= high)).all()


def test_fold_reflects_and_leaves_the_endless_alone() -> None:
    low = np.array([0.0, 0.0, 0.0, -np.inf])
    high = np.array([10.0, 10.0, 10.0, np.inf])
    folded = fold(np.array([-3.0, 12.0, 4.0, 1e9]), low, high)
    assert folded.tolist() == [3.0, 8.0, 4.0, 1e9]
