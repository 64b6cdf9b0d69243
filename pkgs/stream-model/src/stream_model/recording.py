"""The values of one asset around a repair, as far as the log was read.

A value holds from its source time to that of its variable's next value. A tick is *affected* if one
of the values that hold there is a late one: its record stands at or behind the repair's mark, its
time lies between the repair's first and last. What holds at no affected tick need not be kept.

A value that holds at a tick is known *exactly* if no other one can stand between them. Where the
log was read from the record of a time on, all older records have source times before that time and
the lead; and from the window's own last value before the horizon on, its variable is complete.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stream_model.repairs import Repair
from stream_model.window import Window

Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# The place of a value that the window knows and whose record may be out of reach.
_WINDOW = -1
# Before all source times.
EVER = -1


class Series(NamedTuple):
    """One variable's values, by source time, each with the time at which it ends to hold.

    late: the values that the repair is about. complete: from this time on, all values are there.
    exact: from this place on, they are known exactly.
    """

    times: Ints
    ends: Ints
    values: Reals
    late: Bools
    complete: int
    exact: int


class _Rows:
    """One variable's values, with the offsets of their records; in order once they are settled."""

    __slots__ = ("floor", "offsets", "times", "values")

    def __init__(self) -> None:
        self.times = array("q")
        self.offsets = array("q")
        self.values = array("d")
        # What is older holds at no tick that is asked for.
        self.floor = EVER

    def add(self, time: int, offset: int, value: float) -> None:
        self.times.append(time)
        self.offsets.append(offset)
        self.values.append(value)

    def arrays(self) -> tuple[Ints, Ints, Reals]:
        """Copies, since an array cannot grow while it is looked at."""
        return np.array(self.times), np.array(self.offsets), np.array(self.values)

    def keep(self, times: Ints, offsets: Ints, values: Reals) -> None:
        self.times = array("q", times.tobytes())
        self.offsets = array("q", offsets.tobytes())
        self.values = array("d", values.tobytes())

    def settle(self, repair: Repair) -> tuple[Ints, Ints, Reals, Bools]:
        """Sort, and drop what is overwritten; gives times, offsets, values, and which are late.

        Of one time two values may stay: the last one before the mark, and the last one of all.
        """
        times, offsets, values = self.arrays()
        order = np.lexsort((offsets, times))
        times, offsets, values = times[order], offsets[order], values[order]
        before = offsets < repair.mark
        stays = _last_of_time(times)
        # Those before the mark stand first; the last of them is the one that another one follows.
        stays[:-1] |= before[:-1] & ~before[1:]
        times, offsets, values = times[stays], offsets[stays], values[stays]
        self.keep(times, offsets, values)
        late = (offsets >= repair.mark) & (times >= repair.first) & (times <= repair.last)
        # What came again says nothing new; but what the window has may be the late one itself.
        again = (times[1:] == times[:-1]) & (values[1:] == values[:-1]) & (offsets[:-1] != _WINDOW)
        late[1:] &= ~again
        return times, offsets, values, late


def _last_of_time(times: Ints) -> Bools:
    last = np.ones(len(times), np.bool_)
    last[:-1] = times[1:] != times[:-1]
    return last


class Recording:
    """What a recomputation has read of one asset.

    start, until: ticks are given from and before there; less than was asked for, if memory is
    short: cut is then where to go on. low: no tick before it is affected. groups: those that can
    have results there; ends: from there on, the window gives those of each, now and later.

    Args:
        window: of the asset, as it is when the recomputation begins.
        whole: the window has seen all that there ever was, so that a variable of which it has no
            value before the horizon had none.
    """

    def __init__(self, window: Window, repair: Repair, *, whole: bool) -> None:
        self.name = window.name
        self.kind = kind = window.kind
        self.repair = repair
        self.start = self.low = repair.done
        self.until = repair.end
        self.cut: int | None = None
        self.ends = [window.exact_from(group) for group in range(len(kind.groups))]
        known = [window.known(variable) for variable in range(len(kind.names))]
        self.groups = [
            number
            for number, group in enumerate(kind.groups)
            if not whole or all(known[variable] is not None for variable in group.inputs)
        ]
        used = {variable for number in self.groups for variable in kind.groups[number].inputs}
        self._rows = {variable: _Rows() for variable in sorted(used)}
        # From there on the window knows all values of a variable.
        self._complete: dict[int, int] = {}
        # The last late value of each variable that no other was seen to follow yet; when the last
        # of them was followed.
        self._open: dict[int, int] = {}
        self._followed = EVER
        self._marked = False
        for variable, rows in self._rows.items():
            last = known[variable]
            if last is not None:
                self._complete[variable] = last[0]
                if last[0] < self.until:
                    rows.add(last[0], _WINDOW, last[1])

    def __len__(self) -> int:
        """How many values it holds."""
        return sum(len(rows.times) for rows in self._rows.values())

    def add(self, variable: int, time: int, value: float, offset: int) -> None:
        """Take a value as it is read."""
        rows = self._rows.get(variable)
        if rows is not None and rows.floor <= time < self.until:
            rows.add(time, offset, value)
            if self._open and time > self._open.get(variable, time):
                del self._open[variable]
                self._followed = max(self._followed, time)
                if not self._open:
                    # Nothing is affected from here on; most of the log is newer than a hole in it.
                    self.until = min(self.until, self._followed)

    def marked(self) -> bool:
        """All records behind the mark have been read: find the late values; False if none is."""
        self._marked = True
        for variable, rows in self._rows.items():
            times, offsets, _, late = rows.settle(self.repair)
            if late.any():
                last = int(times[late][-1])
                later = times[(times > last) & (offsets != _WINDOW)]
                if len(later):
                    self._followed = max(self._followed, int(later[0]))
                else:
                    self._open[variable] = last
        if not self._open:
            self.until = min(self.until, max(self._followed, self.start))
        return self.prune()

    def prune(self) -> bool:
        """Drop what holds at no affected tick; False if there is none.

        Before it is `marked`, each tick may be affected.
        """
        found = self.series(EVER)
        starts, ends = np.array([self.start]), np.array([self.until])
        if self._marked:
            starts, ends = self.affected(found)
        if len(starts):
            self.low = int(starts[0])
        for variable, rows in self._rows.items():
            one = found[variable]
            holds = _meet(one.times, one.ends, starts, ends)
            # What ends a late value must stay, or that would hold for longer.
            holds[1:] |= one.late[:-1] & holds[:-1]
            # A value may stand there twice, with and without the late one.
            times, offsets, values = rows.arrays()
            needed = holds[np.searchsorted(one.times, times)]
            rows.keep(times[needed], offsets[needed], values[needed])
            if len(rows.times) and rows.times[0] <= self.low:
                rows.floor = rows.times[0]
        return len(starts) > 0

    def halve(self) -> bool:
        """Give up the later half in time of what it holds; its ticks are left for another time.

        False if there is no less.
        """
        times = np.concatenate([rows.arrays()[0] for rows in self._rows.values()])
        times = times[(times > self.start) & (times < self.until)]
        if not len(times):
            return False
        self.until = self.cut = int(np.partition(times, len(times) // 2)[len(times) // 2])
        for rows in self._rows.values():
            columns = rows.arrays()
            earlier = columns[0] < self.until
            rows.keep(columns[0][earlier], columns[1][earlier], columns[2][earlier])
        return True

    def series(self, complete_from: int) -> dict[int, Series]:
        """The values of each variable, one of a time.

        Args:
            complete_from: all values from this time on have been read.
        """
        found = {}
        for variable, rows in self._rows.items():
            times, _, values, late = rows.settle(self.repair)
            last = _last_of_time(times)
            times, values, late = times[last], values[last], late[last]
            ends = np.append(times[1:], self.until)[: len(times)]
            complete = min(complete_from, self._complete.get(variable, complete_from))
            exact = int(np.searchsorted(times, complete))
            found[variable] = Series(times, ends, values, late, complete, exact)
        return found

    def affected(self, found: dict[int, Series]) -> tuple[Ints, Ints]:
        """Where a late value holds, from `start` to `until`: intervals [start, end), in order."""
        none = np.empty(0, np.int64)
        parts = [(one.times[one.late], one.ends[one.late]) for one in found.values()]
        starts = np.maximum(np.concatenate([none, *(part[0] for part in parts)]), self.start)
        ends = np.minimum(np.concatenate([none, *(part[1] for part in parts)]), self.until)
        there = starts < ends
        starts, ends = starts[there], ends[there]
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], np.maximum.accumulate(ends[order])
        new = np.ones(len(starts), np.bool_)
        new[1:] = starts[1:] > ends[:-1]
        final = np.ones(len(starts), np.bool_)
        final[:-1] = new[1:]
        return starts[new], ends[final]

    def first_affected(self, found: dict[int, Series], group: int) -> int | None:
        """The first time at which a late value holds that a group takes; None if there is none."""
        firsts = [
            one.times[one.late & (one.ends > self.start) & (one.times < self.until)][:1]
            for one in self.inputs(found, group)
        ]
        first = int(np.concatenate(firsts).min(initial=self.until))
        return max(self.start, first) if first < min(self.until, self.ends[group]) else None

    def inputs(self, found: dict[int, Series], group: int) -> list[Series]:
        """The values of a group's inputs."""
        return [found[variable] for variable in self.kind.groups[group].inputs]

    def lacks(self, found: dict[int, Series]) -> bool:
        """Whether older values are needed to know the first affected ticks exactly."""
        for group in self.groups:
            first = self.first_affected(found, group)
            if first is not None and any(
                one.exact == len(one.times) or one.times[one.exact] > first
                for one in self.inputs(found, group)
            ):
                return True
        return False

    def unknowable(self, found: dict[int, Series]) -> list[int]:
        """First and last time of where even ticks may be missing, as their records are gone."""
        times: list[int] = []
        for group in self.groups:
            first = self.first_affected(found, group)
            complete = max(one.complete for one in self.inputs(found, group))
            if first is not None and first < complete:
                times += [first, min(complete, self.until, self.ends[group]) - 1]
        return times

    def ticks(self, found: dict[int, Series]) -> Ints:
        """The affected ticks, in order."""
        starts, ends = self.affected(found)
        ticks = np.concatenate([one.times for one in found.values()])
        # Each variable's are in order already, so that this is a merging.
        ticks.sort(kind="stable")
        ticks = ticks[_last_of_time(ticks)]
        return ticks[_meet(ticks, ticks + 1, starts, ends)]


class Events(NamedTuple):
    """A group's results that are to be given: ticks, and for each input its values there.

    unknown: ticks at which a result may be due, but not all inputs are known exactly.
    """

    ticks: Ints
    columns: list[Reals]
    unknown: Ints


def events(inputs: Sequence[Series], ticks: Ints) -> Events:
    """What a group of models with these inputs has to give again at some of the affected ticks."""
    own, late, exact = (np.zeros(len(ticks), np.bool_) for _ in range(3))
    exact[:] = True
    places = []
    for one in inputs:
        place = np.searchsorted(one.times, ticks, side="right") - 1
        places.append(place)
        exact &= place >= one.exact
        there = place >= 0
        if there.any():
            own |= there & (one.times[place] == ticks)
            late |= there & one.late[place]
    due = own & late
    given = due & exact
    columns = [one.values[place[given]] for one, place in zip(inputs, places, strict=True)]
    return Events(ticks[given], columns, ticks[due & ~exact])


def _meet(start: Ints, end: Ints, starts: Ints, ends: Ints) -> Bools:
    """Which of the intervals [start, end) meet one of those in order."""
    if not len(starts):
        return np.zeros(len(start), np.bool_)
    place = np.searchsorted(ends, start, side="right")
    there = place < len(starts)
    place[~there] = 0
    return there & (starts[place] < end)
