"""Rates of counters and percentiles of latencies."""

from __future__ import annotations

import numpy as np
import pytest
from fieldline.where.rate import WINDOW_SECONDS, LatencyHistogram, RateMeter


def test_a_rate_needs_two_readings() -> None:
    meter = RateMeter()
    assert meter.add(0.0, 100.0) is None
    assert meter.add(1.0, 105.0) == pytest.approx(5.0)


def test_a_counter_that_is_renewed_every_five_seconds_is_not_zero_between() -> None:
    meter = RateMeter()
    rates = [meter.add(float(t), 5.0 * (t // 5 * 5)) for t in range(40)]
    assert rates[4] is None
    known = [rate for rate in rates[6:] if rate is not None]
    assert len(known) == len(rates[6:])
    assert all(rate == pytest.approx(5.0) for rate in known)


def test_a_counter_that_stops_falls_to_zero() -> None:
    meter = RateMeter()
    for t in range(10):
        meter.add(float(t), 10.0 * t)
    falling = [meter.add(9.0 + t, 90.0) for t in range(1, 30)]
    assert falling[0] == pytest.approx(10.0)
    assert falling[5] is not None
    assert falling[5] < 8.0
    assert falling[int(WINDOW_SECONDS)] == 0.0


def test_a_counter_that_never_moves_is_zero_after_a_while() -> None:
    meter = RateMeter()
    assert meter.add(0.0, 3.0) is None
    assert meter.add(5.0, 3.0) is None
    assert meter.add(16.0, 3.0) == 0.0


def test_a_counter_that_begins_anew_gives_no_negative_rate() -> None:
    meter = RateMeter()
    meter.add(0.0, 1000.0)
    meter.add(1.0, 1010.0)
    assert meter.add(2.0, 4.0) is None
    assert meter.add(3.0, 14.0) == pytest.approx(10.0)


def test_a_change_of_rate_shows_within_the_window() -> None:
    meter = RateMeter()
    count, rate = 0.0, None
    for t in range(100):
        count += 1.0 if t < 50 else 10.0
        rate = meter.add(float(t), count)
    assert rate == pytest.approx(10.0)


def test_percentiles_are_right_within_two_percent() -> None:
    histogram = LatencyHistogram()
    values = np.random.default_rng(1).lognormal(4, 1, 10_000)
    for value in values.tolist():
        histogram.add(value)
    assert histogram.count == 10_000
    for share in (0.5, 0.99):
        exact = float(np.quantile(values, share))
        assert histogram.percentile(share) == pytest.approx(exact, rel=0.03)
    assert histogram.percentile(1.0) == pytest.approx(values.max(), rel=0.02)
    assert histogram.largest == values.max()


def test_no_latency_has_no_percentile() -> None:
    histogram = LatencyHistogram()
    assert histogram.percentile(0.5) is None
    assert histogram.largest is None


def test_a_source_ahead_of_this_clock_is_counted_apart() -> None:
    histogram = LatencyHistogram()
    histogram.add(-5.0)
    histogram.add(10.0)
    assert (histogram.count, histogram.ahead) == (2, 1)
    assert histogram.percentile(0.5) is not None
