"""Running cells one after the other; the plant is made anew wherever one has left its mark."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from fieldline.errors import FieldlineError

from . import cell as cells
from .cell import Timing
from .deeds import Spans
from .matrix import Cell
from .plant import Plant
from .record import Origin, line

# A cell that looks back to the plant's begin shall not look back for long.
_OLD_S = 240.0


class Campaign:
    """Runs cells on one plant.

    Args:
        say: told what is going on within a cell.
    """

    def __init__(
        self, plant: Plant, spans: Spans, timing: Timing, say: Callable[[str], None]
    ) -> None:
        self._plant = plant
        self._spans = spans
        self._timing = timing
        self._say = say
        self._origin = Origin.here()
        self._usable = False

    def run(self, chosen: Sequence[Cell]) -> Iterator[dict[str, Any]]:
        """Run cells; the record of each as soon as it is done.

        Raises:
            FieldlineError: the plant does not come up, or a fault cannot be done at all.
        """
        for cell in chosen:
            yield self.one(cell)

    def one(self, cell: Cell) -> dict[str, Any]:
        """Run one cell; its record."""
        self._make_ready(cell)
        load, began = os.getloadavg()[0], time.time()
        # Whatever ends it before its end leaves a plant that nobody knows.
        self._usable = False
        cell.kind.arm(self._plant)
        outcome = cells.run(
            self._plant,
            partial(cell.kind.deed, self._plant, cell.target, self._spans),
            self._timing,
            lambda text: self._say(f"{cell.name}: {text}"),
            whole=cell.kind.whole,
        )
        entry = line(cell, outcome, self._origin, self._spans, round(load, 2))
        if not entry["held"]:
            folder = self._plant.lab.names.worktree / ".lab" / "faults-journals" / cell.name
            self._plant.keep_journals(folder, began)
        self._usable = entry["held"] and not cell.kind.spoils
        if self._usable:
            cell.kind.disarm(self._plant)
        return entry

    def _make_ready(self, cell: Cell) -> None:
        """A steady plant for a cell: the one that is there, or a new one."""
        old = cell.kind.whole and time.monotonic() - self._plant.began > _OLD_S
        if self._usable and not old:
            self._say(f"{cell.name}: waiting for a steady plant")
            try:
                self._plant.wait_until_steady()
            except FieldlineError:
                self._usable = False
        if not self._usable or old:
            self._say(f"{cell.name}: booting a new plant")
            self._plant.up()
