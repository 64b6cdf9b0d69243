"""Torn ends: what is lost is what was meant to be lost."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline_faults import torn

CUT, ZEROS = torn.Tear(zeros=False), torn.Tear(zeros=True)


def batch(offset: int, length: int) -> bytes:
    """A batch as far as its length is concerned."""
    return struct.pack(">qi", offset, length - 12) + bytes([7]) * (length - 12)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    for folder in ("opc-0", "opc-1", "opc.dead-letter-0"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "00000000000000000009.snapshot").touch()
    for name, count in (("00000000000000000000", 9), ("00000000000000000009", 5)):
        data = b"".join(batch(n, 100 + n) for n in range(count))
        (tmp_path / "opc-0" / f"{name}.log").write_bytes(data)
    (tmp_path / "opc-1/00000000000000000000.log").write_bytes(b"")
    (tmp_path / "opc.dead-letter-0/00000000000000000000.log").write_bytes(batch(0, 80))
    (tmp_path / "recovery-point-offset-checkpoint").touch()
    return tmp_path


def test_batches_are_found_up_to_the_one_that_is_not_whole() -> None:
    data = batch(0, 100) + batch(1, 61) + batch(2, 80)[:-1]
    assert list(torn.record_batches(data)) == [(0, 100), (100, 61)]
    assert list(torn.record_batches(b"")) == []
    assert list(torn.record_batches(bytes(64))) == []


def test_a_topic_loses_the_last_batches_of_its_last_segment(logs: Path) -> None:
    newest = logs / "opc-0/00000000000000000009.log"
    before = newest.read_bytes()
    assert torn.tear_topic(logs, "opc", CUT) == 3
    # Two of five are whole, and half of the third.
    assert newest.read_bytes() == before[: 100 + 101 + 51]
    assert len((logs / "opc-0/00000000000000000000.log").read_bytes()) == sum(range(100, 109))
    assert list(logs.glob("opc-*/*.snapshot")) == []
    assert not (logs / "recovery-point-offset-checkpoint").exists()
    # A topic whose name begins likewise is another one.
    assert (logs / "opc.dead-letter-0/00000000000000000009.snapshot").exists()


def test_zeros_stand_where_the_batches_were_and_beyond(logs: Path) -> None:
    newest = logs / "opc-0/00000000000000000009.log"
    before = newest.read_bytes()
    torn.tear_topic(logs, "opc", ZEROS)
    kept = 100 + 101 + 51
    assert newest.read_bytes() == before[:kept] + bytes(len(before) - kept + torn.ZEROS)


def test_a_topic_that_has_nothing_to_lose_shows_nothing(logs: Path) -> None:
    with pytest.raises(FieldlineError, match="no topic model"):
        torn.tear_topic(logs, "model", CUT)
    (logs / "opc-0/00000000000000000009.log").write_bytes(b"")
    with pytest.raises(FieldlineError, match="no records"):
        torn.tear_topic(logs, "opc", CUT)


@pytest.mark.parametrize("tear", [CUT, ZEROS])
def test_the_newest_write_ahead_log_is_torn(tmp_path: Path, tear: torn.Tear) -> None:
    shard = tmp_path / "wal/bucket/autogen/1"
    shard.mkdir(parents=True)
    (shard / "_00001.wal").write_bytes(bytes([1]) * 9000)
    with pytest.raises(FieldlineError, match="no write-ahead log"):
        torn.tear_wal(tmp_path / "nothing", tear)
    assert torn.tear_wal(tmp_path, tear) == torn.LOST_BYTES
    data = (shard / "_00001.wal").read_bytes()
    assert data[:5000] == bytes([1]) * 5000
    assert set(data[5000:]) <= {0}
    assert bool(data[5000:]) is tear.zeros


def test_a_record_is_torn_amid_an_entry(tmp_path: Path) -> None:
    segment = tmp_path / f"{9:020d}.rec"
    segment.write_bytes(b"x" * 9600)
    lost = torn.tear_record(tmp_path, CUT)
    assert lost % 24 == 12
    assert segment.stat().st_size == 9600 - lost
