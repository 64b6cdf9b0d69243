"""The changelog of one input partition: a state that survives, in few bytes per input.

A compacted topic holds two kinds of records. An *entry* per step has the changes of all parts of
the state that the step touched, and where the input goes on after it. Its key is a slot that is
used again as soon as the entry is not needed any more, so that compaction has something to remove.
A *snapshot* has one part whole. A part is written whole only when its oldest change since the last
time stands in an entry whose slot is to be freed; the entries kept are as large as all snapshots
together. So a byte of change costs at most about one more byte of snapshot, and a restore reads
about twice the state's size.

Reading back checks that what is there is whole: the entries from the oldest one needed to the
newest are all there, and each snapshot has all its pieces. What is not, since a disk has lost some
of it, is not used: `Restored.broken` says why. What no service of ours can have written is refused.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    input record; timestamp_ms: the record's own time of the last one taken. outputs: topic → a sum
    of the last record that the step gave for it.
    """

    sequence: int
    oldest: int
    next_offset: int
    timestamp_ms: int
    context: bytes
    changes: list[Change]
    outputs: dict[str, int] = {}


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


class _BrokenError(Exception):
    """Something is missing of what a service of ours has written."""


class _Live(NamedTuple):
    """An entry that is still needed."""

    sequence: int
    slot: int
    size: int


class Given(NamedTuple):
    """The last output of a topic that the changelog knows of.

    sum: its `output_sum`; written_ms: when its entry came; taken_ms: the own time of the last
    record that the entry's step took.
    """

    sum: int
    written_ms: int
    taken_ms: int


class Position(NamedTuple):
    """Where the input goes on; timestamp_ms: the record's own time of the last one taken."""

    next_offset: int
    timestamp_ms: int


@dataclass(slots=True)
class Restored:
    """A changelog as it was read back.

    position: None if no entry is there. snapshots: key → part. entries: context and changes of
    each entry since, oldest first, without what is in a snapshot already. outputs: of each topic
    the last one, as far as these entries go back. broken: why it is not whole, "" if it is; there
    are no snapshots and entries then.
    """

    changelog: Changelog
    position: Position | None = None
    snapshots: dict[bytes, bytes] = field(default_factory=dict)
    entries: list[tuple[bytes, list[Change]]] = field(default_factory=list)
    outputs: dict[str, Given] = field(default_factory=dict)
    broken: str = ""


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

    def begin_anew(self, sequence: int, slots: int, pieces: Mapping[bytes, int]) -> None:
        """Go on after what cannot be used: nothing of it is needed any more.

        Args:
            sequence: of the next entry; slots: that are taken; pieces: key → of its snapshot.
        """
        self._sequence = sequence
        self._slots, self._free = slots, list(range(slots))
        self._saved = {key: (0, count) for key, count in pieces.items()}
        self._unwanted = list(pieces)

    def add(
        self,
        position: Position,
        context: bytes,
        changes: Sequence[Change],
        snapshot: Callable[[bytes], bytes],
        outputs: Mapping[str, int] | None = None,
    ) -> list[Output]:
        """The records for one step: its entry, and the snapshots that are due.

        Args:
            snapshot: gives a part as it is after the step.
            outputs: topic → `output_sum` of the last record that the step gives for it.
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
        entry = _Entry(sequence, oldest, *position, context, list(changes), dict(outputs or {}))
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
        whole = dict.fromkeys(keys, -1)
        self._unwanted = [key for key in self._unwanted if key not in whole]
        # In front of the others: `add` takes them in order of these numbers.
        self._unsaved = whole | {k: n for k, n in self._unsaved.items() if k not in whole}

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


def output_sum(key: bytes | None, value: bytes | None) -> int:
    """What tells an output record from the others around it, 32 bits."""
    return zlib.crc32(value or b"", zlib.crc32(key or b""))


def _slot_key(slot: int) -> bytes:
    return _ENTRY + slot.to_bytes(4, "big")


def _piece_key(number: int, key: bytes) -> bytes:
    return _SNAPSHOT + number.to_bytes(2, "big") + key


class Reader:
    """Reads a partition of a changelog, compacted or not, from its beginning to its end."""

    def __init__(self) -> None:
        # Value, time and, if it is of another format, offset; in the order of the log: what was
        # written last comes last.
        self._latest: dict[bytes, tuple[bytes, int, int | None]] = {}

    def add(self, records: Iterable[Record]) -> None:
        """Take the next records; what a later one of the same key replaces does not count."""
        latest = self._latest
        for record in records:
            key = record.key or b""
            latest.pop(key, None)
            if record.value is not None:
                ours = (FORMAT_HEADER, FORMAT) in record.headers
                latest[key] = record.value, record.timestamp, None if ours else record.offset

    def end(self) -> Restored:
        """What was read, once all of it was.

        Raises:
            ChangelogError: no service of ours can have written that.
        """
        read = _Read()
        try:
            for key, (value, time_ms, foreign) in self._latest.items():
                if foreign is not None:
                    raise _foreign(f"the record at offset {foreign} has another format")
                if key[:1] == _ENTRY:
                    entry = read.newest = _decode_entry(value)
                    slot = int.from_bytes(key[1:], "big")
                    read.slots = max(read.slots, slot + 1)
                    # After a torn end a sequence number may be there twice: the later one counts.
                    read.entries[entry.sequence] = (slot, entry, len(value), time_ms)
                elif key[:1] == _SNAPSHOT:
                    number = int.from_bytes(key[1:3], "big")
                    read.pieces.setdefault(key[3:], {})[number] = _decode_piece(value)
                else:
                    raise _foreign(f"a record has the key {key[:40]!r}")
        except msgspec.DecodeError as error:
            raise _foreign(str(error)) from error
        return read.assemble()


@dataclass(slots=True)
class _Read:
    """The latest record of each key.

    entries: sequence number → slot, entry, its size and when it came, ms. newest: the one that was
    written last; slots: that are taken.
    """

    entries: dict[int, tuple[int, _Entry, int, int]] = field(default_factory=dict)
    pieces: dict[bytes, dict[int, _Piece]] = field(default_factory=dict)
    newest: _Entry | None = None
    slots: int = 0

    def assemble(self) -> Restored:
        """The state, or why it cannot be used."""
        restored = Restored(Changelog())
        newest = self.newest
        if newest is not None:
            restored.position = Position(newest.next_offset, newest.timestamp_ms)
        try:
            if newest is not None:
                self._fill(restored, newest)
            elif self.pieces:
                raise _BrokenError("it has snapshots and no entry")
        except _BrokenError as error:
            # Above all that are there, those of snapshots too.
            highest = max(
                [
                    *self.entries,
                    *(p.sequence for found in self.pieces.values() for p in found.values()),
                ]
            )
            pieces = {key: max(found) + 1 for key, found in self.pieces.items()}
            changelog = Changelog()
            changelog.begin_anew(highest + 1, self.slots, pieces)
            return Restored(changelog, restored.position, broken=str(error))
        return restored

    def _fill(self, restored: Restored, newest: _Entry) -> None:
        """Take all that is there up to the newest entry.

        Raises:
            _BrokenError: something is missing.
        """
        saved: dict[bytes, tuple[int, int]] = {}
        included: dict[bytes, int] = {}
        for key, found in self.pieces.items():
            first = found.get(0)
            parts = [] if first is None else [found.get(number) for number in range(first.pieces)]
            whole = [p.data for p in parts if p and first and p.sequence == first.sequence]
            if first is None or len(whole) != first.pieces or first.sequence > newest.sequence:
                raise _BrokenError(f"the snapshot of {key[:80]!r} is not whole")
            restored.snapshots[key] = data = b"".join(whole)
            included[key] = first.sequence
            saved[key] = (len(data), max(found) + 1)
        live: list[_Live] = []
        unsaved: dict[bytes, int] = {}
        for sequence in range(newest.oldest, newest.sequence + 1):
            if sequence not in self.entries:
                raise _BrokenError(
                    f"entry {sequence} of {newest.oldest} to {newest.sequence} is missing"
                )
            slot, entry, size, time_ms = self.entries[sequence]
            for topic, found_sum in entry.outputs.items():
                restored.outputs[topic] = Given(found_sum, time_ms, entry.timestamp_ms)
            live.append(_Live(sequence, slot, size))
            changes = [c for c in entry.changes if included.get(c[0], -1) < sequence]
            for key, _ in changes:
                unsaved.setdefault(key, sequence)
            restored.entries.append((entry.context, changes))
        restored.changelog.resume(live, self.slots, unsaved, saved)


def _foreign(cause: str) -> ChangelogError:
    return ChangelogError("The changelog is not one of this version's.", cause)
