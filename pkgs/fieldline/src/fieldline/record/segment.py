"""A segment as a reader of history keeps it: a block of entries at a time, without an open file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fieldline.record.format import (
    ENTRY,
    LATENESS_NS,
    MAGIC,
    SEGMENT_SPAN_NS,
    RecordFormatError,
    decode_header,
    is_entry,
    segment_begin,
)

# Entries in a block: 1.5 MiB to read, and a place in it takes two bytes.
BLOCK = 65_536
# Source times of a segment rise but for late ones, so that its last few entries tell its end.
TAIL = 4_096
# A header of 100,000 variables with long names; what is longer is none.
HEADER_BYTES = 16 * 1024 * 1024
# No entry has these times: a block without entries lies nowhere.
LATEST, EARLIEST = np.iinfo(np.int64).max, np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Layout:
    """What a header says of the variables that are asked for.

    Attributes:
        digest: of the header's bytes.
        variables: how many the segment lists.
        place: int64, the place there of each variable that is asked for, or -1; shape
            (variables asked for,).
    """

    digest: bytes
    variables: int
    place: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Index:
    """Where the entries of each variable stand in a block, in the order of time.

    Attributes:
        order: uint16, places in the block by variable, then time; shape (entries,).
        starts: uint32, where in `order` each variable begins; shape (variables + 1,).
    """

    order: NDArray[np.uint16]
    starts: NDArray[np.uint32]

    @classmethod
    def of(cls, entries: NDArray[np.void], variables: int, begin_ns: int) -> Index:
        """The index of a block of a segment that begins with `begin_ns`; 1 to 2 ms."""
        right = is_entry(entries, variables, begin_ns)
        places = np.flatnonzero(right).astype(np.uint16)
        variable, time = entries["variable"][places], entries["time"][places]
        # NumPy sorts 16 bits by their value, without comparing.
        key = variable.astype(np.uint16) if variables <= 65_536 else variable
        order = np.argsort(key, kind="stable")
        variable, time = variable[order], time[order]
        if ((variable[1:] == variable[:-1]) & (time[1:] < time[:-1])).any():
            again = np.lexsort((time, variable))
            order = order[again]
        starts = np.zeros(variables + 1, np.uint32)
        np.cumsum(np.bincount(variable, minlength=variables), out=starts[1:])
        return cls(places[order], starts)

    def places(self, variable: int) -> NDArray[np.uint16]:
        """The places of the variable's entries, in the order of time."""
        return self.order[self.starts[variable] : self.starts[variable + 1]]

    @property
    def nbytes(self) -> int:
        """What it takes in memory, in bytes."""
        return self.order.nbytes + self.starts.nbytes


class Segment:
    """One segment; `look` tells how far it has come.

    Attributes:
        entries: how many there are, whole ones, right or wrong.
        torn: bytes behind the last whole entry.
        changed_ns: when the file was last written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.begin = segment_begin(path.name)
        self.layout: Layout | None = None
        self.entries = 0
        self.torn = 0
        self.changed_ns = 0
        # The stamp that it was found with, and the block's first and last source time.
        self.spans: dict[int, tuple[tuple[int, int], int, int]] = {}
        self._offset = 0
        self._end: tuple[tuple[int, int], int] | None = None

    def open(self, layouts: dict[bytes, Layout], wanted: Mapping[tuple[str, str], int]) -> bool:
        """Read the header, if that was not done yet.

        Args:
            layouts: the ones known already, by digest; a new one is added.
            wanted: (asset, variable) → its place among the variables that are asked for.
        Returns:
            False where the header is not there yet, or is cut short.
        Raises:
            RecordFormatError: this is no segment.
            OSError: the file cannot be read.
        """
        if self.layout is not None:
            return True
        header = self._header()
        if header is None:
            return False
        digest = hashlib.blake2b(header, digest_size=16).digest()
        if digest not in layouts:
            decoded = decode_header(header)
            assert decoded is not None, "a header with its end"
            place = np.full(len(wanted), -1, np.int64)
            for number, variable in enumerate(decoded[0]):
                index = wanted.get((variable.asset, variable.variable))
                if index is not None and place[index] < 0:
                    place[index] = number
            layouts[digest] = Layout(digest, len(decoded[0]), place)
        self.layout, self._offset = layouts[digest], len(header)
        return True

    def _header(self) -> bytes | None:
        with self.path.open("rb") as file:
            magic = file.read(len(MAGIC))
            if decode_header(magic) is None and magic != MAGIC:
                return None
            line = file.readline(HEADER_BYTES)
        if line.endswith(b"\n"):
            return magic + line
        if len(line) == HEADER_BYTES:
            raise RecordFormatError(
                "The list of variables of a record's segment has no end; remove that segment.",
                f"{len(line)} bytes without one",
            )
        return None

    def look(self) -> None:
        """See how far the segment has come.

        Raises:
            OSError: it is gone.
        """
        status = self.path.stat()
        self.entries, self.torn = divmod(max(0, status.st_size - self._offset), ENTRY.itemsize)
        self.changed_ns = status.st_mtime_ns

    @property
    def blocks(self) -> int:
        """How many blocks there are; the last one may not be full."""
        return -(-self.entries // BLOCK)

    def stamp(self, number: int) -> tuple[int, int]:
        """What changes when the block does: only the last one grows."""
        last = number == self.blocks - 1
        return min(BLOCK, self.entries - number * BLOCK), self.changed_ns if last else 0

    def read(self, first: int, count: int) -> NDArray[np.void]:
        """Entries from `first` on, `count` of them or what is there, right or wrong.

        Raises:
            OSError: the file cannot be read.
        """
        file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size, begin = count * ENTRY.itemsize, self._offset + first * ENTRY.itemsize
            data = os.pread(file, size, begin)
        finally:
            os.close(file)
        return np.frombuffer(data, ENTRY, len(data) // ENTRY.itemsize)

    def right(self, entries: NDArray[np.void]) -> NDArray[np.bool_]:
        """Tell which of them can be entries of this segment; shape (n,)."""
        assert self.layout is not None
        return is_entry(entries, self.layout.variables, self.begin)

    @property
    def low(self) -> int:
        """No entry is before this source time."""
        return self.begin - LATENESS_NS

    def high(self) -> int:
        """No entry is after this source time.

        Raises:
            OSError: the file cannot be read.
        """
        stamp = self.entries, self.changed_ns
        if self._end is None or self._end[0] != stamp:
            first = max(0, self.entries - TAIL)
            tail = self.read(first, self.entries - first)
            times = tail["time"][self.right(tail)]
            end = self.begin + SEGMENT_SPAN_NS
            self._end = stamp, min(end, int(times.max()) + LATENESS_NS) if len(times) else end
        return self._end[1]
