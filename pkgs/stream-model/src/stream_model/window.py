"""The recent past of one asset: what has arrived, and which results are due for it.

A *tick* of a group (models that share their inputs) is a source time at which one of its inputs has
a value. A result is due for each tick at which all inputs are known. The window keeps every value
of the last `horizon` before the asset's newest source time (the *limit*), and for each variable the
last value at or before the limit, so that everything from the limit on can be computed exactly,
whatever the order of arrival.

Beyond the limit, a group is still exact back to the latest of its inputs' last values there: none
of its inputs changed after that. So the first value of a variable, or one that was overtaken in a
reconnection (a setpoint that changed while the connection was down), is taken however old it is;
only a value that is already superseded at the limit is not taken. What the window cannot give of a
late value's results, a recomputation does (see `repairs`).

Times are source times in ns since 1970 UTC, within int64.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from enum import IntEnum
from typing import Any, NamedTuple

from stream_model.plan import Group, TypePlan

# Variables, times and values of the same number.
Added = tuple["array[int]", "array[int]", "array[float]"]

# Values are cut off in lots, at the earliest when so many are there: cutting costs a copy.
_LOT = 64
# Batches between two looks at what could be cut off.
_ROUNDS = 16


class Taken(IntEnum):
    """What became of a value."""

    USED = 0
    REPEATED = 1
    # Used, but some results before the horizon that it changes cannot be given again.
    USED_PARTLY = 2
    # Not used: all results that it changes are before the horizon.
    TOO_LATE = 3


class Kept(NamedTuple):
    """What a settled window is made of, beside its newest time.

    values: for each variable its times and values, from the last one at or before the horizon on.
    revisions: for each group, tick → revision last given, where it is not 0.
    """

    values: list[tuple[array[int], array[float]]]
    revisions: list[dict[int, int]]


class Window:
    """The recent past of one asset; `add` values, take what is `due`, then `settle`.

    key: the asset's name in bytes.
    touched: a value has been used since the last `settle`; whoever collects the touched windows
        of a batch sets it.
    """

    __slots__ = (
        "_added",
        "_covered",
        "_floor",
        "_horizon",
        "_revised",
        "_revisions",
        "_room",
        "_settled",
        "_times",
        "_values",
        "key",
        "kind",
        "name",
        "newest",
        "pending",
        "touched",
    )

    def __init__(self, name: str, kind: TypePlan, horizon_ns: int) -> None:
        groups = len(kind.groups)
        self.name = name
        self.key = name.encode()
        self.kind = kind
        self.newest = -1
        self.touched = False
        # Per group: tick → revision that its result has when it is given next.
        self.pending: list[dict[int, int]] = [{} for _ in range(groups)]
        self._horizon = horizon_ns
        self._times = [array("q") for _ in kind.groups_of]
        self._values = [array("d") for _ in kind.groups_of]
        # Per group: tick → revision last given, where it is not 0.
        self._revisions: list[dict[int, int]] = [{} for _ in range(groups)]
        self._revised = False
        self._room = _LOT
        self._settled = 0
        # From here on a new value needs no search for other ticks that it changes: all of them are
        # newer than the last settled one, so they are pending anyway, with revision 0.
        self._floor = 0
        # Per group: all ticks from here on are pending; this bounds the work of late values.
        self._covered = [0] * groups
        # Variable, time and value of each value used since they were taken, one after the other:
        # three arrays here cost a tenth of the whole step.
        self._added: list[Any] = []

    @property
    def limit(self) -> int:
        """The horizon before the newest source time."""
        return self.newest - self._horizon

    def known(self, variable: int) -> tuple[int, float] | None:
        """Time and value of the last value at or before the limit; None if there is none."""
        times = self._times[variable]
        last = bisect_right(times, self.limit) - 1
        return None if last < 0 else (times[last], self._values[variable][last])

    def exact_from(self, group: int) -> int:
        """The time from which the results of a group are given by the window, and for good."""
        return self._exact_from(self.kind.groups[group], self.limit)

    def add(self, variable: int, time: int, value: float) -> Taken:
        """Take one value; `variable` is its index in the plan, `value` is finite."""
        if time < self._floor:
            return self._add_late(variable, time, value)
        times = self._times[variable]
        if not times or time > times[-1]:
            times.append(time)
            self._values[variable].append(value)
        elif not self._put(variable, bisect_left(times, time), time, value):
            return Taken.REPEATED
        for group in self.kind.groups_of[variable]:
            self.pending[group].setdefault(time, 0)
        if time > self.newest:
            self.newest = time
            limit = time - self._horizon
            if limit > self._floor:
                self._floor = limit
        self._added += (variable, time, value)
        return Taken.USED

    def _put(self, variable: int, place: int, time: int, value: float) -> bool:
        """Store a value at its place; False if it is there already."""
        times, values = self._times[variable], self._values[variable]
        if place < len(times) and times[place] == time:
            if values[place] == value:
                return False
            values[place] = value
        else:
            times.insert(place, time)
            values.insert(place, value)
        return True

    def _add_late(self, variable: int, time: int, value: float) -> Taken:
        """Take a value older than the newest tick: results already given may change."""
        times = self._times[variable]
        limit = self.limit
        if time < limit:
            last = bisect_right(times, limit) - 1
            if last >= 0 and times[last] > time:
                return Taken.TOO_LATE
        place = bisect_left(times, time)
        known = place < len(times) and times[place] == time
        if known and self._values[variable][place] == value:
            return Taken.REPEATED
        following = place + known
        end = times[following] if following < len(times) else None
        taken = Taken.USED
        for group in self.kind.groups_of[variable]:
            start = time
            if time < limit:
                start = max(time, self._exact_from(self.kind.groups[group], limit))
            if start == time:
                self._mark(group, start, end)
                # Where the tick is not pending by now, it is new.
                self.pending[group].setdefault(time, 0)
            else:
                taken = Taken.USED_PARTLY
                if end is None or start < end:
                    self._mark(group, start, end)
        self._put(variable, place, time, value)
        self._added += (variable, time, value)
        return taken

    def _mark(self, group: int, start: int, end: int | None) -> None:
        """Make the ticks in [start, end) pending again; call it before the change is stored."""
        covered = self._covered[group]
        stop = covered if end is None or end > covered else end
        inputs = self.kind.groups[group].inputs
        known_from = self._known_from(inputs)
        pending, revisions = self.pending[group], self._revisions[group]
        for other in inputs:
            times = self._times[other]
            low = bisect_left(times, start)
            for tick in times[low : bisect_left(times, stop, low)]:
                if tick not in pending:
                    if known_from is not None and tick >= known_from:
                        pending[tick] = revisions.get(tick, 0) + 1
                        self._revised = True
                    else:
                        pending[tick] = 0
        if end is None or end >= covered:
            self._covered[group] = min(start, covered)

    def _known_from(self, inputs: tuple[int, ...]) -> int | None:
        """The time from which all these variables are known; None if one never was."""
        latest = 0
        for variable in inputs:
            times = self._times[variable]
            if not times:
                return None
            latest = max(latest, times[0])
        return latest

    def _exact_from(self, group: Group, limit: int) -> int:
        """The time from which a group's results are exact; at or before the limit."""
        latest = 0
        for variable in group.inputs:
            times = self._times[variable]
            last = bisect_right(times, limit) - 1
            if last >= 0:
                latest = max(latest, times[last])
        return latest

    def due(self, group: int) -> list[int]:
        """The pending ticks of a group for which all inputs are known, in order of time."""
        pending = self.pending[group]
        known_from = self._known_from(self.kind.groups[group].inputs)
        if not pending or known_from is None:
            return []
        if len(pending) == 1:
            (tick,) = pending
            return [tick] if tick >= known_from else []
        ticks = sorted(pending)
        return ticks if ticks[0] >= known_from else ticks[bisect_left(ticks, known_from) :]

    def revisions(self, group: int, ticks: list[int]) -> list[int]:
        """The revisions of results that are given now; they count as given from here on."""
        if not self._revised:
            return [0] * len(ticks)
        pending, given = self.pending[group], self._revisions[group]
        revisions = [pending[tick] for tick in ticks]
        for tick, revision in zip(ticks, revisions, strict=True):
            if revision:
                given[tick] = revision
        return revisions

    def extend(self, columns: list[array[float]], group: int, ticks: list[int]) -> None:
        """Append to each input's column its value at each of these due ticks, in order of time."""
        count = len(ticks)
        if count == 1:
            # Most batches of a plant with many assets hold one tick of each.
            (tick,) = ticks
            for column, variable in zip(columns, self.kind.groups[group].inputs, strict=True):
                times, values = self._times[variable], self._values[variable]
                column.append(values[-1 if tick >= times[-1] else bisect_right(times, tick) - 1])
            return
        for column, variable in zip(columns, self.kind.groups[group].inputs, strict=True):
            times, values = self._times[variable], self._values[variable]
            low = bisect_right(times, ticks[0]) - 1
            high = bisect_right(times, ticks[-1], low)
            if high - low == 1:
                column.extend(values[low:high] * count)
            elif high - low == count and times[low:high].tolist() == ticks:
                column.extend(values[low:high])
            else:
                here = 0
                for place in range(low, high - 1):
                    after = bisect_left(ticks, times[place + 1], here)
                    column.extend(values[place : place + 1] * (after - here))
                    here = after
                column.extend(values[high - 1 : high] * (count - here))

    def give_again(self, start: int) -> None:
        """Have the results of all ticks from this time on given again, with a higher revision.

        Those that the window can give: before `exact_from` a recomputation does.
        """
        for group in range(len(self.pending)):
            self._mark(group, max(start, self.exact_from(group)), None)

    def take_added(self) -> Added:
        """Variables, times and values of what was used since the last call, in that order."""
        added, self._added = self._added, []
        return array("H", added[::3]), array("q", added[1::3]), array("d", added[2::3])

    def count_as_given(self) -> None:
        """End a batch whose results were given before; it is not new either."""
        for group in range(len(self.kind.groups)):
            self.revisions(group, self.due(group))
        self.settle()
        self._added.clear()

    def kept(self) -> Kept:
        """What a window like this one can be made of; of a settled one."""
        limit = self.limit
        values = []
        for times, numbers in zip(self._times, self._values, strict=True):
            first = max(0, bisect_right(times, limit) - 1)
            values.append((times[first:], numbers[first:]))
        self._drop_revisions(limit)
        return Kept(values, self._revisions)

    def restore(self, kept: Kept, newest: int) -> None:
        """Become the window that this was kept of, at that newest time."""
        self._times = [times for times, _ in kept.values]
        self._values = [values for _, values in kept.values]
        self._revisions = kept.revisions
        self.newest = newest
        self.settle()

    def settle(self) -> None:
        """End a batch: nothing is pending any more, what is beyond need is dropped."""
        self.touched = False
        self._floor = self.newest + 1
        for group, pending in enumerate(self.pending):
            pending.clear()
            self._covered[group] = self._floor
        if self._revised:
            self._revised = False
            if sum(map(len, self._revisions)) > self._room:
                self._drop_revisions(self.limit)
        self._settled += 1
        if self._settled % _ROUNDS == 0:
            self._drop_values(self.limit)

    def _drop_values(self, limit: int) -> None:
        for times, values in zip(self._times, self._values, strict=True):
            if len(times) > _LOT and times[len(times) // 2] <= limit:
                gone = bisect_right(times, limit) - 1
                del times[:gone]
                del values[:gone]

    def _drop_revisions(self, limit: int) -> None:
        for number, group in enumerate(self.kind.groups):
            oldest = self._exact_from(group, limit)
            given = self._revisions[number]
            self._revisions[number] = {k: v for k, v in given.items() if k >= oldest}
        self._room = 2 * sum(map(len, self._revisions)) + _LOT
