"""When a window is settled, and how many are looked at together."""

from __future__ import annotations

import pytest
from fieldline.messages.ledger import HOUR_NS
from gap_filler.arrivals import WINDOW_NS
from gap_filler.windows import Moment, settled_ns, span_end_ns
from hypothesis import given
from hypothesis import strategies as st

SECOND = 1_000_000_000
NOW = 1_700_000_000_000_000_000 // HOUR_NS * HOUR_NS + 95 * SECOND


@pytest.mark.parametrize(
    ("newest", "quiet", "settled"),
    [
        # All is fine: the newest value is of just now.
        (NOW - SECOND, 0.2, 90),
        # Telegraf catches up after a cut: nothing of that time yet, however long ago.
        (NOW - 60 * SECOND, 0.2, 30),
        # Nothing comes any more: what has not come will not.
        (NOW - 60 * SECOND, 10.0, 90),
        (None, 0.2, None),
        (None, 10.0, 90),
        # A source clock that is ahead settles nothing of the future.
        (NOW + 3_600 * SECOND, 0.2, 90),
    ],
)
def test_settled(newest: int | None, quiet: float, settled: int | None) -> None:
    found = settled_ns(Moment(NOW, newest, quiet), 5.0, 10.0)
    assert found == (0 if settled is None else NOW - 95 * SECOND + settled * SECOND)


def test_a_window_is_settled_some_seconds_after_its_end() -> None:
    end = NOW - 5 * SECOND
    assert end % WINDOW_NS == 0
    assert settled_ns(Moment(NOW, NOW, 0.0), 5.0, 10.0) == end
    assert settled_ns(Moment(NOW - 1, NOW, 0.0), 5.0, 10.0) == end - WINDOW_NS


@given(
    position=st.integers(0, 400).map(lambda n: NOW // WINDOW_NS * WINDOW_NS - n * WINDOW_NS),
    ahead=st.integers(1, 1_000),
    rate=st.floats(0.001, 100_000),
)
def test_a_span_is_whole_windows_of_one_hour_and_not_too_many(
    position: int, ahead: int, rate: float
) -> None:
    settled = position + ahead * WINDOW_NS
    end = span_end_ns(position, settled, rate)
    assert end % WINDOW_NS == 0
    assert position < end <= settled
    assert (end - 1) // HOUR_NS == position // HOUR_NS
    assert end - position == WINDOW_NS or rate * (end - position) / 1e9 <= 60_000
