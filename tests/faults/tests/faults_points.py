"""Points for these tests, and the many ways in which they may be wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from fieldline.verify.points import Points, joined, points

NAMES = [("press1", "Force"), ("press1", "Stroke"), ("press2", "Force")]
BEGIN, PERIOD = 1_800_000_000_000_000_000, 200_000_000


def right(ticks: int = 10) -> Points:
    """Values of three variables at 5 Hz, all of good quality."""
    series = np.repeat(np.arange(len(NAMES)), ticks)
    time = np.tile(BEGIN + PERIOD * np.arange(ticks), len(NAMES))
    return points(series, time, 0.1 + np.arange(len(series)) / 7, None)


def changed(given: Points, index: int, **columns: float) -> Points:
    """The points with one of them changed in some columns."""
    new = Points(*(getattr(given, name).copy() for name in ("series", "time", "value", "status")))
    for name, value in columns.items():
        getattr(new, name)[index] = value
    return new


def without(given: Points, index: int) -> Points:
    """The points without one."""
    return given.where(np.arange(len(given)) != index)


def twice(given: Points, index: int) -> Points:
    """The points with one of them once more, at the end."""
    return joined([given, given.where(np.array([index]))])


# What may become of one point, and which count has to tell of it.
WAYS: dict[str, tuple[Callable[[Points, int], Points], str]] = {
    "lost": (without, "lost"),
    "doubled": (twice, "doubled"),
    "shifted by 1 ns": (lambda p, i: changed(p, i, time=int(p.time[i]) + 1), "invented"),
    "another value": (lambda p, i: changed(p, i, value=float(p.value[i]) + 1e-6), "wrong"),
    "the next float": (
        lambda p, i: changed(p, i, value=float(np.nextafter(p.value[i], 1e9))),
        "wrong",
    ),
    "no value": (lambda p, i: changed(p, i, value=float("nan")), "wrong"),
    "another quality": (lambda p, i: changed(p, i, status=0x40000000), "wrong_status"),
    "no quality": (lambda p, i: changed(p, i, status=0xFFFFFFFF), "wrong_status"),
    "another variable": (lambda p, i: changed(p, i, series=(int(p.series[i]) + 1) % 3), "lost"),
}
