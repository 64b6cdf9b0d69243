"""Which source times have reached Kafka: of each server, for the windows that are not closed yet.

A window is a slice of source time, `WINDOW_NS` long. Its values are kept in 8 bytes each, whatever
the number of variables: the variable's index, the time within the window in OPC UA's own ticks of
100 ns, and two flags. Windows before `position` are closed. Where there would be too many values,
windows from `limit` on are not kept; whoever gets there has Kafka read once more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW_NS = 10_000_000_000
_TICK_NS = 100

Times = NDArray[np.int64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

# Within an entry: index, tick of the window (27 bits), late, not good.
_INDEX_SHIFT = 32
_TICK_SHIFT = 2
_LATE = 2
_NOT_GOOD = 1
_TICK_MASK = (1 << (_INDEX_SHIFT - _TICK_SHIFT)) - 1
# Pieces of a window are joined when there are so many, since each has a header of a hundred bytes.
_MOST_PIECES = 32


@dataclass(frozen=True, slots=True)
class Received:
    """Values of some windows in Kafka, each (variable, source time) once, in that order.

    Attributes:
        indices, times, late: of shape (n,); times in ns. late: it came late, and at no time before.
        good: values per variable whose quality is Good, of shape (variables,).
        bad: variables with a value of another quality, of shape (variables,), bool.
        records: records per variable, repeats counted, of shape (variables,).
        spoiled: it has records that are good and others that are not, of shape (n,): on a status
            that Telegraf does not know it sends the value before once more, with that status.
    """

    indices: Indices
    times: Times
    late: Flags
    good: NDArray[np.int64]
    bad: Flags
    records: NDArray[np.int64]
    spoiled: Flags

    def of(self, index: int) -> Times:
        """The source times of one variable, in order."""
        first, last = np.searchsorted(self.indices, (index, index + 1))
        return self.times[first:last]

    def whole(self, index: int) -> Times:
        """Those of them that are not spoiled."""
        first, last = np.searchsorted(self.indices, (index, index + 1))
        return self.times[first:last][~self.spoiled[first:last]]

    def counts(self) -> NDArray[np.int64]:
        """Values per variable, each source time once, of shape (variables,)."""
        return np.bincount(self.indices, minlength=len(self.records))


class Arrivals:
    """Source times of one server's variables.

    Args:
        variables: how many; position_ns: begin of the first window that is not closed.
        most: how many values are kept at most.
    """

    def __init__(self, variables: int, position_ns: int, most: int) -> None:
        self._variables = variables
        self._most = most
        self._windows: dict[int, list[NDArray[np.uint64]]] = {}
        self.held = 0
        self._position = position_ns // WINDOW_NS
        self._limit: int | None = None

    @property
    def position_ns(self) -> int:
        """Begin of the first window that is not closed."""
        return self._position * WINDOW_NS

    @property
    def limit_ns(self) -> int | None:
        """Begin of the first window that is not kept; None if all are."""
        return None if self._limit is None else self._limit * WINDOW_NS

    def add(self, indices: Indices, times: Times, late: Flags, good: Flags) -> Flags:
        """Take values that were read from Kafka; all of shape (n,).

        Returns:
            Which of them belong to closed windows, of shape (n,); they are not kept.
        """
        windows = times // WINDOW_NS
        closed = windows < self._position
        ticks = (times - windows * WINDOW_NS) // _TICK_NS
        entries = (
            (indices << _INDEX_SHIFT)
            | (ticks << _TICK_SHIFT)
            | np.where(late, _LATE, 0)
            | np.where(good, 0, _NOT_GOOD)
        ).astype(np.uint64)
        for window in np.unique(windows[~closed]).tolist():
            if self._limit is None or window < self._limit:
                self._keep(window, entries[windows == window])
        return closed

    def _keep(self, window: int, entries: NDArray[np.uint64]) -> None:
        pieces = self._windows.setdefault(window, [])
        pieces.append(entries)
        self.held += len(entries)
        if len(pieces) > _MOST_PIECES:
            self._windows[window] = [np.concatenate(pieces)]
        while self.held > self._most and len(self._windows) > 1:
            # The newest go: the oldest are needed next, and a reader can't go on without them.
            self._limit = max(self._windows)
            self.held -= sum(map(len, self._windows.pop(self._limit)))

    def received(self, until_ns: int) -> Received:
        """What is there of the windows from the position until `until_ns`."""
        begin = self.position_ns
        rows: list[NDArray[np.uint64]] = []
        for window in sorted(self._windows):
            if window * WINDOW_NS >= until_ns:
                break
            rows += self._spread(window, begin)
        keys = np.sort(np.concatenate(rows)) if rows else np.empty(0, np.uint64)
        values = keys >> np.uint64(_TICK_SHIFT)
        first = np.ones(len(keys), np.bool_)
        # Of several records of one value the first here is the one that was not late, and good.
        first[1:] = values[1:] != values[:-1]
        indices = (keys >> np.uint64(_SPAN_SHIFT)).astype(np.int64)
        ticks = (values & np.uint64(_SPAN_MASK)).astype(np.int64)[first]
        flags = (keys & np.uint64(_LATE | _NOT_GOOD))[first]
        good = flags & np.uint64(_NOT_GOOD) == 0
        begins = np.flatnonzero(first)
        other = keys & np.uint64(_NOT_GOOD) != 0
        any_other = np.logical_or.reduceat(other, begins) if len(keys) else other
        all_other = np.logical_and.reduceat(other, begins) if len(keys) else other
        once = indices[first]
        count = self._variables
        return Received(
            once,
            ticks * _TICK_NS + begin,
            flags & np.uint64(_LATE) != 0,
            np.bincount(once[good], minlength=count),
            np.bincount(once[~good], minlength=count) > 0,
            np.bincount(indices, minlength=count),
            any_other & ~all_other,
        )

    def _spread(self, window: int, begin: int) -> list[NDArray[np.uint64]]:
        """A window's entries with their ticks counted from `begin`, and room for more of them."""
        offset = np.uint64((window * WINDOW_NS - begin) // _TICK_NS)
        spread = []
        for piece in self._windows[window]:
            ticks = (piece >> np.uint64(_TICK_SHIFT)) & np.uint64(_TICK_MASK)
            flags = piece & np.uint64(_LATE | _NOT_GOOD)
            indices = piece >> np.uint64(_INDEX_SHIFT)
            spread.append(
                (indices << np.uint64(_SPAN_SHIFT))
                | ((ticks + offset) << np.uint64(_TICK_SHIFT))
                | flags
            )
        return spread

    def close(self, until_ns: int) -> None:
        """Close all windows before `until_ns`, which is a window's begin."""
        self._position = max(self._position, until_ns // WINDOW_NS)
        for window in [w for w in self._windows if w < self._position]:
            self.held -= sum(map(len, self._windows.pop(window)))
        if self._limit is not None:
            self._limit = max(self._limit, self._position)

    def back(self, position_ns: int) -> None:
        """Open the windows from `position_ns` on again, with nothing in them."""
        self._position = min(self._position, position_ns // WINDOW_NS)
        self.reset()

    def reset(self) -> None:
        """Forget what is kept, and keep from the position on what is read from now on."""
        self._windows.clear()
        self.held = 0
        self._limit = None


# Within a key over several windows: index, tick (38 bits, 7 h), flags.
_SPAN_SHIFT = 40
_SPAN_MASK = (1 << (_SPAN_SHIFT - _TICK_SHIFT)) - 1
# The longest span over which windows are looked at together.
LONGEST_SPAN_NS = 3_600_000_000_000
