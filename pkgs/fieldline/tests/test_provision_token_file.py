"""Token files: whole, restricted, replaced in one step."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline.influx.client import read_token
from fieldline.provision import token_file


def test_a_token_is_written_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "state" / "token"
    token_file.write(path, "first")
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert token_file.read(path) == "first"
    assert [p.name for p in path.parent.iterdir()] == ["token"]


def test_a_token_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token_file.write(path, "first")
    with path.open() as reader:
        token_file.write(path, "second")
        # Who has the old file open reads the old token to its end.
        assert reader.read() == "first"
    assert token_file.read(path) == "second"


def test_a_failed_write_leaves_the_old_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    token_file.write(path, "first")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FieldlineError, match="writable"):
        token_file.write(path, "second")
    assert token_file.read(path) == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["token"]


@pytest.mark.parametrize("content", [b"", b"  \n", b"\xff\xfe"])
def test_what_is_no_token_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    assert token_file.read(tmp_path / "token") is None


def test_a_missing_file_is_no_token(tmp_path: Path) -> None:
    assert token_file.read(tmp_path / "token") is None


def test_the_mode_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    path.chmod(0o644)
    assert token_file.restrict(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert not token_file.restrict(path)


def test_a_secret_is_read_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("with space \n")
    assert read_token(tmp_path / "secret") == "with space "


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_missing_secret_says_where_it_belongs(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)
    with pytest.raises(FieldlineError, match=str(path)):
        read_token(path)
