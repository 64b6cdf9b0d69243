"""Whether a partition's log still is the one that was read, and if not, what is left of it.

A log may lose its end with a disk that had not written what it said it had. It is shorter then, or
has grown again, with other records at the same offsets, of which those behind the place where
somebody reads would look like the next ones. For that Kafka must have been started again, which
takes longer than `RESTART_MS`: between two records that were appended closer to each other the log
was not cut. Else the one that was read is read once more, and must be what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import ConsumerRecord

from gap_filler.trail import Mark, Trail

# The start of a broker alone takes 2 s at least.
RESTART_MS = 1_500

Records = Sequence[ConsumerRecord[Any, Any]]


@dataclass(frozen=True, slots=True)
class Next:
    """These records come next; none where all that came was read before."""

    records: Records


@dataclass(frozen=True, slots=True)
class Again:
    """Nothing is known yet: it is to be read on at `offset`."""

    offset: int


@dataclass(frozen=True, slots=True)
class Cut:
    """What was read is left only before the offset `end`; `read`: the end of what was read."""

    end: int
    read: int


class Proof:
    """Of each partition the newest record that was read, which the log must still have.

    Args:
        trails: hold older ones, for a log that has lost it.
    """

    def __init__(self, trails: Sequence[Trail]) -> None:
        self._trails = trails
        self._marks: dict[int, Mark] = {}
        for trail in trails:
            for number in {number for step in trail.steps for number in step.marks}:
                for mark in trail.marks(number):
                    self._read(number, mark)
        # Partitions that are read once more from the newest record on, which is no news then.
        self._repeated: set[int] = set()
        # By partition the end of what was read of a log that has lost some of it.
        self._lost: dict[int, int] = {}

    @property
    def doubted(self) -> frozenset[int]:
        """Partitions that have lost records, and of which it is not known yet what is left."""
        return frozenset(self._lost)

    @property
    def marks(self) -> dict[int, Mark]:
        """By partition the newest record that was read; older ones while some are doubted."""
        return dict(self._marks)

    def begin(self, number: int, offset: int) -> int:
        """Where to read a partition that goes on at `offset`: the newest record at the latest."""
        mark = self._marks.get(number)
        self._repeated.discard(number)
        if mark is None or offset <= mark.offset:
            return offset
        self._repeated.add(number)
        return mark.offset

    def given(self, number: int, records: Records) -> Next | Again | Cut:
        """Judge a partition's next records; they are at least one."""
        mark = self._marks.get(number)
        first, last = records[0], records[-1]
        if mark is None:
            self._read(number, Mark.of(last))
            return Next(records)
        if first.offset > mark.offset:
            pause_ms = first.timestamp - mark.appended_ms
            if number in self._lost or not 0 <= pause_ms <= RESTART_MS:
                return Again(self.begin(number, first.offset))
        elif last.offset >= mark.offset:
            there = next((r for r in records if r.offset == mark.offset), None)
            if there is None or Mark.of(there) != mark:
                return self._gone(number, mark, mark.offset)
            if number in self._lost:
                return Cut(mark.offset + 1, self._lost.pop(number))
        if number in self._repeated:
            self._repeated.discard(number)
            records = [record for record in records if record.offset > mark.offset]
        self._read(number, Mark.of(last))
        return Next(records)

    def ends(self, number: int, begin: int, end: int) -> Again | Cut | None:
        """Judge a partition by the ends of its log; None: nothing speaks against it."""
        mark = self._marks.get(number)
        if mark is not None and mark.offset >= end:
            return self._gone(number, mark, end)
        if mark is not None and mark.offset < begin:
            # Retention has removed it, and all that a position could rely on.
            del self._marks[number]
            if number in self._lost:
                return Cut(begin, self._lost.pop(number))
        return None

    def _gone(self, number: int, mark: Mark, end: int) -> Again | Cut:
        """The log has not this record, nor any from `end` on: look for an older one."""
        self._lost.setdefault(number, mark.offset + 1)
        older = [m for trail in self._trails for m in trail.marks(number) if m.offset < end]
        if not older:
            del self._marks[number]
            return Cut(0, self._lost.pop(number))
        self._marks[number] = max(older, key=lambda m: m.offset)
        return Again(self.begin(number, end))

    def _read(self, number: int, mark: Mark) -> None:
        before = self._marks.get(number)
        if before is None or mark.offset > before.offset:
            self._marks[number] = mark
