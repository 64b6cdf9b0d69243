"""The archive: what is written is what comes out, and whatever is wrong with one is told."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from backup_world import INFLUXDB, KAFKA, SITE, contents, describe, fill
from fieldline.backup import archive, snapshot
from fieldline.backup.manifest import (
    FORMAT,
    ArchiveError,
    Manifest,
    PartFacts,
    decode,
    differences,
    encode,
    release,
    too_new,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    fill(folder, "kept")
    return folder


def made(state: Path, path: Path) -> Path:
    """An archive of what is in a folder."""
    items = [item for part in (KAFKA, INFLUXDB) for item, _ in snapshot.walk(part, state)]
    with path.open("wb") as file:
        archive.write(file, describe({"kafka": (1, 1), "influxdb": (1, 1)}), items, lambda _: None)
    assert path.stat().st_size <= archive.archive_bytes(items)
    return path


@pytest.fixture
def file(state: Path, tmp_path: Path) -> Path:
    return made(state, tmp_path / "db.tar")


def test_what_was_written_comes_out_with_modes_times_and_holes(
    state: Path, file: Path, tmp_path: Path
) -> None:
    told: list[int] = []
    archive.read(file, tmp_path / "out", told.append)
    assert contents(tmp_path / "out") == contents(state)
    for path in state.rglob("*"):
        out = tmp_path / "out" / path.relative_to(state)
        assert out.stat().st_mode == path.stat().st_mode, path
        if path.is_file():
            assert int(out.stat().st_mtime) == int(path.stat().st_mtime)
    series = tmp_path / "out/influxdb2/engine/series"
    assert series.stat().st_size == 4 << 20
    assert series.stat().st_blocks * 512 < 1 << 20
    assert told == sorted(told)
    assert told[-1] == sum(len(data) for data in contents(state).values())


def test_tar_and_sha256sum_can_do_without_this_program(
    state: Path, file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "--extract", "--file", file, "--directory", out], check=True)
    assert contents(out) == contents(state)
    subprocess.run(["sha256sum", "--quiet", "--check", archive.SUMS], cwd=out, check=True)


def test_a_file_that_grew_since_is_cut_where_it_ended(state: Path, tmp_path: Path) -> None:
    segment = state / "apache-kafka/log/opc-0/00000000000000000007.log"
    items = [item for item, _ in snapshot.walk(KAFKA, state)]
    before = segment.read_bytes()
    segment.write_bytes(before + b"one more record")
    path = tmp_path / "db.tar"
    with path.open("wb") as stream:
        archive.write(stream, describe({"kafka": (1, 1)}), items, lambda _: None)
    archive.read(path, tmp_path / "out", lambda _: None)
    assert (tmp_path / "out" / segment.relative_to(state)).read_bytes() == before


def test_a_file_that_is_shorter_now_is_no_backup(state: Path, tmp_path: Path) -> None:
    items = [item for item, _ in snapshot.walk(KAFKA, state)]
    os.truncate(state / "apache-kafka/log/opc-0/00000000000000000007.log", 3)
    with (tmp_path / "db.tar").open("wb") as stream, pytest.raises(OSError, match="shorter"):
        archive.write(stream, describe({"kafka": (1, 1)}), items, lambda _: None)


def test_it_is_whole_and_nothing_is_written_by_a_check(file: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    assert archive.read(file, None, lambda _: None) == archive.read_manifest(file)
    assert sorted(tmp_path.iterdir()) == before


@pytest.fixture(scope="module")
def bytes_of_one(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("archive")
    fill(folder / "state", "kept")
    (folder / "state/influxdb2/engine/series").unlink()
    return folder, made(folder / "state", folder / "db.tar").read_bytes()


@given(st.data())
def test_cut_off_anywhere_it_is_refused(
    bytes_of_one: tuple[Path, bytes], data: st.DataObject
) -> None:
    folder, whole = bytes_of_one
    # What follows the last member is padding alone.
    end = whole.rindex(b"  private/") + 40
    path = folder / "cut.tar"
    path.write_bytes(whole[: data.draw(st.integers(0, end))])
    with pytest.raises(ArchiveError):
        archive.read(path, None, lambda _: None)


@settings(max_examples=60)
@given(st.data())
def test_with_a_flipped_bit_it_is_refused_or_the_same(
    bytes_of_one: tuple[Path, bytes], data: st.DataObject
) -> None:
    """Padding, and a field that nothing reads, may hold anything."""
    folder, whole = bytes_of_one
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    path = folder / "flipped.tar"
    path.write_bytes(damaged)
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    try:
        archive.read(path, out, lambda _: None)
    except ArchiveError:
        return
    assert contents(out) == contents(folder / "state")


def rewritten(file: Path, change: Callable[[tarfile.TarFile], None], drop: str = "") -> None:
    """Copy an archive's members into a new one without `drop`, and add to it."""
    with tarfile.open(file) as old:
        members = [(m, old.extractfile(m)) for m in old.getmembers() if m.name != drop]
        contents = [(m, f.read() if f else b"") for m, f in members]
    with tarfile.open(file, "w") as new:
        for member, data in contents:
            if member.name == archive.SUMS:
                change(new)
            new.addfile(member, io.BytesIO(data))


def add(name: str, kind: bytes = tarfile.REGTYPE) -> Callable[[tarfile.TarFile], None]:
    def change(tar: tarfile.TarFile) -> None:
        member = tarfile.TarInfo(name)
        member.type = kind
        member.linkname = "/etc"
        tar.addfile(member)

    return change


@pytest.mark.parametrize(
    ("change", "drop", "cause"),
    [
        (lambda _: None, "influxdb2/influxd.bolt", "missing: influxdb2/influxd.bolt"),
        (add("influxdb2/more"), "", "not of it: influxdb2/more"),
        (add("etc/passwd"), "", "etc/passwd belongs to no part"),
        (add("influxdb2/../../etc/passwd"), "", "belongs to no part"),
        (add("/influxdb2/more"), "", "belongs to no part"),
        (add("influxdb2/link", tarfile.SYMTYPE), "", "neither a file nor a folder"),
        (add("influxdb2/device", tarfile.CHRTYPE), "", "neither a file nor a folder"),
    ],
)
def test_what_does_not_belong_into_one_is_refused(
    file: Path, tmp_path: Path, change: Callable[[tarfile.TarFile], None], drop: str, cause: str
) -> None:
    rewritten(file, change, drop)
    with pytest.raises(ArchiveError) as refused:
        archive.read(file, tmp_path / "out", lambda _: None)
    assert cause in refused.value.cause
    assert not (tmp_path / "etc").exists()


def test_another_tar_file_is_none(state: Path, tmp_path: Path) -> None:
    path = tmp_path / "kafka.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(state / "apache-kafka", "apache-kafka")
    with pytest.raises(ArchiveError, match="no archive of `fieldline backup`"):
        archive.read_manifest(path)
    path.write_text("not a tar file at all, but long enough to be one" * 100)
    with pytest.raises(ArchiveError, match="damaged"):
        archive.read_manifest(path)
    with pytest.raises(ArchiveError, match="cannot be read"):
        archive.read_manifest(tmp_path / "nowhere.tar")


MANIFEST = describe({"kafka": (3, 10), "influxdb": (4, 20)})


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert decode(encode(MANIFEST), "it") == MANIFEST


def test_a_newer_format_is_refused_by_its_number() -> None:
    newer = encode(replace(MANIFEST, format=FORMAT + 1)).replace(b'"site"', b'"place"')
    with pytest.raises(ArchiveError, match=f"is of format {FORMAT + 1}, .* reads up to {FORMAT}"):
        decode(newer, "it")


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"format": "1"}', b'{"format": 1}', b"\xff"])
def test_a_manifest_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(ArchiveError, match="cannot be read"):
        decode(text, "it")


def changed(**site: object) -> Manifest:
    return replace(MANIFEST, site=replace(SITE, **site))


def test_differences_are_named_and_a_changed_site_is_none() -> None:
    assert differences(MANIFEST, changed(sha256="11", topics={"opc": 4, "more": 1})) == []
    for here, found in {
        "host": (replace(MANIFEST, host="store"), "host: db in the archive, store here"),
        "organisation": (changed(organization="o"), "organisation: devorg in the archive, o here"),
        "bucket": (changed(bucket="b"), "bucket: dev in the archive, b here"),
        "topic": (changed(topics={"opc": 8}), "partitions of opc: 4 in the archive, 8 here"),
        "parts": (
            describe({"kafka": (0, 0)}),
            "parts: influxdb and kafka in the archive, kafka here",
        ),
    }.values():
        assert differences(MANIFEST, here) == [found]


def test_another_cluster_is_a_difference_where_there_is_one() -> None:
    def of(cluster: str) -> Manifest:
        return replace(
            MANIFEST,
            parts={"kafka": PartFacts(version="", cluster_id=cluster, files=0, bytes=0)},
        )

    assert differences(of("a"), of("a")) == differences(of("a"), of("")) == []
    assert differences(of("a"), of("b")) == ["kafka's cluster: a in the archive, b here"]


def test_data_of_a_newer_server_are_told_by_major_and_minor_version() -> None:
    def of(version: str) -> Manifest:
        return replace(MANIFEST, parts={"kafka": PartFacts(version=version, files=0, bytes=0)})

    assert too_new(of("4.2.0"), of("4.1.9")) == ["kafka: 4.2.0 in the archive, 4.1.9 here"]
    for there, here in (("4.1.1", "4.1.0"), ("4.0.0", "4.1.0"), ("", "4.1.0"), ("4.2.0", "")):
        assert too_new(of(there), of(here)) == []
    assert release("v2.7.12") == (2, 7)
    assert release("dev") is None


def test_the_sums_are_of_every_file(file: Path, state: Path) -> None:
    with tarfile.open(file) as tar:
        members = tar.getmembers()
        listed = tar.extractfile(archive.SUMS)
        assert listed is not None
        lines = listed.read().decode().splitlines()
    assert members[0].name == archive.MANIFEST
    assert members[-1].name == archive.SUMS
    names = {line.partition("  ")[2]: line.partition("  ")[0] for line in lines}
    assert names.keys() == {archive.MANIFEST, *contents(state)}
    for name, data in contents(state).items():
        assert names[name] == hashlib.sha256(data).hexdigest()
