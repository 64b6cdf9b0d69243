"""Raw values of a variable: ReadRawModifiedDetails (OPC 10000-11, ReadRaw, and its Table 1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

import numpy as np
from fieldline.record import Archive, Position, select
from fieldline.record.format import ENTRY
from fieldline.record.segment import EARLIEST, LATEST
from numpy.typing import NDArray

from opc_server.opcua import StatusCodes

# Where there is no bounding value and no end of the interval either, the bound stands this far
# behind the last value (OPC 10000-11, Table 1).
BEYOND_NS = 1_000_000_000

_FORM = struct.Struct("<BBqIqII")
_TAG = 1
_BACKWARD, _BOUNDS, _BEGUN = 1, 2, 4


@dataclass(frozen=True, slots=True)
class RawRead:
    """What is still to be read; as bytes it is the continuation point, so that none is kept here.

    Attributes:
        backward: from later to earlier times.
        begin: where to go on, included.
        end_ns: where to end, not included; EARLIEST or LATEST where there is no end.
        most: values in one answer, 0 for no maximum.
        left: values in all, 0 for no maximum; given where there is no end.
        bounds: with bounding values.
        begun: the first bounding value was given.
    """

    backward: bool
    begin: Position
    end_ns: int
    most: int
    left: int
    bounds: bool
    begun: bool = False

    @classmethod
    def of(
        cls, start_ns: int | None, end_ns: int | None, most: int, bounds: bool
    ) -> RawRead | None:
        """The request; None where neither two times nor a time and a number are given.

        Args:
            start_ns, end_ns: None where not given.
            most: values at most; 0 for no maximum.
            bounds: with bounding values.
        """
        if start_ns is None or end_ns is None:
            if not most or start_ns is end_ns:
                return None
            if start_ns is None:
                assert end_ns is not None
                return cls(True, Position(end_ns), EARLIEST, 0, most, bounds)
            return cls(False, Position(start_ns), LATEST, 0, most, bounds)
        backward = end_ns < start_ns
        # Where both are equal, the value at that very time is asked for.
        end = end_ns + 1 if end_ns == start_ns else end_ns
        return cls(backward, Position(start_ns), end, most, 0, bounds)

    def to_bytes(self) -> bytes:
        """The continuation point."""
        flags = _BACKWARD * self.backward + _BOUNDS * self.bounds + _BEGUN * self.begun
        return _FORM.pack(_TAG, flags, *self.begin, self.end_ns, self.most, self.left)

    @classmethod
    def from_bytes(cls, data: bytes) -> RawRead | None:
        """Read a continuation point; None where it is none."""
        if len(data) != _FORM.size:
            return None
        tag, flags, time_ns, given, end_ns, most, left = _FORM.unpack(data)
        if tag != _TAG:
            return None
        return cls(
            bool(flags & _BACKWARD),
            Position(time_ns, given),
            end_ns,
            most,
            left,
            bool(flags & _BOUNDS),
            bool(flags & _BEGUN),
        )

    @property
    def _open(self) -> bool:
        return self.end_ns in (EARLIEST, LATEST)

    def page(
        self, archive: Archive, variable: int, most: int, deadline: float
    ) -> tuple[NDArray[np.void], RawRead | None]:
        """Read the next values.

        Args:
            archive: refreshed.
            variable: its place there.
            most: values at most, above 0.
            deadline: as for `select`.
        Returns:
            Entries, shape (n,), and what is still to be read.
        """
        room = min(most, self.most or most, self.left or most)
        parts = []
        if self.bounds and not self.begun:
            bound = self._first_bound(archive, variable)
            if bound is not None:
                parts.append(bound)
                room -= 1
        rest: Position | None = self.begin
        if room:
            found = select(
                archive,
                variable,
                self.begin,
                self.end_ns,
                room,
                backward=self.backward,
                deadline=deadline,
            )
            parts.append(found.entries)
            room -= len(found.entries)
            rest = found.rest
        entries = np.concatenate(parts)
        left = max(0, self.left - len(entries))
        if self.left and not left:
            return entries, None
        if rest is None and self.bounds:
            if room:
                last = self._last_bound(archive, variable, entries)
                return np.concatenate((entries, last)), None
            rest = self._behind(entries)
        if rest is None:
            return entries, None
        return entries, replace(self, begin=rest, left=left, begun=True)

    def _first_bound(self, archive: Archive, variable: int) -> NDArray[np.void] | None:
        """The value before the first time; None where there is one at that time."""
        at = self.begin.time_ns
        if len(select(archive, variable, Position(at), at + 1, 1).entries):
            return None
        return self._one(archive, variable, at, not self.backward, at)

    def _last_bound(
        self, archive: Archive, variable: int, entries: NDArray[np.void]
    ) -> NDArray[np.void]:
        """The value at the end or behind it."""
        if not self._open:
            return self._one(archive, variable, self.end_ns, self.backward, self.end_ns)
        last = int(entries["time"][-1]) if len(entries) else self.begin.time_ns
        return _not_found(last - BEYOND_NS if self.backward else last + BEYOND_NS)

    def _one(
        self, archive: Archive, variable: int, begin_ns: int, backward: bool, otherwise_ns: int
    ) -> NDArray[np.void]:
        """The first value from there on; if there is none, that it was not found."""
        end = EARLIEST if backward else LATEST
        found = select(archive, variable, Position(begin_ns), end, 1, backward=backward)
        return found.entries if len(found.entries) else _not_found(otherwise_ns)

    def _behind(self, entries: NDArray[np.void]) -> Position:
        """Where nothing but the last bound is left."""
        if not len(entries):
            return self.begin
        last = int(entries["time"][-1])
        given = int(np.count_nonzero(entries["time"] == last))
        if last == self.begin.time_ns:
            given += self.begin.given
        return Position(last, given)


def _not_found(time_ns: int) -> NDArray[np.void]:
    """A bounding value that there is not."""
    time_ns = max(EARLIEST, min(time_ns, LATEST))
    return np.array([(0, int(StatusCodes.BadBoundNotFound), time_ns, np.nan)], ENTRY)
