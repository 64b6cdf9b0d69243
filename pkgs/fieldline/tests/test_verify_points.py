"""Points as columns: sorting, overwriting, and finding one set in another."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from fieldline.verify.points import Points, joined, no_points, points, positions, settled
from fieldline.verify.run import spans
from hypothesis import given
from hypothesis import strategies as st

rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=40)


def made(keys: list[tuple[int, int]]) -> Points:
    """Points of (series, time) whose value is their place in the list."""
    series = np.array([s for s, _ in keys], np.int64)
    time = np.array([t for _, t in keys], np.int64)
    return points(series, time, np.arange(len(keys), dtype=float), None)


@given(rows)
def test_the_last_point_of_an_identity_stays(keys: list[tuple[int, int]]) -> None:
    kept, overwritten = settled(made(keys))
    expected = {key: float(i) for i, key in enumerate(keys)}
    found = zip(kept.series.tolist(), kept.time.tolist(), kept.value.tolist(), strict=True)
    assert [((s, t), v) for s, t, v in found] == sorted(expected.items())
    assert len(kept) + len(overwritten) == len(keys)


@given(rows, rows)
def test_points_are_found_by_series_and_time(
    a: list[tuple[int, int]], b: list[tuple[int, int]]
) -> None:
    within = settled(made(b))[0]
    place = positions(made(a), within)
    for key, where in zip(a, place.tolist(), strict=True):
        if where < 0:
            assert key not in b
        else:
            assert (within.series[where], within.time[where]) == key


def test_times_of_different_years_are_compared_exactly() -> None:
    years = 10 * 365 * 86400 * 10**9
    within = settled(made([(0, 0), (9_999, years), (9_999, years + 1)]))[0]
    assert positions(made([(9_999, years + 1), (9_998, years)]), within).tolist() == [2, -1]


def test_nothing_joins_and_settles_to_nothing() -> None:
    assert len(joined([])) == 0
    kept, overwritten = settled(no_points())
    assert len(kept) == len(overwritten) == 0


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_spans_cover_the_window_once(most: int) -> None:
    cut = list(spans(7, 20 * 10**9, 5.6, most))
    assert cut[0][0] == 7
    assert cut[-1][1] == 20 * 10**9
    assert all(a[1] == b[0] for a, b in pairwise(cut))
