"""When values are due: an absolute grid per period, so that nothing adds up to a drift."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Due:
    """A period whose tick is due.

    Attributes:
        period_ns: the period.
        late_ns: time since the instant of the grid that this tick stands for, below `period_ns`.
        missed: instants before that one which passed without a tick.
    """

    period_ns: int
    late_ns: int
    missed: int


class Schedule:
    """Grids of several periods with one common origin, so that they meet.

    A tick that comes late is one tick, at once; the instants missed are counted, never made up
    for, and the next tick is on the grid again.

    Args:
        origin_ns: instant 0 of every grid, monotonic time.
        now_ns: the first ticks are the first instants after this.
        periods_ns: the periods.
    """

    def __init__(self, origin_ns: int, now_ns: int, periods_ns: Iterable[int]) -> None:
        self._origin = origin_ns
        self._next = {
            period: now_ns - (now_ns - origin_ns) % period + period
            for period in sorted(set(periods_ns))
        }

    def next_ns(self) -> int:
        """Monotonic time of the next instant of any grid."""
        return min(self._next.values())

    def due(self, now_ns: int) -> list[Due]:
        """The periods due at `now_ns`, shortest first; each is then due at its next instant."""
        found = []
        for period, instant in self._next.items():
            if instant > now_ns:
                continue
            late = (now_ns - self._origin) % period
            missed = (now_ns - instant) // period
            self._next[period] = now_ns - late + period
            found.append(Due(period, late, missed))
        return found
