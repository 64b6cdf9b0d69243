"""The record's writer: segments, retention, a full disk, a killed process."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fieldline.record import RecordVariable, RecordWriter, read_directory
from fieldline.record import writer as writer_module
from fieldline.record.format import ENTRY, SEGMENT_SPAN_NS
from fieldline.record.reader import list_segments

VARIABLES = [RecordVariable("a", "x", "ns=2;i=1")]
HOUR = SEGMENT_SPAN_NS
START = 1_700_000_000_000_000_000
DAY_MS = 86_400_000


def make(directory: Path, record_ms: int = DAY_MS) -> RecordWriter:
    return RecordWriter(directory, VARIABLES, record_ms)


def write(writer: RecordWriter, time_ns: int, value: float = 1.0) -> None:
    writer.append(time_ns, np.array([0]), np.array([0]), np.array([value]))


def test_a_segment_ends_after_an_hour(tmp_path: Path) -> None:
    writer = make(tmp_path)
    for time_ns in (START, START + HOUR - 1, START + HOUR, START + 3 * HOUR):
        write(writer, time_ns)
    names = [path.name for path in list_segments(tmp_path)]
    assert names == [f"{t:020d}.rec" for t in (START, START + HOUR, START + 3 * HOUR)]


def test_a_segment_ends_when_it_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "SEGMENT_BYTES", 200)
    writer = make(tmp_path)
    for step in range(20):
        write(writer, START + step)
    paths = list_segments(tmp_path)
    assert len(paths) > 2
    assert all(path.stat().st_size <= 200 for path in paths)
    assert len(read_directory(tmp_path)) == 20


def test_each_start_begins_a_segment_even_within_one_time(tmp_path: Path) -> None:
    for _ in range(3):
        writer = make(tmp_path)
        write(writer, START)
        writer.close()
    assert len(list_segments(tmp_path)) == 3
    assert read_directory(tmp_path).time.tolist() == [START] * 3


def test_segments_are_deleted_when_their_time_is_over(tmp_path: Path) -> None:
    writer = make(tmp_path, record_ms=3 * 3_600_000)
    for hour in range(10):
        write(writer, START + hour * HOUR)
    kept = read_directory(tmp_path).time
    newest = START + 9 * HOUR
    # Whatever the record is kept for is there; what is older goes with its segment.
    assert set(range(newest - 3 * HOUR + HOUR, newest + 1, HOUR)) <= set(kept.tolist())
    assert kept.min() >= newest - 4 * HOUR


def test_a_short_record_has_short_segments(tmp_path: Path) -> None:
    writer = make(tmp_path, record_ms=60_000)
    for minute in range(10):
        write(writer, START + minute * 60_000_000_000)
    assert len(list_segments(tmp_path)) <= 3


def test_a_torn_tail_is_cut_at_the_next_start(tmp_path: Path) -> None:
    writer = make(tmp_path)
    write(writer, START)
    (path,) = list_segments(tmp_path)
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"\x01" * 11)
    assert read_directory(tmp_path).time.tolist() == [START]
    make(tmp_path)
    assert path.stat().st_size == whole


def test_a_torn_header_is_removed_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / f"{START:020d}.rec"
    path.write_bytes(b'FLREC1\n[{"asset":"a"')
    assert len(read_directory(tmp_path)) == 0
    make(tmp_path)
    assert not path.exists()


def test_a_file_that_is_no_segment_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / f"{START:020d}.rec"
    path.write_bytes(b"something else\n")
    make(tmp_path)
    assert path.read_bytes() == b"something else\n"


def test_a_full_disk_loses_values_says_so_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = make(tmp_path)
    write(writer, START)
    real = os.write

    def half(file: int, data: bytes) -> int:
        """A disk that has room for half of what is written."""
        return real(file, data[: len(data) // 2])

    monkeypatch.setattr(writer_module.os, "write", half)
    write(writer, START + 1)
    assert writer.failure is not None
    assert writer.failure.errno == errno.ENOSPC
    assert (writer.lost, writer.errors) == (1, 1)
    monkeypatch.undo()
    write(writer, START + 2)
    assert writer.failure is None
    assert read_directory(tmp_path).time.tolist() == [START, START + 2]


def test_a_disk_that_is_full_at_a_new_segment_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = make(tmp_path)

    def refuse(_file: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer_module.os, "write", refuse)
    write(writer, START)
    write(writer, START + 1)
    assert (writer.lost, list_segments(tmp_path)) == (2, [])
    monkeypatch.undo()
    write(writer, START + 2)  # Within the second in which the disk is left alone.
    assert writer.lost == 3
    write(writer, START + writer_module.RETRY_NS)
    assert read_directory(tmp_path).time.tolist() == [START + writer_module.RETRY_NS]


def test_the_kernels_own_full_device_is_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = make(tmp_path)
    real = os.open

    def full(_path: object, _flags: int, _mode: int = 0) -> int:
        return real("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(writer_module.os, "open", full)
    write(writer, START)
    assert writer.failure is not None
    assert writer.failure.errno == errno.ENOSPC


def test_a_disk_that_is_full_at_the_start_is_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Path, "mkdir", refuse)
        writer = make(tmp_path / "record")
    assert writer.failure is not None
    write(writer, START)
    assert read_directory(tmp_path / "record").time.tolist() == [START]


def test_a_place_that_cannot_be_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        make(tmp_path / "file" / "record")


def test_a_sync_reaches_segments_that_were_ended_since_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        writer_module.os,
        "fdatasync",
        lambda file: synced.append(Path(os.readlink(f"/proc/self/fd/{file}")).name),
    )
    writer = make(tmp_path)
    for time_ns in (START, START + HOUR, START + 2 * HOUR):
        write(writer, time_ns)
    writer.sync()
    names = [path.name for path in list_segments(tmp_path)]
    assert synced == names
    writer.sync()
    assert synced == [*names, names[-1]]
    writer.close()
    writer.sync()
    assert synced == [*names, names[-1]]


def test_a_sync_that_fails_says_so_and_the_writer_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    writer = make(tmp_path)
    write(writer, START)
    open_files = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as failing:
        failing.setattr(writer_module.os, "fdatasync", refuse)
        with pytest.raises(OSError, match="Input/output error"):
            writer.sync()
    write(writer, START + 1)
    writer.sync()
    assert read_directory(tmp_path).time.tolist() == [START, START + 1]
    assert len(os.listdir("/proc/self/fd")) == open_files


ENDLESS = """
import itertools, sys
import numpy as np
from pathlib import Path
from fieldline.record import RecordVariable, RecordWriter
writer = RecordWriter(Path(sys.argv[1]), [RecordVariable("a", "x", "ns=2;i=1")], 86_400_000)
places = np.zeros(500, int)
for time_ns in itertools.count(1_700_000_000_000_000_000):
    writer.append(time_ns, places, places, places + 0.5)
    if time_ns % 100 == 0:
        print(time_ns, flush=True)
"""


def test_what_was_recorded_before_kill_9_is_there(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        said = [int(child.stdout.readline()) for _ in range(3)][-1]
        child.send_signal(signal.SIGKILL)
    make(tmp_path)
    table = read_directory(tmp_path)
    times, counts = np.unique(table.time, return_counts=True)
    assert times[-1] >= said
    assert (np.diff(times) == 1).all()
    assert (counts[:-1] == 500).all()
    (path,) = list_segments(tmp_path)
    header = path.read_bytes().index(b"]\n") + 2
    assert (path.stat().st_size - header) % ENTRY.itemsize == 0
