"""Writing a record: one write per tick, segments that come and go, and a disk that may be full."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fieldline.record.format import (
    ENTRY,
    SEGMENT_SPAN_NS,
    RecordFormatError,
    RecordVariable,
    decode_header,
    encode_header,
    segment_begin,
    segment_name,
)
from fieldline.record.reader import list_segments

SEGMENT_BYTES = 64 * 1024 * 1024
# A record of a few minutes would otherwise be held for an hour: its segments are shorter.
SHORTEST_SPAN_NS = 60_000_000_000
PRUNE_EVERY_NS = 60_000_000_000
# Where the disk refuses, a new segment is tried once a second, not at each tick.
RETRY_NS = 1_000_000_000
# A full disk at the start is not a wrong declaration: it may have room again later.
FULL = (errno.ENOSPC, errno.EDQUOT)


class RecordWriter:
    """Appends to the record in `directory`, which it makes and mends.

    A failing disk never raises here: what could not be written is counted in `lost`, the reason
    stands in `failure` until a write succeeds again. What was appended survives the end of the
    process, kill -9 included; what `sync` has returned for survives a power cut too.

    Args:
        directory: the record's directory.
        variables: what is recorded; `append` names a variable by its place here.
        record_ms: how long segments are kept.
    Raises:
        OSError: the directory cannot be made or listed.
    """

    def __init__(
        self, directory: Path, variables: Sequence[RecordVariable], record_ms: int
    ) -> None:
        self._directory = directory
        self._header = encode_header(variables)
        self._record_ns = record_ms * 1_000_000
        self._span_ns = min(SEGMENT_SPAN_NS, max(SHORTEST_SPAN_NS, self._record_ns // 4))
        self._file = -1
        self._path: Path | None = None
        self._begin = 0
        self._size = 0
        self._retry_at = 0
        self._prune_at = 0
        # Guards the two below, which `sync` takes from another thread.
        self._lock = threading.Lock()
        # Files that were ended, or begun, since the last sync.
        self._ended: list[int] = []
        self._begun = False
        self.bytes_written = 0
        self.lost = 0
        self.errors = 0
        self.failure: OSError | None = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._mend()
        except OSError as error:
            if error.errno not in FULL:
                raise
            self._fail(error, 0)

    def _mend(self) -> None:
        """Cut what a killed process left half written at the end of its last segment."""
        segments = list_segments(self._directory)
        if not segments:
            return
        # By time of writing, not by name: the clock may have been set back in between.
        last = max(segments, key=lambda path: path.stat().st_mtime_ns)
        try:
            with last.open("r+b") as file:
                head = file.readline() + file.readline()
                header = decode_header(head)
                if header is None:
                    last.unlink()
                    return
                size = file.seek(0, os.SEEK_END)
                torn = (size - header[1]) % ENTRY.itemsize
                if torn:
                    file.truncate(size - torn)
        except RecordFormatError:
            return  # Not ours to mend; the reader names it.

    def append(
        self,
        time_ns: int,
        variables: NDArray[np.integer],
        statuses: NDArray[np.integer],
        values: NDArray[np.floating],
    ) -> None:
        """Append entries of one source time, in one write.

        Args:
            time_ns: source time, ns since 1970, above zero.
            variables: places in the list of variables, shape (n,).
            statuses: OPC UA status codes, shape (n,).
            values: shape (n,), in each variable's unit; NaN where Bad.
        """
        entries = np.empty(len(variables), ENTRY)
        entries["variable"] = variables
        entries["status"] = statuses
        entries["time"] = time_ns
        entries["value"] = values
        data = entries.tobytes()
        if not data:
            return
        try:
            self._make_room(time_ns, len(data))
            written = os.write(self._file, data)
            if written < len(data):
                # The disk took a part: an entry must never be half there.
                os.ftruncate(self._file, self._size)
                raise OSError(errno.ENOSPC, "the disk took only a part", str(self._path))
        except OSError as error:
            self._fail(error, len(entries))
            return
        self._size += written
        self.bytes_written += written
        self.failure = None

    def _fail(self, error: OSError, entries: int) -> None:
        self.failure = error
        self.errors += 1
        self.lost += entries

    def _make_room(self, time_ns: int, size: int) -> None:
        """Have a segment open that takes `size` bytes of the source time `time_ns`."""
        if self._file >= 0 and (
            time_ns >= self._begin + self._span_ns or self._size + size > SEGMENT_BYTES
        ):
            self._close()
        if self._file < 0:
            if time_ns < self._retry_at and self.failure is not None:
                raise self.failure
            self._retry_at = time_ns + RETRY_NS
            self._open(time_ns)
        if time_ns >= self._prune_at:
            self._prune_at = time_ns + PRUNE_EVERY_NS
            self._prune(time_ns)

    def _open(self, time_ns: int) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        begin = time_ns
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        while True:
            path = self._directory / segment_name(begin)
            try:
                file = os.open(path, flags, 0o640)
                break
            except FileExistsError:
                begin += 1
        try:
            if os.write(file, self._header) < len(self._header):
                raise OSError(errno.ENOSPC, "the disk took only a part of the header", str(path))
        except OSError:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        with self._lock:
            self._file, self._begun = file, True
        self._path, self._begin = path, begin
        self._size = len(self._header)
        self.bytes_written += len(self._header)

    def _prune(self, time_ns: int) -> None:
        """Delete segments whose last entry can only be older than the record is kept for."""
        oldest = time_ns - self._record_ns
        for path in list_segments(self._directory):
            if path != self._path and segment_begin(path.name) + self._span_ns <= oldest:
                path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file >= 0:
            with self._lock:
                self._ended.append(self._file)
                self._file = -1

    def sync(self) -> None:
        """Return when the disk holds all that was appended before; in any thread, one at a time.

        Raises:
            OSError: the disk failed. What was appended since the last sync may be lost to a power
                cut; the kernel does not try these bytes again.
        """
        with self._lock:
            files, self._ended = self._ended, []
            begun, self._begun = self._begun, False
            if self._file >= 0:
                # The writer may end the segment meanwhile.
                files.append(os.dup(self._file))
        failure: OSError | None = None
        for file in files:
            try:
                os.fdatasync(file)
            except OSError as error:
                failure = error
            finally:
                os.close(file)
        if begun:
            # A new file is there after a power cut only if its directory says so.
            directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        if failure is not None:
            raise failure

    def close(self) -> None:
        """End the record for now, without a sync; the next start begins a new segment."""
        self._close()
        with self._lock:
            for file in self._ended:
                os.close(file)
            self._ended.clear()
