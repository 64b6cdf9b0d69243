"""Random walks: simulated values, evaluated for all points of a period at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from fieldline.site import RandomWalk

from opc_server.points import Point
from opc_server.sources.protocol import Deliver, Tick, Values

# Steps drawn ahead per variable: enough that drawing costs little, 5 MB for 10,000 variables.
BLOCK = 64


def _generator(seed: int | None, point: Point) -> np.random.Generator:
    """A variable's own generator: what others there are changes nothing in its values."""
    if seed is None:
        return np.random.default_rng()
    name = hashlib.blake2b(f"{point.asset}\0{point.variable}".encode(), digest_size=16).digest()
    return np.random.default_rng([seed, *np.frombuffer(name, "<u4").tolist()])


def fold(values: Values, low: Values, high: Values) -> Values:
    """Reflect values at the ends of their ranges until they lie within; an endless range is inert.

    All of shape (n,), in each variable's unit.
    """
    bounded = np.isfinite(low) & np.isfinite(high)
    folded = values.copy()
    span = (high - low)[bounded]
    away = np.mod(values[bounded] - low[bounded], 2 * span)
    folded[bounded] = np.clip(
        low[bounded] + span - np.abs(away - span), low[bounded], high[bounded]
    )
    return folded


class RandomWalkSource:
    """Each value is the one before plus a uniform step in [-step, step); it bounces off its range.

    The first value is the declared start. With a seed, the values of a variable are the same in
    each run.

    Args:
        points: of one period, each with a `RandomWalk`.
        seed: the server's, or None for other values in each run.
    """

    def __init__(self, points: Sequence[Point], seed: int | None) -> None:
        walks = [point.source for point in points if isinstance(point.source, RandomWalk)]
        ranges = [point.range or (-np.inf, np.inf) for point in points]
        self.indices = np.array([point.index for point in points], np.intp)
        self._low = np.array([low for low, _high in ranges], np.float64)
        self._high = np.array([high for _low, high in ranges], np.float64)
        self._step = np.array([walk.step for walk in walks], np.float64)
        start = np.array([walk.start for walk in walks], np.float64)
        self._values = fold(start, self._low, self._high)
        self._generators = [_generator(seed, point) for point in points]
        self._steps = np.empty((BLOCK, len(points)))
        self._row = BLOCK
        self._first = True

    def sample(self, tick: Tick, deliver: Deliver) -> None:
        """Walk one step."""
        if self._first:
            self._first = False
        else:
            if self._row == BLOCK:
                for column, generator in enumerate(self._generators):
                    self._steps[:, column] = generator.random(BLOCK)
                self._row = 0
            steps = (2 * self._steps[self._row] - 1) * self._step
            self._values = fold(self._values + steps, self._low, self._high)
            self._row += 1
        deliver(tick, self.indices, np.full(len(self.indices), tick.good, np.uint32), self._values)
