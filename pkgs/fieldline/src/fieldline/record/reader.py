"""Reading a record: whole segments at once, as NumPy columns."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fieldline.record.format import (
    ENTRY,
    SEGMENT_NAME,
    RecordTable,
    RecordVariable,
    decode_header,
    is_entry,
    may_hold,
    segment_begin,
)


class TableBuilder:
    """Gathers the entries of several segments, whose lists of variables may differ."""

    def __init__(self, since_ns: int | None = None, until_ns: int | None = None) -> None:
        self._since = since_ns
        self._until = until_ns
        self._known: dict[RecordVariable, int] = {}
        self._parts: list[tuple[NDArray[np.uint32], NDArray[np.void]]] = []

    def add(self, segment: bytes, begin_ns: int | None = None) -> None:
        """Take one segment's entries; what is cut short or cannot be an entry is left out.

        Args:
            segment: its bytes.
            begin_ns: the time in its name, if it has one.
        Raises:
            RecordFormatError: these bytes are no segment.
        """
        header = decode_header(segment)
        if header is None:
            return
        variables, offset = header
        count = (len(segment) - offset) // ENTRY.itemsize
        entries = np.frombuffer(segment, ENTRY, count, offset)
        wanted = is_entry(entries, len(variables), begin_ns)
        if self._since is not None:
            wanted &= entries["time"] >= self._since
        if self._until is not None:
            wanted &= entries["time"] < self._until
        if not wanted.all():
            entries = entries[wanted]
        places = [self._known.setdefault(item, len(self._known)) for item in variables]
        place = np.array(places, np.uint32)
        self._parts.append((place[entries["variable"]], entries))

    def table(self) -> RecordTable:
        """What was gathered."""
        none = np.empty(0, ENTRY)
        entries = [part for _places, part in self._parts] or [none]
        places = [part for part, _entries in self._parts] or [np.empty(0, np.uint32)]
        return RecordTable(
            variables=tuple(self._known),
            variable=np.concatenate(places),
            status=np.concatenate([part["status"] for part in entries]).astype(np.uint32),
            time=np.concatenate([part["time"] for part in entries]).astype(np.int64),
            value=np.concatenate([part["value"] for part in entries]).astype(np.float64),
        )


def read(
    segments: Iterable[Path | bytes], since_ns: int | None = None, until_ns: int | None = None
) -> RecordTable:
    """Read segments, given as files or as their bytes, in the order given.

    Args:
        segments: a file that is gone meanwhile (its time was over) is passed over.
        since_ns: entries from this source time on, ns since 1970.
        until_ns: entries before this source time.
    Raises:
        RecordFormatError: one of them is no segment.
        OSError: a file cannot be read.
    """
    builder = TableBuilder(since_ns, until_ns)
    for segment in segments:
        try:
            if isinstance(segment, Path):
                named = SEGMENT_NAME.fullmatch(segment.name)
                builder.add(segment.read_bytes(), segment_begin(segment.name) if named else None)
            else:
                builder.add(segment)
        except FileNotFoundError:
            continue
    return builder.table()


def list_segments(directory: Path) -> list[Path]:
    """The segments in a record's directory, by the time of their begin."""
    return sorted(path for path in directory.iterdir() if SEGMENT_NAME.fullmatch(path.name))


def size_bytes(directory: Path) -> int:
    """How many bytes a record's segments have; 0 where there is no record."""
    total = 0
    with suppress(OSError):
        for path in list_segments(directory):
            with suppress(OSError):  # Its time was over just now.
                total += path.stat().st_size
    return total


def read_directory(
    directory: Path, since_ns: int | None = None, until_ns: int | None = None
) -> RecordTable:
    """Read of a record's directory what lies in [since, until); errors as for `read`."""
    paths = [path for path in list_segments(directory) if may_hold(path.name, since_ns, until_ns)]
    return read(paths, since_ns, until_ns)
