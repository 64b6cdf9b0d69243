"""Rates of counters that are looked at now and then, and a histogram of latencies."""

from __future__ import annotations

import math
from collections import deque

# Telegraf renews its counters every 5 s (lib/telegraf, inputs.internal), so a rate needs two such
# steps; longer than three, and it no longer tells what happens now.
WINDOW_SECONDS = 15.0

# Each bucket is 2 % wider than the one before: percentiles are right within 2 %.
_STEP = math.log(1.02)


class RateMeter:
    """The rate of a counter, between the moments at which it was seen to change."""

    def __init__(self) -> None:
        self._changes: deque[tuple[float, float]] = deque()
        self._begin: float | None = None

    def add(self, at: float, count: float) -> float | None:
        """Take a reading; gives the rate per second, or None while it is not known.

        Args:
            at: monotonic time, s.
            count: the counter; a smaller one than before means that it began anew.
        """
        if self._begin is None:
            self._begin = at
        if self._changes and count < self._changes[-1][1]:
            self._changes.clear()
        if not self._changes or count != self._changes[-1][1]:
            self._changes.append((at, count))
        # One change from before the window stays, as its beginning.
        while len(self._changes) > 2 and self._changes[1][0] < at - WINDOW_SECONDS:
            self._changes.popleft()
        first, last = self._changes[0], self._changes[-1]
        if at - last[0] > WINDOW_SECONDS:
            return 0.0
        if last[0] == first[0]:
            return 0.0 if at - self._begin > WINDOW_SECONDS else None
        seconds = last[0] - first[0]
        # A counter that has missed two of its steps stands still: its rate falls from then on.
        step = seconds / (len(self._changes) - 1)
        if at - last[0] > 2 * step + 1.0:
            seconds = at - first[0]
        return (last[1] - first[1]) / seconds


class LatencyHistogram:
    """Percentiles of any number of latencies in a fixed space, right within 2 %."""

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.count = 0
        self.ahead = 0
        self.largest: float | None = None

    def add(self, milliseconds: float) -> None:
        """Count a latency; a negative one is counted as zero, and as `ahead`."""
        self.count += 1
        if milliseconds < 0:
            self.ahead += 1
            milliseconds = 0.0
        self.largest = max(milliseconds, self.largest or 0.0)
        # Below a microsecond nothing is told apart.
        bucket = math.floor(math.log(max(milliseconds, 1e-3)) / _STEP)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def percentile(self, share: float) -> float | None:
        """The latency in ms that `share` (0 to 1) of them do not exceed; None of none."""
        wanted = math.ceil(share * self.count)
        passed = 0
        for bucket in sorted(self._buckets):
            passed += self._buckets[bucket]
            if passed >= wanted:
                # The middle of the bucket, but not beyond what was seen.
                return min(math.exp((bucket + 0.5) * _STEP), self.largest or 0.0)
        return None
