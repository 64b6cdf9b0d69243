"""What the server asks of a source of values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]
Statuses = NDArray[np.uint32]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment at which variables of one period are due.

    Attributes:
        time_ns: source time, ns since 1970 in UTC, shared by all variables due at this moment.
        elapsed_ns: monotonic time since the server's first tick.
        period_ns: the period whose variables are due.
        good: status of a value that is right; Uncertain where the host's time is not.
    """

    time_ns: int
    elapsed_ns: int
    period_ns: int
    good: int


# Takes, for a tick, the points' indices (n,), statuses (n,) and values (n,), NaN where Bad.
Deliver = Callable[[Tick, Indices, Statuses, Values], None]


class Source(Protocol):
    """Gives the values of some points, all of one period."""

    indices: Indices

    def sample(self, tick: Tick, deliver: Deliver) -> None:
        """Deliver values for the tick: before returning, or later from the event loop.

        For each point the ticks delivered are in order. A failing source delivers a Bad status;
        it does not raise.
        """
