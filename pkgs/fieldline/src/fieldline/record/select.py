"""The values of one variable within an interval, in the order of time, some at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fieldline.record.archive import Archive
from fieldline.record.format import ENTRY, LATENESS_NS
from fieldline.record.segment import EARLIEST, LATEST, Segment

NOTHING = np.empty(0, ENTRY)


class Position(NamedTuple):
    """Where to go on: at this source time, of which `given` values were given already."""

    time_ns: int
    given: int = 0


@dataclass(frozen=True, slots=True)
class Selection:
    """What was found.

    Attributes:
        entries: of the type `ENTRY`, in the direction asked for; shape (n,).
        rest: where the rest begins, or None where there is none.
    """

    entries: NDArray[np.void]
    rest: Position | None


class _Found:
    """The first entries in one direction, of those seen so far; `most` of them are enough."""

    def __init__(self, most: int, backward: bool) -> None:
        self.entries = NOTHING
        self._most = most
        self._sign = -1 if backward else 1

    def add(self, entries: NDArray[np.void]) -> None:
        """Take more of them, in this direction."""
        if not len(self.entries):
            self.entries = entries[: self._most]
            return
        joined = np.concatenate((self.entries, entries))
        times = joined["time"] * self._sign
        if (times[1:] < times[:-1]).any():
            joined = joined[np.argsort(times, kind="stable")]
        self.entries = joined[: self._most]

    def complete(self, bound: int) -> bool:
        """Whether what lies at the source time `bound` or beyond would change nothing."""
        full = len(self.entries) >= self._most
        return full and int(self.entries["time"][-1]) * self._sign <= bound * self._sign


def select(
    archive: Archive,
    variable: int,
    begin: Position,
    end_ns: int,
    limit: int,
    *,
    backward: bool = False,
    deadline: float | None = None,
) -> Selection:
    """Find the values of a variable from `begin` on, which is included, to `end_ns`, which is not.

    Args:
        archive: refreshed.
        variable: its place among the archive's variables.
        begin: as `Selection.rest` gave it, or the begin of the interval.
        end_ns: source time; earlier than `begin` where `backward`.
        limit: how many values at most, above 0.
        backward: from later to earlier times.
        deadline: `time.monotonic()` at which to give what was found so far; there is always some
            progress.
    """
    since, until = (end_ns + 1, begin.time_ns + 1) if backward else (begin.time_ns, end_ns)
    since, until = max(since, EARLIEST), min(until, LATEST)
    found = _Found(begin.given + limit + 1, backward)
    if since >= until:
        return Selection(NOTHING, None)
    for segment, number, bound in _blocks(archive, variable, since, until, backward):
        first, last = archive.span(segment, number)
        near = last if backward else first
        if first < until and last >= since and not found.complete(near):
            found.add(_of_block(archive, segment, number, variable, since, until, backward))
        if found.complete(bound) or (bound < since if backward else bound >= until):
            break
        advanced = bound < begin.time_ns if backward else bound > begin.time_ns
        if deadline is not None and advanced and time.monotonic() >= deadline:
            return _unfinished(found.entries, begin, bound, limit, backward)
    return _part(found.entries, begin, limit)


def _part(entries: NDArray[np.void], begin: Position, limit: int) -> Selection:
    """The values after the ones given already, `limit` of them at most."""
    # Some that were given may be gone meanwhile; no other value is passed over for them.
    given = min(begin.given, int(np.count_nonzero(entries["time"] == begin.time_ns)))
    taken = entries[: given + limit]
    if len(entries) == len(taken):
        return Selection(taken[given:], None)
    last = int(taken["time"][-1])
    return Selection(taken[given:], Position(last, int(np.count_nonzero(taken["time"] == last))))


def _unfinished(
    entries: NDArray[np.void], begin: Position, bound: int, limit: int, backward: bool
) -> Selection:
    """What is certain: the values before `bound`, in this direction; the rest begins there."""
    times = entries["time"]
    certain = entries[times > bound if backward else times < bound]
    part = _part(certain, begin, limit)
    return Selection(part.entries, part.rest or Position(bound))


def _blocks(
    archive: Archive, variable: int, since: int, until: int, backward: bool
) -> Iterator[tuple[Segment, int, int]]:
    """The blocks to look at: segment, number, and the source time at which all others may begin.

    Within a segment source times rise, but that a value may come LATENESS_NS late; segments may
    overlap.
    """
    segments = [
        segment
        for segment in archive.segments(since, until)
        if segment.layout is not None and segment.layout.place[variable] >= 0
    ]
    if backward:
        segments.sort(key=lambda segment: segment.high(), reverse=True)
    for place, segment in enumerate(segments):
        following = EARLIEST if backward else LATEST
        if place + 1 < len(segments):
            other = segments[place + 1]
            following = other.high() if backward else other.low
        numbers = archive.blocks(segment, since, until)
        bound = segment.high() if backward else segment.low
        for number in reversed(numbers) if backward else numbers:
            first, last = archive.span(segment, number)
            if number == numbers[0 if backward else -1]:
                bound = following
            elif first <= last:
                if backward:
                    bound = max(min(bound, first + LATENESS_NS), following)
                else:
                    bound = min(max(bound, last - LATENESS_NS), following)
            yield segment, number, bound


def _of_block(
    archive: Archive,
    segment: Segment,
    number: int,
    variable: int,
    since: int,
    until: int,
    backward: bool,
) -> NDArray[np.void]:
    """The variable's entries of a block within the interval, in the direction asked for."""
    assert segment.layout is not None
    places = archive.index(segment, number).places(int(segment.layout.place[variable]))
    entries = archive.entries(segment, number)[places]
    begin, end = np.searchsorted(entries["time"], (since, until))
    inside = entries[begin:end]
    return inside[::-1] if backward else inside
