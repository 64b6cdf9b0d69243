"""Points as columns, sorted by series and time, and finding the points of one set in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points of many series; all columns have the shape (points,).

    Attributes:
        series: int64, index of a variable or a model in the catalogue.
        time: int64, source time, ns.
        value: float64; NaN where there is none.
        status: uint32, OPC UA status; 0 for models.
    """

    series: Ints
    time: Ints
    value: Floats
    status: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.series)

    def where(self, mask: Bools | Ints) -> Points:
        """The points of a mask or of some positions."""
        return Points(self.series[mask], self.time[mask], self.value[mask], self.status[mask])


def points(series: Ints, time: Ints, value: Floats, status: NDArray[np.uint32] | None) -> Points:
    """Make points of columns; without a status all are good."""
    if status is None:
        status = np.zeros(len(series), np.uint32)
    return Points(series, time, value, status)


def no_points() -> Points:
    """No point at all."""
    return points(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), None)


def joined(parts: Sequence[Points]) -> Points:
    """All points of several sets, one after the other."""
    if not parts:
        return no_points()
    return Points(
        np.concatenate([part.series for part in parts]),
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.status for part in parts]),
    )


def settled(given: Points) -> tuple[Points, Points]:
    """Sort by series and time; of points with the same identity only the last one given stays.

    Returns:
        The points that stay, and those that were overwritten by a later one.
    """
    order = np.lexsort((given.time, given.series))  # stable: equal ones keep their order
    ordered = given.where(order)
    if len(ordered) < 2:
        return ordered, no_points()
    same = (ordered.series[1:] == ordered.series[:-1]) & (ordered.time[1:] == ordered.time[:-1])
    last = np.append(~same, True)
    return ordered.where(last), ordered.where(~last)


def positions(wanted: Points, within: Points) -> Ints:
    """Where each wanted point, by series and time, is in `within` (sorted); -1 where it is not."""
    if not len(wanted) or not len(within):
        return np.full(len(wanted), -1, np.int64)
    # Series and time in one number, so that a search is one call; `within` is sorted by it.
    begin = min(int(wanted.time.min()), int(within.time.min()))
    end = max(int(wanted.time.max()), int(within.time.max()))
    asked_time, time = wanted.time - begin, within.time - begin
    bits = (end - begin).bit_length()
    most = max(int(wanted.series.max()), int(within.series.max()))
    if bits + most.bit_length() > 62:
        # Many series over a long time: the times' ranks are smaller, but have to be sorted first.
        times = np.unique(np.concatenate([asked_time, time]))
        asked_time, time = np.searchsorted(times, asked_time), np.searchsorted(times, time)
        bits = len(times).bit_length()
    keys = (within.series << bits) | time
    asked = (wanted.series << bits) | asked_time
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    found: Ints = np.where(keys[place] == asked, place, -1)
    return found
