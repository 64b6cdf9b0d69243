"""The record as an archive that is read while it grows: its segments, blocks and damages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fieldline.record.format import (
    ENTRY,
    LATENESS_NS,
    SEGMENT_NAME,
    SEGMENT_SPAN_NS,
    RecordFormatError,
    RecordVariable,
    may_hold,
)
from fieldline.record.segment import BLOCK, EARLIEST, LATEST, Index, Layout, Segment

# What an archive keeps in memory at most. An entry costs two bytes of index, so that this is the
# index of 16 million entries, 4.6 h at 1,000 values/s; a block that is read takes 1.5 MiB.
INDEX_BYTES = 32 * 1024 * 1024
DATA_BYTES = 12 * 1024 * 1024

_Value = TypeVar("_Value", bound="NDArray[np.void] | Index")


class Damage(NamedTuple):
    """Something in the record's directory that cannot be read as it should be.

    Attributes:
        kind: `foreign` (a name that no segment has), `header` (no segment, or one without its list
            of variables), `torn` (an end cut short), `entries` (some that can be none) or
            `unreadable`.
    """

    file: str
    kind: str
    cause: str


class _Cache(Generic[_Value]):
    """What was used last, up to so many bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[tuple[str, int], tuple[tuple[int, int], _Value]] = OrderedDict()
        self.nbytes = 0

    def get(self, key: tuple[str, int], stamp: tuple[int, int]) -> _Value | None:
        held = self._held.get(key)
        if held is None or held[0] != stamp:
            return None
        self._held.move_to_end(key)
        return held[1]

    def put(self, key: tuple[str, int], stamp: tuple[int, int], value: _Value) -> None:
        if key in self._held:
            self.nbytes -= self._held.pop(key)[1].nbytes
        self._held[key] = stamp, value
        self.nbytes += value.nbytes
        while self.nbytes > self._limit and len(self._held) > 1:
            _key, (_stamp, oldest) = self._held.popitem(last=False)
            self.nbytes -= oldest.nbytes


class Archive:
    """Reads the record in `directory`, which a `RecordWriter` may append to meanwhile.

    Nothing in there raises: what cannot be read is left out and told once. Not for several threads
    at a time.

    Args:
        directory: the record's directory.
        variables: the variables that are asked for; a segment knows them by asset and name,
            whatever node ids they had.
        on_damage: told of each file's damage once, of each kind.
    """

    def __init__(
        self,
        directory: Path,
        variables: Sequence[RecordVariable],
        on_damage: Callable[[Damage], object],
    ) -> None:
        self._directory = directory
        self._wanted = {(v.asset, v.variable): index for index, v in enumerate(variables)}
        self._on_damage = on_damage
        self._told: set[tuple[str, str]] = set()
        self._cut: dict[str, int] = {}
        self._looked: set[str] = set()
        self._layouts: dict[bytes, Layout] = {}
        self._segments: dict[str, Segment] = {}
        self._indexes: _Cache[Index] = _Cache(INDEX_BYTES)
        self._data: _Cache[NDArray[np.void]] = _Cache(DATA_BYTES)

    def _tell(self, file: str, kind: str, cause: str) -> None:
        if (file, kind) not in self._told:
            self._told.add((file, kind))
            self._on_damage(Damage(file, kind, cause))

    def refresh(self) -> None:
        """See which segments there are by now; each is looked at once until the next time."""
        self._looked.clear()
        try:
            names = {path.name for path in self._directory.iterdir()}
        except FileNotFoundError:
            names = set()  # No record yet.
        except OSError as error:
            self._tell(self._directory.name, "unreadable", str(error))
            return
        for name in self._segments.keys() - names:
            del self._segments[name]
        self._told = {told for told in self._told if told[0] in names}
        self._cut = {name: size for name, size in self._cut.items() if name in names}
        for name in sorted(names - self._segments.keys()):
            if SEGMENT_NAME.fullmatch(name):
                self._segments[name] = Segment(self._directory / name)
            else:
                self._tell(name, "foreign", "its name is not 20 digits and .rec")

    def segments(self, since_ns: int, until_ns: int) -> list[Segment]:
        """The segments that may hold source times in [since, until), by begin."""
        found = []
        for name, segment in self._segments.items():
            if not may_hold(name, since_ns, until_ns) or not self._ready(segment):
                continue
            try:
                reaches = segment.high() >= since_ns
            except OSError as error:
                self._lost(segment, error)
                continue
            if reaches:
                found.append(segment)
        return sorted(found, key=lambda segment: (segment.begin, segment.path.name))

    def check(self) -> None:
        """Look at all segments' headers and ends, so that damage is told before anybody asks."""
        self.refresh()
        for segment in self._segments.values():
            self._ready(segment)

    def reach(self) -> tuple[int, int] | None:
        """The begin of the oldest segment, and the newest source time; None where there is none."""
        names = sorted(self._segments)
        oldest = next((s for name in names if self._ready(s := self._segments[name])), None)
        if oldest is None:
            return None
        newest = oldest.begin
        for name in reversed(names):
            segment = self._segments[name]
            # Segments overlap where the clock was set back in between.
            if segment.begin + SEGMENT_SPAN_NS < newest:
                break
            if self._ready(segment):
                try:
                    newest = max(newest, segment.high() - LATENESS_NS)
                except OSError as error:
                    self._lost(segment, error)
        return oldest.begin, newest

    def _ready(self, segment: Segment) -> bool:
        name = segment.path.name
        if name in self._looked:
            return True
        try:
            if not segment.open(self._layouts, self._wanted):
                size = segment.path.stat().st_size
                # The writer may be about to write it; it is not when nothing has changed since.
                if self._cut.get(name) == size:
                    self._tell(name, "header", f"cut short after {size} bytes")
                self._cut[name] = size
                return False
            segment.look()
        except RecordFormatError as error:
            self._tell(name, "header", error.cause)
            return False
        except OSError as error:
            self._lost(segment, error)
            return False
        if segment.torn:
            if self._cut.get(name) == segment.entries:
                self._tell(name, "torn", f"{segment.torn} bytes after entry {segment.entries}")
            self._cut[name] = segment.entries
        self._looked.add(name)
        return True

    def _lost(self, segment: Segment, error: OSError) -> None:
        # A segment whose time is over may be gone at any moment.
        if not isinstance(error, FileNotFoundError):
            self._tell(segment.path.name, "unreadable", str(error))

    def entries(self, segment: Segment, number: int) -> NDArray[np.void]:
        """A block's entries, right or wrong, of the type `ENTRY`; none where it cannot be read."""
        key, stamp = (segment.path.name, number), segment.stamp(number)
        held = self._data.get(key, stamp)
        if held is not None:
            return held
        try:
            entries = segment.read(number * BLOCK, stamp[0])
        except OSError as error:
            self._lost(segment, error)
            entries = np.empty(0, ENTRY)
        self._data.put(key, stamp, entries)
        right = segment.right(entries)
        wrong = len(entries) - int(right.sum())
        if wrong:
            self._tell(
                segment.path.name, "entries", f"{wrong} of them are none, first in block {number}"
            )
        times = entries["time"][right] if wrong else entries["time"]
        first, last = (int(times.min()), int(times.max())) if len(times) else (LATEST, EARLIEST)
        segment.spans[number] = stamp, first, last
        return entries

    def blocks(self, segment: Segment, since_ns: int, until_ns: int) -> range:
        """The blocks that may hold source times in [since, until), and few others.

        All times before a block are at most LATENESS_NS later than its last one, and all behind it
        at most that much earlier than its first one: halving the way to both ends passes over
        nothing.
        """
        low, high = 0, segment.blocks
        if since_ns > segment.low:
            end = high
            while low < end:
                middle = (low + end) // 2
                if self.span(segment, middle)[1] < since_ns - LATENESS_NS:
                    low = middle + 1
                else:
                    end = middle
        if until_ns <= segment.high():
            begin = low
            while begin < high:
                middle = (begin + high) // 2
                if self.span(segment, middle)[0] >= until_ns + LATENESS_NS:
                    high = middle
                else:
                    begin = middle + 1
        return range(low, high)

    def span(self, segment: Segment, number: int) -> tuple[int, int]:
        """The first and the last source time of a block, as far as they can be read."""
        held = segment.spans.get(number)
        if held is None or held[0] != segment.stamp(number):
            self.entries(segment, number)
            held = segment.spans[number]
        return held[1], held[2]

    def index(self, segment: Segment, number: int) -> Index:
        """A block's index; made when it is asked for first."""
        key, stamp = (segment.path.name, number), segment.stamp(number)
        index = self._indexes.get(key, stamp)
        if index is None:
            assert segment.layout is not None
            entries = self.entries(segment, number)
            index = Index.of(entries, segment.layout.variables, segment.begin)
            self._indexes.put(key, stamp, index)
        return index

    @property
    def nbytes(self) -> int:
        """What blocks and indexes take in memory, in bytes."""
        return self._indexes.nbytes + self._data.nbytes
