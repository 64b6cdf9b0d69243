"""Clocks: the monotonic one that ticks follow, and source times that never go back."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

# asyncua takes times as datetime, so the microsecond is what can be published; OPC UA itself
# counts 100 ns. The record holds the very same, truncated, times.
RESOLUTION_NS = 1_000
# NTP slews below this; what is above is a step.
LEAP_NS = 100_000_000
# systemd-timesyncd makes this file once the time was synchronised since boot
# (systemd-timesyncd.service(8)).
SYNCHRONIZED = "/run/systemd/timesync/synchronized"


class Clock(Protocol):
    """What the server knows of time; tests bring their own."""

    def monotonic_ns(self) -> int:
        """Time since some moment, never set."""

    def wall_ns(self) -> int:
        """UTC, ns since 1970, as the host believes it."""

    async def sleep_until(self, monotonic_ns: int) -> None:
        """Return at `monotonic_ns` or soon after; sleep is asked for again where it was before."""


class SystemClock:
    """The host's clocks."""

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC."""
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        """CLOCK_REALTIME."""
        return time.time_ns()

    async def sleep_until(self, monotonic_ns: int) -> None:
        """Sleep in the event loop; its timer is good to about 1 ms, to either side."""
        await asyncio.sleep(max(0, monotonic_ns - time.monotonic_ns()) / 1e9)


@dataclass(frozen=True, slots=True)
class Stamp:
    """A source time, ns since 1970; `certain` where it is the host's own time."""

    time_ns: int
    certain: bool


class Stamper:
    """Gives source times, strictly increasing within the run.

    Where the wall clock is set back, source times go on at half speed until the clock has caught
    up with them: never twice the same time, never backwards, and the error shrinks. Such times are
    not certain. A step of the clock in either direction is reported.

    Args:
        clock: where time comes from.
        on_leap: told of each step, in ns, negative for one into the past.
    """

    def __init__(self, clock: Clock, on_leap: Callable[[int], None]) -> None:
        self._clock = clock
        self._on_leap = on_leap
        self._last_time: int | None = None
        self._last_monotonic = 0
        self._offset = 0

    def stamp(self) -> Stamp:
        """The source time of a tick that happens now."""
        wall, monotonic = self._clock.wall_ns(), self._clock.monotonic_ns()
        offset = wall - monotonic
        time_ns = wall - wall % RESOLUTION_NS
        if self._last_time is not None:
            if abs(leap := offset - self._offset) >= LEAP_NS:
                self._on_leap(leap)
            half = (monotonic - self._last_monotonic) // 2
            step = max(RESOLUTION_NS, half - half % RESOLUTION_NS)
            time_ns = max(time_ns, self._last_time + step)
        self._last_time, self._last_monotonic, self._offset = time_ns, monotonic, offset
        # 1 ms: two ticks within one microsecond are no matter of the clock.
        return Stamp(time_ns, time_ns - wall < 1_000_000)


def always_synchronized() -> bool:
    """For hosts whose time is taken as it is."""
    return True


class TimeSync:
    """Tells whether the host's time was synchronised since boot; looks at most once a second."""

    def __init__(self, clock: Clock, path: str = SYNCHRONIZED) -> None:
        self._clock = clock
        self._path = path
        self._look_at = 0
        self._synchronized = False

    def __call__(self) -> bool:
        """Whether systemd-timesyncd has synchronised the time; it stays so until reboot."""
        now = self._clock.monotonic_ns()
        if not self._synchronized and now >= self._look_at:
            self._look_at = now + 1_000_000_000
            self._synchronized = os.path.exists(self._path)
        return self._synchronized
