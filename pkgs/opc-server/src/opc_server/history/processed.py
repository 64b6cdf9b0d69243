"""The aggregate Count of a variable: ReadProcessedDetails (OPC 10000-13)."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace

import numpy as np
from fieldline.record import Archive, count
from fieldline.record.count import BAD, GOOD, UNCERTAIN
from numpy.typing import NDArray

from opc_server.opcua import ObjectIds, StatusCodes, node_id

COUNT = node_id(int(ObjectIds.AggregateFunction_Count), 0)
# Counters in one answer: 12 MB while they are made.
CELLS = 500_000
# Of a status code: it is a value's, which was calculated; its interval is not a whole one.
CALCULATED, PARTIAL = 0x0401, 0x0404

_FORM = struct.Struct("<BBqqqBB")
_TAG = 2
_BACKWARD, _UNCERTAIN_IS_BAD = 1, 2


@dataclass(frozen=True, slots=True)
class Quality:
    """How an interval's status follows from its values' (AggregateConfiguration).

    Attributes:
        uncertain_is_bad: values of Uncertain status are not counted.
        percent_bad, percent_good: from which share of the values on it is Bad, or Good.
    """

    uncertain_is_bad: bool = False
    percent_bad: int = 100
    percent_good: int = 100

    @property
    def possible(self) -> bool:
        """Whether the percentages leave each interval one status."""
        return (
            self.percent_bad <= 100
            and self.percent_good <= 100
            and self.percent_good >= 100 - self.percent_bad
        )


DEFAULT_QUALITY = Quality()


@dataclass(frozen=True, slots=True)
class Counted:
    """The counts of some variables.

    Attributes:
        times: where each interval begins, ns since 1970; shape (intervals,).
        statuses: uint32; Bad without a count where the record has nothing of that time; shape
            (variables, intervals).
        counts: shape (variables, intervals).
        there: whether there is a count; shape (intervals,).
    """

    times: NDArray[np.int64]
    statuses: NDArray[np.uint32]
    counts: NDArray[np.int64]
    there: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CountRead:
    """What is still to be counted; as bytes it is the continuation point.

    Attributes:
        start_ns, end_ns: the intervals' begin, included, and their end, not included; backward
            where the end is earlier.
        step_ns: the length of an interval.
        quality: how statuses are treated.
    """

    start_ns: int
    end_ns: int
    step_ns: int
    quality: Quality = DEFAULT_QUALITY

    @classmethod
    def of(
        cls, start_ns: int, end_ns: int, interval_ms: float, quality: Quality
    ) -> CountRead | None:
        """The request; None where it gives no interval."""
        length = abs(end_ns - start_ns)
        if length == 0 or not math.isfinite(interval_ms) or interval_ms < 0:
            return None
        step = round(interval_ms * 1e6) if interval_ms else length
        return cls(start_ns, end_ns, max(1, min(step, length)), quality)

    def to_bytes(self) -> bytes:
        """The continuation point."""
        quality = self.quality
        flags = _BACKWARD * self.backward + _UNCERTAIN_IS_BAD * quality.uncertain_is_bad
        return _FORM.pack(
            _TAG,
            flags,
            self.start_ns,
            self.end_ns,
            self.step_ns,
            quality.percent_bad,
            quality.percent_good,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> CountRead | None:
        """Read a continuation point; None where it is none."""
        if len(data) != _FORM.size:
            return None
        tag, flags, start, end, step, bad, good = _FORM.unpack(data)
        quality = Quality(bool(flags & _UNCERTAIN_IS_BAD), bad, good)
        read = cls(start, end, step, quality)
        if tag != _TAG or min(start, end) < 0 or start == end or step < 1 or not quality.possible:
            return None
        return read if read.backward == bool(flags & _BACKWARD) else None

    @property
    def backward(self) -> bool:
        """From later to earlier intervals."""
        return self.end_ns < self.start_ns

    def most(self, variables: int) -> int:
        """How many intervals may be counted at once."""
        return max(1, CELLS // max(1, variables))

    def page(
        self, archive: Archive, variables: list[int], every: int, most: int
    ) -> tuple[Counted, CountRead | None]:
        """Count the next intervals, `most` of them at most, of several variables at once.

        Args:
            archive: refreshed.
            variables: their places there.
            every: how many variables the archive is asked for.
            most: above 0.
        Returns:
            The counts, and what is still to be counted.
        """
        length = abs(self.end_ns - self.start_ns)
        intervals = -(-length // self.step_ns)
        taken = min(intervals, most)
        whole = taken < intervals
        # Distances from the start, of all intervals' begins and of the last one's end.
        at = np.arange(taken + 1, dtype=np.int64) * self.step_ns
        if not whole:
            at[-1] = length
        if self.backward:
            # Includes the later end and not the earlier one.
            times = self.start_ns - at
            edges = times[::-1] + 1
        else:
            edges = times = self.start_ns + at
        found = count(archive, edges, every)
        if self.backward:
            found = found[:, ::-1]
        partial = np.zeros(taken, np.bool_)
        partial[-1] = not whole and length % self.step_ns != 0
        # Late values may be a little older than the oldest segment's begin.
        there = self._within(archive, edges)[:: -1 if self.backward else 1] | found.any(axis=(0, 2))
        counted = self._counted(times[:-1], found[:, :, variables], partial, there)
        return counted, replace(self, start_ns=int(times[-1])) if whole else None

    def _within(self, archive: Archive, edges: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which intervals [edges[i], edges[i + 1]) the record's own time touches at all."""
        reach = archive.reach()
        if reach is None:
            return np.zeros(len(edges) - 1, np.bool_)
        within: NDArray[np.bool_] = (edges[1:] > reach[0]) & (edges[:-1] <= reach[1])
        return within

    def _counted(
        self,
        times: NDArray[np.int64],
        found: NDArray[np.int64],
        partial: NDArray[np.bool_],
        there: NDArray[np.bool_],
    ) -> Counted:
        """From the counts of each severity, shape (3, intervals, variables)."""
        quality = self.quality
        found = found.swapaxes(1, 2)
        good, uncertain, bad = found[GOOD], found[UNCERTAIN], found[BAD]
        counts = good
        if quality.uncertain_is_bad:
            bad = bad + uncertain
        else:
            counts = good + uncertain
        all_values = found.sum(axis=0)
        statuses = np.full(good.shape, int(StatusCodes.UncertainDataSubNormal), np.uint32)
        statuses[bad * 100 >= quality.percent_bad * all_values] = int(StatusCodes.Bad)
        statuses[good * 100 >= quality.percent_good * all_values] = int(StatusCodes.Good)
        statuses |= np.where(partial, CALCULATED | PARTIAL, CALCULATED).astype(np.uint32)
        statuses[:, ~there] = int(StatusCodes.BadNoData)
        return Counted(times, statuses, counts, there)
