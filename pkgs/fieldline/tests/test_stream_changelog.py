"""The changelog: what was written is read back, whole or not at all, and it stays small."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from fieldline.messages import FORMAT_HEADER
from fieldline.stream import Changelog, ChangelogError, Output, changelog
from fieldline.stream.changelog import Given, Position, Reader, Restored
from fieldline.stream.memory import MemoryRecord
from hypothesis import given, settings
from hypothesis import strategies as st


class Parts:
    """A state of texts that only grow, each with its changelog's records."""

    def __init__(self) -> None:
        self.parts: dict[bytes, bytes] = {}
        self.changelog = Changelog()
        self.records: list[MemoryRecord] = []
        self.steps = 0

    def write(self, outputs: Sequence[Output]) -> None:
        for key, value, headers in outputs:
            self.records.append(MemoryRecord(len(self.records), 0, key, value, headers))

    def step(self, changes: list[tuple[bytes, bytes]]) -> None:
        for key, change in changes:
            self.parts[key] = self.parts.get(key, b"") + change
        self.steps += 1
        position = Position(self.steps, 10 * self.steps)
        self.write(self.changelog.add(position, b"c", changes, lambda key: self.parts[key]))


def read(records: Sequence[MemoryRecord]) -> Restored:
    reader = Reader()
    reader.add(records)
    return reader.end()


def parts_of(restored: Restored) -> dict[bytes, bytes]:
    parts = dict(restored.snapshots)
    for context, changes in restored.entries:
        assert context == b"c"
        for key, change in changes:
            parts[key] = parts.get(key, b"") + change
    return parts


def compacted(records: Sequence[MemoryRecord], until: int) -> list[MemoryRecord]:
    """As Kafka leaves it when it has compacted the part before an offset."""
    last = {record.key: record.offset for record in records[:until]}
    return [r for r in records[:until] if last[r.key] == r.offset] + list(records[until:])


@settings(max_examples=150)
@given(seed=st.integers(0, 10**9), least=st.sampled_from([1, 50, 10**6]), data=st.data())
def test_whatever_is_compacted_the_state_is_read_back(
    seed: int, least: int, data: st.DataObject
) -> None:
    rng = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changelog, "_LEAST_ENTRIES_BYTES", least)
        patch.setattr(changelog, "_PIECE_BYTES", 20)
        state = Parts()
        for _ in range(3):
            for _ in range(rng.randrange(1, 30)):
                keys = rng.sample([b"a", b"b", b"c", b"d"], rng.randrange(0, 4))
                state.step([(key, rng.randbytes(rng.randrange(1, 9))) for key in keys])
            until = data.draw(st.integers(0, len(state.records)))
            restored = read(compacted(state.records, until))
            assert restored.position == (state.steps, 10 * state.steps)
            assert parts_of(restored) == state.parts
            # And it goes on from there.
            state.changelog = restored.changelog


def test_entries_and_snapshots_stay_in_proportion() -> None:
    state = Parts()
    rng = random.Random(1)
    written = 0
    for _ in range(20_000):
        keys = rng.sample(range(100), 3)
        changes = [(b"asset%d" % key, rng.randbytes(40)) for key in keys]
        # Parts of 4 kB that do not grow for ever, as a window's.
        for key, change in changes:
            state.parts[key] = (state.parts.get(key, b"") + change)[-4000:]
        records = state.changelog.add(Position(1, 1), b"", changes, lambda key: state.parts[key])
        written += sum(len(key or b"") + len(value or b"") for key, value, _ in records)
        state.write(records)
    kept = compacted(state.records, len(state.records))
    size = sum(len(r.key or b"") + len(r.value or b"") for r in kept)
    changed = 20_000 * 3 * 40
    assert written < 2.5 * changed
    assert size < 3 * (100 * 4000 + 1024 * 1024)


def test_a_part_that_is_dropped_leaves_nothing() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changelog, "_LEAST_ENTRIES_BYTES", 1)
        state = Parts()
        for _ in range(3):
            state.step([(b"gone", b"x"), (b"kept", b"y")])
        state.step([])
        state.step([])
        assert read(state.records).snapshots.keys() == {b"gone", b"kept"}
        state.changelog.drop(b"gone")
        state.step([(b"kept", b"z")])
    restored = read(state.records)
    assert parts_of(restored) == {b"kept": b"yyyz"}


def test_what_was_built_without_it_is_written_whole_with_the_first_entry() -> None:
    state = Parts()
    state.parts = {b"a": b"1", b"b": b"2"}
    state.changelog.save_all(state.parts)
    state.step([(b"a", b"3")])
    restored = read(state.records)
    assert restored.snapshots == {b"a": b"13", b"b": b"2"}
    assert parts_of(restored) == state.parts


def test_nothing_is_no_position() -> None:
    assert read([]).position is None


def broken_ones() -> list[list[MemoryRecord]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changelog, "_LEAST_ENTRIES_BYTES", 30)
        patch.setattr(changelog, "_PIECE_BYTES", 4)
        state = Parts()
        for number in range(12):
            state.step([(b"a", b"%d" % number), (b"b", b"x")])
    kept = compacted(state.records, len(state.records))
    entries = [r for r in kept if (r.key or b"").startswith(b"e")]
    pieces = [r for r in kept if (r.key or b"").startswith(b"s")]
    newest = entries[-1]
    garbled = newest._replace(value=b"\xc1")
    return [
        pieces,
        [*pieces[1:], *entries],
        [*pieces, newest],
        [*kept, garbled],
        [*kept, newest._replace(key=b"?")],
        [*kept, newest._replace(headers=[(FORMAT_HEADER, b"2")])],
    ]


@pytest.mark.parametrize("number", range(3))
def test_what_is_not_whole_is_not_used(number: int) -> None:
    restored = read(broken_ones()[number])
    assert restored.broken
    assert (restored.snapshots, restored.entries) == ({}, [])


@pytest.mark.parametrize("number", range(3, 6))
def test_what_is_not_ours_is_refused(number: int) -> None:
    with pytest.raises(ChangelogError, match="not one of this version's") as error:
        read(broken_ones()[number])
    assert error.value.cause


def test_what_was_not_ours_and_is_removed_does_not_count() -> None:
    state = Parts()
    state.step([(b"a", b"1")])
    place = len(state.records)
    state.records.append(MemoryRecord(place, 0, b"foreign", b"foreign"))
    with pytest.raises(ChangelogError, match=f"offset {place} has another format"):
        read(state.records)
    state.records.append(MemoryRecord(place + 1, 0, b"foreign", None))
    assert parts_of(read(state.records)) == {b"a": b"1"}


@pytest.mark.parametrize("number", range(3))
def test_what_is_written_after_what_was_not_whole_is_whole_again(number: int) -> None:
    records = broken_ones()[number]
    state = Parts()
    state.records = list(records)
    state.changelog = read(records).changelog
    # Of the parts that were there, one is known again and the other is not.
    state.parts = {b"a": b"again"}
    state.changelog.save_all(state.parts)
    for number in range(3):
        state.step([(b"a", b"%d" % number)])
    restored = read(state.records)
    assert (restored.broken, parts_of(restored)) == ("", {b"a": b"again012"})


def test_of_two_entries_with_one_number_the_later_one_counts() -> None:
    """The first was of a transaction that a torn end had left open."""
    state = Parts()
    state.step([(b"a", b"1")])
    kept = read(state.records).changelog
    for _ in range(3):
        state.step([(b"a", b"lost")])
    state.parts, state.steps, state.changelog = {b"a": b"1"}, 1, kept
    state.step([(b"a", b"2")])
    restored = read(state.records)
    assert (restored.position, parts_of(restored)) == ((2, 20), {b"a": b"12"})


def test_the_entries_tell_what_was_given_last() -> None:
    state = Parts()
    state.write(state.changelog.add(Position(1, 10), b"", [], lambda _: b"", {"out": 7, "b": 8}))
    state.write(state.changelog.add(Position(2, 20), b"", [], lambda _: b"", {"out": 9}))
    # One that has given nothing hides none before it.
    state.write(state.changelog.add(Position(3, 30), b"", [], lambda _: b""))
    assert read(state.records).outputs == {"out": Given(9, 0, 20), "b": Given(8, 0, 10)}
