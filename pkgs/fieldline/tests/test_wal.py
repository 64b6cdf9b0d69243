"""A new segment of InfluxDB's write-ahead log for each start (`fieldline ready wal`)."""

from pathlib import Path

import pytest
from fieldline.errors import ServiceError
from fieldline.provision.ready import app
from fieldline.provision.wal import begin_segments
from typer.testing import CliRunner


def shard(folder: Path, name: str, **segments: int) -> Path:
    """A shard's log: segment to size."""
    made = folder / name
    made.mkdir(parents=True)
    for segment, size in segments.items():
        (made / f"{segment}.wal").write_bytes(bytes(size))
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_each_shard_gets_a_segment_after_its_last(tmp_path: Path) -> None:
    one = shard(tmp_path, "b/autogen/1", _00001=5, _00002=7)
    many = shard(tmp_path, "b/autogen/22", _99999=1, _00003=4)
    assert begin_segments(tmp_path) == [one / "_00003.wal", many / "_100000.wal"]
    assert (one / "_00003.wal").stat().st_size == 0
    # What is there already stays as it is.
    assert (one / "_00002.wal").stat().st_size == 7
    # A second start before InfluxDB's has nothing to do.
    assert begin_segments(tmp_path) == []
    assert names(one) == ["_00001.wal", "_00002.wal", "_00003.wal"]


def test_an_empty_log_and_what_is_none_stay_as_they_are(tmp_path: Path) -> None:
    empty = shard(tmp_path, "b/autogen/1", _00004=0)
    other = shard(tmp_path, "b/autogen/2", _0001=3, _x=3, fields=3)
    bare = shard(tmp_path, "b/autogen/3")
    assert begin_segments(tmp_path) == []
    assert names(empty) == ["_00004.wal"]
    assert names(other) == ["_0001.wal", "_x.wal", "fields.wal"]
    assert names(bare) == []
    # Before the first start.
    assert begin_segments(tmp_path / "nowhere") == []


def test_a_segment_that_cannot_be_made_holds_up_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard(tmp_path, "b/autogen/1", _00001=5)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "touch", full)
    done = CliRunner().invoke(app, ["wal", "--path", str(tmp_path)])
    assert isinstance(done.exception, ServiceError)
    assert "Make room" in done.exception.what_to_do
    assert "No space left" in done.exception.cause
