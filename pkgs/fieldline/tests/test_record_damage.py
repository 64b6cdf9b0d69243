"""A damaged record: what is intact is served and kept, the rest is named once, nothing raises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fieldline.record import (
    Archive,
    Damage,
    Position,
    RecordVariable,
    RecordWriter,
    count,
    read_directory,
    select,
)
from fieldline.record import segment as segment_module
from fieldline.record.format import ENTRY, encode_header, segment_name
from fieldline.record.segment import EARLIEST, LATEST
from hypothesis import given, settings
from hypothesis import strategies as st

VARIABLES = [RecordVariable("a", name, f"ns=2;s=a.{name}") for name in ("x", "y")]
HEADER = encode_header(VARIABLES)
START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
ENTRIES = 20
SIZE = ENTRY.itemsize
Values = list[tuple[int, float]]


def segment(begin_s: int) -> bytes:
    """Both variables each second."""
    rows = [
        (n % 2, 0, START + (begin_s + n // 2) * SECOND, float(begin_s + n)) for n in range(ENTRIES)
    ]
    return HEADER + np.array(rows, ENTRY).tobytes()


def name(begin_s: int) -> str:
    return segment_name(START + begin_s * SECOND)


def served(directory: Path) -> tuple[Values, list[Damage]]:
    """(source time, value) of all values of both variables, and the damages told."""
    damages: list[Damage] = []
    archive = Archive(directory, VARIABLES, damages.append)
    for _ in range(2):  # What is cut short may be about to be written.
        archive.check()
        values: Values = []
        for variable in range(len(VARIABLES)):
            rest: Position | None = Position(EARLIEST)
            while rest is not None:
                found = select(archive, variable, rest, LATEST, 7)
                values += zip(
                    found.entries["time"].tolist(), found.entries["value"].tolist(), strict=True
                )
                rest = found.rest
        edges = np.array([1, LATEST], np.int64)
        assert int(count(archive, edges, len(VARIABLES)).sum()) == len(values)
    archive.reach()
    return sorted(values), damages


def intact(begin_s: int, damaged: range = range(0)) -> Values:
    """The values whose bytes are outside the damaged range of the file."""
    return [
        (START + (begin_s + n // 2) * SECOND, float(begin_s + n))
        for n in range(ENTRIES)
        if len(HEADER) + n * SIZE >= damaged.stop or len(HEADER) + (n + 1) * SIZE <= damaged.start
    ]


LENGTH = len(segment(0))
damage = st.tuples(st.integers(0, LENGTH), st.integers(0, LENGTH), st.binary(max_size=LENGTH))


@settings(max_examples=200, deadline=None)
@given(where=damage, zeros=st.booleans())
def test_bytes_that_are_damaged_in_place_cost_only_their_entries(
    tmp_path_factory: pytest.TempPathFactory, where: tuple[int, int, bytes], zeros: bool
) -> None:
    directory = tmp_path_factory.mktemp("record")
    data = segment(0)
    begin = where[0]
    garbage = (bytes(where[1]) if zeros else where[2])[: len(data) - begin]
    hurt = range(begin, begin + len(garbage))
    (directory / name(0)).write_bytes(data[:begin] + garbage + data[hurt.stop :])
    (directory / name(60)).write_bytes(segment(60))
    before, damages = served(directory)
    expected = set(intact(60))
    if begin >= len(HEADER):
        expected |= set(intact(0, hurt))
    assert expected <= set(before)
    if hurt and hurt.start < len(HEADER) and zeros:
        assert [found.kind for found in damages] == ["header"]
    assert {found.file for found in damages} <= {name(0)}
    # A start mends, and takes nothing away.
    writer = RecordWriter(directory, VARIABLES, 86_400_000)
    writer.append(START + 90 * SECOND, np.array([0]), np.array([0]), np.array([1.0]))
    after, _damages = served(directory)
    assert set(before) <= set(after)


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, LENGTH), more=st.binary(max_size=SIZE * 3))
def test_a_segment_that_is_cut_short_gives_the_whole_entries_before(
    tmp_path_factory: pytest.TempPathFactory, cut: int, more: bytes
) -> None:
    directory = tmp_path_factory.mktemp("record")
    (directory / name(0)).write_bytes(segment(0)[:cut])
    (directory / name(60)).write_bytes(segment(60))
    before, damages = served(directory)
    assert before == intact(0, range(cut, LENGTH)) * (cut >= len(HEADER)) + intact(60)
    told = [(found.file, found.kind) for found in damages]
    if cut < len(HEADER):
        assert told == [(name(0), "header")]
    else:
        assert told == [(name(0), "torn")] * ((cut - len(HEADER)) % SIZE > 0)
    # The writer's own cut, after a kill in the middle of a write.
    (directory / name(120)).write_bytes(segment(120) + more)
    RecordWriter(directory, VARIABLES, 86_400_000)
    assert set(before) | set(intact(120)) <= set(served(directory)[0])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"PAR1" * 100, "header"),
        (bytes(LENGTH), "header"),
        (b"FLREC1\nno json\n" + bytes(100), "header"),
        (b"FLREC1\n" + b"[" * 100_000 + b"\n", "header"),
        (b"FLREC1\n[1]\n", "header"),
        (b'FLREC1\n[{"asset": "a"}]\n', "header"),
        (b"FLREC1\n[]\n" + bytes(SIZE), "entries"),
        (HEADER + np.array([(2, 0, START, 1.0)], ENTRY).tobytes(), "entries"),
        (HEADER + np.array([(0, 0, START + 2 * 10**17, 1.0)], ENTRY).tobytes(), "entries"),
        (HEADER + np.array([(0, 0, -5, 1.0)], ENTRY).tobytes(), "entries"),
    ],
)
def test_each_damage_is_told_once_by_its_name(tmp_path: Path, data: bytes, kind: str) -> None:
    (tmp_path / name(0)).write_bytes(data)
    (tmp_path / name(60)).write_bytes(segment(60))
    values, damages = served(tmp_path)
    assert values == intact(60)
    assert [(found.file, found.kind) for found in damages] == [(name(0), kind)]


def test_a_header_without_an_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_module, "HEADER_BYTES", 1000)
    (tmp_path / name(0)).write_bytes(b"FLREC1\n" + b"[" * 2000)
    assert [found.kind for found in served(tmp_path)[1]] == ["header"]


def test_what_is_no_segment_by_its_name_is_told_and_left(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / name(0)).write_bytes(segment(0))
    values, damages = served(tmp_path)
    assert values == intact(0)
    assert [(found.file, found.kind) for found in damages] == [("lost+found", "foreign")]


def test_a_segment_that_cannot_be_read_is_told_and_the_others_are_served(tmp_path: Path) -> None:
    (tmp_path / name(0)).mkdir()
    (tmp_path / name(60)).write_bytes(segment(60))
    values, damages = served(tmp_path)
    assert values == intact(60)
    assert [(found.file, found.kind) for found in damages] == [(name(0), "unreadable")]
    # A start is not kept from its work by it either.
    writer = RecordWriter(tmp_path, VARIABLES, 86_400_000)
    writer.append(START + 90 * SECOND, np.array([0]), np.array([0]), np.array([1.0]))
    assert writer.failure is None


def test_a_disk_that_fails_under_a_block_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name(0)).write_bytes(segment(0))

    def fail(_file: int, _size: int, _begin: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(segment_module.os, "pread", fail)
    values, damages = served(tmp_path)
    assert values == []
    assert [found.kind for found in damages] == ["unreadable"]


def test_a_file_that_shrinks_while_it_is_read_gives_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / name(0)
    path.write_bytes(segment(0))
    archive = Archive(tmp_path, VARIABLES, lambda damage: pytest.fail(str(damage)))
    archive.refresh()
    (found,) = archive.segments(EARLIEST, LATEST)
    with path.open("r+b") as file:
        file.truncate(len(HEADER) + 4 * SIZE)
    assert len(archive.entries(found, 0)) == 4


def test_a_witness_is_read_past_damaged_entries(tmp_path: Path) -> None:
    data = segment(0)
    wrong = np.array([(0, 0, START + 2 * 10**17, 1.0)], ENTRY).tobytes()
    (tmp_path / name(0)).write_bytes(data + wrong)
    assert len(read_directory(tmp_path)) == ENTRIES
