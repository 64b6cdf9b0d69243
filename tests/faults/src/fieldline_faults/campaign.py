"""Running cells one after the other; the plant is made anew wherever one has left its mark."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
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
# What the short form has time for.
HASTE = Timing(before=2.0, missing=25.0, after=2.0)


class Campaign:
    """Runs cells on one plant.

    Args:
        say: told what is going on within a cell.
        thrifty: a plant that has lost something is used again where the next cell does not look
            back; else each miss is followed by a new one.
    """

    def __init__(
        self,
        plant: Plant,
        spans: Spans,
        timing: Timing,
        say: Callable[[str], None],
        *,
        thrifty: bool = False,
    ) -> None:
        self._plant = plant
        self._spans = spans
        self._timing = timing
        self._say = say
        self._origin = Origin.here()
        self._thrifty = thrifty
        self._usable = False
        # Whether everything that was published since the plant's begin is accounted for.
        self._whole = False

    def one(self, cell: Cell) -> dict[str, Any]:
        """Run one cell; its record.

        Raises:
            FieldlineError: the plant does not come up, or the fault cannot be done at all.
        """
        self.make_ready(cell.name, whole=cell.kind.whole)
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
        self._whole = self._whole and entry["held"]
        kept = entry["held"] or (self._thrifty and outcome.flowing is not None)
        self._usable = kept and not cell.kind.spoils
        if self._usable:
            cell.kind.disarm(self._plant)
        return entry

    def make_ready(self, what: str, *, whole: bool = False) -> None:
        """Have a steady plant: the one that is there, or a new one.

        Args:
            what: it is for. whole: it looks back to the plant's begin.
        """
        age = time.monotonic() - self._plant.began
        old = whole and not (self._whole and (self._thrifty or age < _OLD_S))
        if self._usable and not old:
            self._say(f"{what}: waiting for a steady plant")
            try:
                self._plant.wait_until_steady()
            except FieldlineError:
                self._usable = False
        if not self._usable or old:
            self._say(f"{what}: booting a new plant")
            self._plant.up()
            self._whole = True
