"""The changelog of one input partition: a state that survives, in few bytes per input.

A compacted topic holds two kinds of records. An *entry* per step has the changes of all parts of
the state that the step touched, and where the input goes on after it. Its key is a slot that is
used again as soon as the entry is not needed any more, so that compaction has something to remove.
A *snapshot* has one part whole. A part is written whole only when its oldest change since the last
time stands in an entry whose slot is to be freed; the entries kept are as large as all snapshots
together. So a byte of change costs at most about one more byte of snapshot, and a restore reads
about twice the state's size.

Reading back checks that what is there is whole: the entries from the oldest one needed to the
newest are all there, each snapshot has all its pieces, and the offset in the newest entry is the
group's (the engine compares that).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from fieldline.errors import FieldlineError
from fieldline.messages import FORMAT, FORMAT_HEADER, FORMAT_HEADERS
from fieldline.stream.broker import Output, Record
from fieldline.stream.processor import Change

_ENTRY, _SNAPSHOT = b"e", b"s"
# Below this, snapshots are so small against the entries that writing them seldom is worth it; some
# 30,000 changes, which are taken again in a few hundredths of a second.
_LEAST_ENTRIES_BYTES = 1024 * 1024
# A record must fit into what a broker takes at once (1 MiB by default).
_PIECE_BYTES = 512 * 1024


class _Entry(msgspec.Struct, array_like=True, gc=False):
    """The changes of one step.

    oldest: the sequence number of the oldest entry that is still needed. next_offset: of the next
    input record; timestamp_ms: the record's own time of the last one taken.
    """

    sequence: int
    oldest: int
    next_offset: int
    timestamp_ms: int
    context: bytes
    changes: list[Change]


class _Piece(msgspec.Struct, array_like=True, gc=False):
    """A piece of a snapshot; the state is that after the entry of this sequence number."""

    sequence: int
    pieces: int
    data: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode_entry = msgspec.msgpack.Decoder(_Entry).decode
_decode_piece = msgspec.msgpack.Decoder(_Piece).decode


class ChangelogError(FieldlineError):
    """The changelog cannot be what a service of ours has written."""


class _Live(NamedTuple):
    """An entry that is still needed."""

    sequence: int
    slot: int
    size: int


class Position(NamedTuple):
    """Where the input goes on; timestamp_ms: the record's own time of the last one taken."""

    next_offset: int
    timestamp_ms: int


@dataclass(slots=True)
class Restored:
    """A changelog as it was read back.

    position: None if nothing was ever written. snapshots: key → part. entries: context and
    changes of each entry since, oldest first, without what is in a snapshot already.
    """

    changelog: Changelog
    position: Position | None = None
    snapshots: dict[bytes, bytes] = field(default_factory=dict)
    entries: list[tuple[bytes, list[Change]]] = field(default_factory=list)


class Changelog:
    """Makes the records of one partition's changelog; `Reader` reads them back."""

    def __init__(self) -> None:
        self._sequence = 0
        self._live: deque[_Live] = deque()
        self._live_bytes = 0
        self._free: list[int] = []
        self._slots = 0
        # Key → the sequence number of its oldest change that is in no snapshot; in that order.
        self._unsaved: dict[bytes, int] = {}
        # Key → bytes and pieces of its last snapshot.
        self._saved: dict[bytes, tuple[int, int]] = {}
        self._saved_bytes = 0
        self._unwanted: list[bytes] = []

    def resume(
        self,
        live: Sequence[_Live],
        slots: int,
        unsaved: dict[bytes, int],
        saved: dict[bytes, tuple[int, int]],
    ) -> None:
        """Go on after what was read back; see the attributes."""
        self._sequence = live[-1].sequence + 1
        self._live = deque(live)
        self._live_bytes = sum(entry.size for entry in live)
        used = {entry.slot for entry in live}
        self._slots, self._free = slots, [slot for slot in range(slots) if slot not in used]
        self._unsaved, self._saved = unsaved, saved
        self._saved_bytes = sum(size for size, _ in saved.values())

    def add(
        self,
        position: Position,
        context: bytes,
        changes: Sequence[Change],
        snapshot: Callable[[bytes], bytes],
    ) -> list[Output]:
        """The records for one step: its entry, and the snapshots that are due.

        Args:
            snapshot: gives a part as it is after the step.
        """
        sequence = self._sequence
        self._sequence += 1
        for key, _ in changes:
            self._unsaved.setdefault(key, sequence)
        slot = self._take_slot()
        size = 0
        for key, change in changes:
            size += len(key) + len(change)
        self._live.append(_Live(sequence, slot, size))
        self._live_bytes += size
        most = max(_LEAST_ENTRIES_BYTES, self._saved_bytes)
        while self._live_bytes > most and len(self._live) > 1:
            gone = self._live.popleft()
            self._live_bytes -= gone.size
            self._free.append(gone.slot)
        oldest = self._live[0].sequence
        entry = _Entry(sequence, oldest, *position, context, list(changes))
        records: list[Output] = [(_slot_key(slot), _encode(entry), FORMAT_HEADERS)]
        for key in self._unwanted:
            records += self._forget(key)
        self._unwanted.clear()
        due = []
        for key, first in self._unsaved.items():
            if first >= oldest:
                break
            due.append(key)
        for key in due:
            del self._unsaved[key]
            records += self._save(sequence, key, snapshot(key))
        return records

    def save_all(self, keys: Iterable[bytes]) -> None:
        """Have all these parts written whole with the next entry: they are in no entry."""
        for key in keys:
            self._unsaved.setdefault(key, -1)

    def drop(self, key: bytes) -> None:
        """Have a part removed with the next entry."""
        self._unwanted.append(key)
        self._unsaved.pop(key, None)

    def _take_slot(self) -> int:
        if self._free:
            return self._free.pop()
        self._slots += 1
        return self._slots - 1

    def _save(self, sequence: int, key: bytes, data: bytes) -> list[Output]:
        pieces = max(1, -(-len(data) // _PIECE_BYTES))
        size, before = self._saved.get(key, (0, 0))
        self._saved[key] = (len(data), pieces)
        self._saved_bytes += len(data) - size
        records: list[Output] = []
        for number in range(max(pieces, before)):
            value = None
            if number < pieces:
                part = data[number * _PIECE_BYTES : (number + 1) * _PIECE_BYTES]
                value = _encode(_Piece(sequence, pieces, part))
            records.append((_piece_key(number, key), value, FORMAT_HEADERS))
        return records

    def _forget(self, key: bytes) -> list[Output]:
        size, pieces = self._saved.pop(key, (0, 0))
        self._saved_bytes -= size
        return [(_piece_key(number, key), None, FORMAT_HEADERS) for number in range(pieces)]


def _slot_key(slot: int) -> bytes:
    return _ENTRY + slot.to_bytes(4, "big")


def _piece_key(number: int, key: bytes) -> bytes:
    return _SNAPSHOT + number.to_bytes(2, "big") + key


class Reader:
    """Reads a partition of a changelog, compacted or not, from its beginning to its end."""

    def __init__(self) -> None:
        self._latest: dict[bytes, bytes] = {}

    def add(self, records: Iterable[Record]) -> None:
        """Take the next records.

        Raises:
            ChangelogError: they are of a format that this version does not know.
        """
        latest = self._latest
        for record in records:
            key = record.key or b""
            if record.value is None:
                latest.pop(key, None)
            elif (FORMAT_HEADER, FORMAT) in record.headers:
                latest[key] = record.value
            else:
                raise _broken(f"the record at offset {record.offset} has another format")

    def end(self) -> Restored:
        """What was read, once all of it was.

        Raises:
            ChangelogError: it is not whole.
        """
        entries: dict[int, tuple[int, _Entry, int]] = {}
        pieces: dict[bytes, dict[int, _Piece]] = {}
        try:
            for key, value in self._latest.items():
                if key[:1] == _ENTRY:
                    entry = _decode_entry(value)
                    slot = int.from_bytes(key[1:], "big")
                    entries[entry.sequence] = (slot, entry, len(value))
                elif key[:1] == _SNAPSHOT:
                    number = int.from_bytes(key[1:3], "big")
                    pieces.setdefault(key[3:], {})[number] = _decode_piece(value)
                else:
                    raise _broken(f"a record has the key {key[:40]!r}")
        except msgspec.DecodeError as error:
            raise _broken(str(error)) from error
        return _assemble(entries, pieces)


def _assemble(
    entries: dict[int, tuple[int, _Entry, int]], pieces: dict[bytes, dict[int, _Piece]]
) -> Restored:
    restored = Restored(Changelog())
    if not entries:
        if pieces:
            raise _broken("it has snapshots and no entry")
        return restored
    newest = entries[max(entries)][1]
    restored.position = Position(newest.next_offset, newest.timestamp_ms)
    saved: dict[bytes, tuple[int, int]] = {}
    included: dict[bytes, int] = {}
    for key, found in pieces.items():
        first = found.get(0)
        parts = [] if first is None else [found.get(number) for number in range(first.pieces)]
        whole = [part.data for part in parts if part and first and part.sequence == first.sequence]
        if first is None or len(whole) != first.pieces or first.sequence > newest.sequence:
            raise _broken(f"the snapshot of {key[:80]!r} is not whole")
        restored.snapshots[key] = data = b"".join(whole)
        included[key] = first.sequence
        saved[key] = (len(data), max(found) + 1)
    live: list[_Live] = []
    unsaved: dict[bytes, int] = {}
    for sequence in range(newest.oldest, newest.sequence + 1):
        if sequence not in entries:
            raise _broken(f"entry {sequence} of {newest.oldest} to {newest.sequence} is missing")
        slot, entry, size = entries[sequence]
        live.append(_Live(sequence, slot, size))
        changes = [change for change in entry.changes if included.get(change[0], -1) < sequence]
        for key, _ in changes:
            unsaved.setdefault(key, sequence)
        restored.entries.append((entry.context, changes))
    slots = max(slot for slot, _, _ in entries.values()) + 1
    restored.changelog.resume(live, slots, unsaved, saved)
    return restored


def _broken(cause: str) -> ChangelogError:
    return ChangelogError("The changelog is not whole.", cause)
