"""A key into disk images: partition tables, a real ext4, debugfs."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline.secrets import image as images
from fieldline.secrets.age import KEY_FILE
from fieldline.secrets.image import ROOT_LABEL, SECTOR, partitions, put_file, root_partition
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20
KEY = b"# age key of the host db\nAGE-SECRET-KEY-1TEST\n"
SBIN = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

needs_e2fsprogs = pytest.mark.skipif(
    not (shutil.which("mkfs.ext4", path=SBIN) and shutil.which("debugfs", path=SBIN)),
    reason="no e2fsprogs on this machine",
)


def mbr(*entries: tuple[int, int, int]) -> bytes:
    """A first sector: kind, first sector and number of sectors of each partition."""
    sector = bytearray(SECTOR)
    for number, (kind, start, sectors) in enumerate(entries):
        at = 446 + 16 * number
        sector[at + 4] = kind
        sector[at + 8 : at + 16] = struct.pack("<II", start, sectors)
    sector[510:] = b"\x55\xaa"
    return bytes(sector)


def gpt(*entries: tuple[int, int]) -> bytes:
    """The first 34 sectors of a disk: first and last sector of each partition."""
    header = bytearray(SECTOR)
    header[:8] = b"EFI PART"
    header[72:88] = struct.pack("<QII", 2, 128, 128)
    table = b"".join(
        b"\x01" * 16 + b"\x02" * 16 + struct.pack("<QQ", first, last) + bytes(80)
        for first, last in entries
    )
    return mbr((0xEE, 1, 2**32 - 1)) + bytes(header) + table.ljust(128 * 128, b"\0")


def ext4(label: str, folder: Path) -> bytes:
    """A file system of 8 MiB."""
    path = folder / "ext4"
    path.unlink(missing_ok=True)
    path.touch()
    os.truncate(path, 8 * MIB)
    subprocess.run(
        [str(shutil.which("mkfs.ext4", path=SBIN)), "-q", "-F", "-L", label, str(path)], check=True
    )
    return path.read_bytes()


def disk(folder: Path, *labels: str, table: str = "mbr") -> Path:
    """An image with a FAT-like partition and an ext4 one for each label."""
    image = folder / "disk.img"
    size, first = 8 * MIB // SECTOR, 2 * MIB // SECTOR
    starts = [first + n * size for n in range(len(labels))]
    if table == "mbr":
        head = mbr((0x0B, 64, 128), *((0x83, start, size) for start in starts))
    else:
        head = gpt((40, 100), *((start, start + size - 1) for start in starts))
    with image.open("wb") as file:
        file.write(head)
        for start, label in zip(starts, labels, strict=True):
            file.seek(start * SECTOR)
            file.write(ext4(label, folder))
        file.truncate((first + (len(labels) + 1) * size) * SECTOR)
    return image


def debugfs(image: Path, command: str) -> str:
    offset = root_partition(image).offset
    return subprocess.run(
        [str(shutil.which("debugfs", path=SBIN)), "-R", command, f"{image}?offset={offset}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def is_sound(image: Path, folder: Path) -> bool:
    """What e2fsck says of the root partition."""
    partition = root_partition(image)
    copy = folder / "checked"
    with image.open("rb") as file:
        file.seek(partition.offset)
        copy.write_bytes(file.read(8 * MIB))
    argv = [str(shutil.which("e2fsck", path=SBIN)), "-f", "-n", str(copy)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode == 0


@needs_e2fsprogs
@pytest.mark.parametrize("table", ["mbr", "gpt"])
def test_the_key_is_written_once_and_read_back(tmp_path: Path, table: str) -> None:
    image = disk(tmp_path, ROOT_LABEL, table=table)
    assert put_file(image, KEY_FILE, KEY)
    assert debugfs(image, f"cat {KEY_FILE}").encode() == KEY
    for path, kind, mode in (
        (KEY_FILE, "regular", "0400"),
        ("/var/lib/sops-nix", "directory", "0700"),
        ("/var/lib", "directory", "0755"),
        ("/var", "directory", "0755"),
    ):
        text = debugfs(image, f"stat {path}")
        assert f"Type: {kind}    Mode:  {mode}" in text, path
        assert "User:     0   Group:     0" in text
    assert is_sound(image, tmp_path)
    before = image.read_bytes()
    assert not put_file(image, KEY_FILE, KEY)
    assert image.read_bytes() == before
    # Another key takes its place; another mode is put right.
    assert put_file(image, KEY_FILE, KEY + b"# other\n")
    assert debugfs(image, f"cat {KEY_FILE}").encode() == KEY + b"# other\n"
    assert is_sound(image, tmp_path)


@needs_e2fsprogs
def test_a_key_that_others_can_read_is_put_right(tmp_path: Path) -> None:
    image = disk(tmp_path, "anything")
    put_file(image, KEY_FILE, KEY)
    offset = root_partition(image).offset
    for field, value in (("mode", "0100444"), ("uid", "1000")):
        subprocess.run(
            [
                *(str(shutil.which("debugfs", path=SBIN)), "-w", "-R"),
                *(f"set_inode_field {KEY_FILE} {field} {value}", f"{image}?offset={offset}"),
            ],
            check=True,
            capture_output=True,
        )
        assert put_file(image, KEY_FILE, KEY)
        assert "Mode:  0400" in debugfs(image, f"stat {KEY_FILE}")
        assert "User:     0 " in debugfs(image, f"stat {KEY_FILE}")


@needs_e2fsprogs
def test_of_several_file_systems_the_labelled_one_is_taken(tmp_path: Path) -> None:
    image = disk(tmp_path, "data", ROOT_LABEL)
    assert root_partition(image).label == ROOT_LABEL
    put_file(image, KEY_FILE, KEY)
    assert debugfs(image, f"cat {KEY_FILE}").encode() == KEY
    for labels in (("a", "b"), (ROOT_LABEL, ROOT_LABEL)):
        with pytest.raises(FieldlineError, match="one ext4 partition") as error:
            root_partition(disk(tmp_path, *labels))
        assert ", ".join(labels) in error.value.cause


@needs_e2fsprogs
def test_a_full_image_is_told(tmp_path: Path) -> None:
    image = disk(tmp_path, ROOT_LABEL)
    offset = root_partition(image).offset
    filler = tmp_path / "filler"
    filler.write_bytes(os.urandom(16 * MIB))
    subprocess.run(
        [
            *(str(shutil.which("debugfs", path=SBIN)), "-w", "-R"),
            *(f"write {filler} filler", f"{image}?offset={offset}"),
        ],
        check=False,
        capture_output=True,
    )
    with pytest.raises(FieldlineError, match="did not take the file"):
        put_file(image, KEY_FILE, KEY)


@needs_e2fsprogs
def test_an_image_that_was_in_use_is_refused(tmp_path: Path) -> None:
    image = disk(tmp_path, ROOT_LABEL)
    at = root_partition(image).offset + 1024 + images._INCOMPATIBLE_AT
    data = bytearray(image.read_bytes())
    data[at] |= images._NEEDS_RECOVERY
    image.write_bytes(data)
    with pytest.raises(FieldlineError, match="not closed in order"):
        put_file(image, KEY_FILE, KEY)


@pytest.mark.parametrize(
    ("begin", "command"),
    [
        (b"\x28\xb5\x2f\xfd", "unzstd --keep"),
        (b"\x1f\x8b\x08\x00", "gunzip --keep"),
        (b"\xfd7zXZ\x00", "unxz --keep"),
    ],
)
def test_a_compressed_image_is_refused_with_the_step(
    tmp_path: Path, begin: bytes, command: str
) -> None:
    image = tmp_path / "opc.img.zst"
    image.write_bytes(begin + bytes(1000))
    with pytest.raises(FieldlineError) as error:
        put_file(image, KEY_FILE, KEY)
    assert f"`{command} {image}`, then name {tmp_path / 'opc.img'}" in error.value.what_to_do


def test_what_is_no_disk_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "x.img"
    with pytest.raises(FieldlineError, match="readable image"):
        put_file(image, KEY_FILE, KEY)
    for data in (b"", bytes(SECTOR), bytes(10 * MIB), mbr((0xEE, 1, 9)) + bytes(SECTOR)):
        image.write_bytes(data)
        with pytest.raises(FieldlineError, match="not the image of a whole disk"):
            put_file(image, KEY_FILE, KEY)
    image.write_bytes(mbr((0x83, 1, 2000)))
    with pytest.raises(FieldlineError) as error:
        put_file(image, KEY_FILE, KEY)
    assert "cut off" in error.value.cause
    image.write_bytes(mbr((0x83, 1, 100)) + bytes(MIB))
    with pytest.raises(FieldlineError, match="one ext4 partition"):
        put_file(image, KEY_FILE, KEY)


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), max_size=4),
    st.sampled_from(["mbr", "gpt"]),
)
def test_tables_are_read_as_they_are_written(entries: list[tuple[int, int]], table: str) -> None:
    path = Path(f"/dev/shm/fieldline-test-{os.getpid()}.img")
    if table == "mbr":
        head = mbr(*((0x83, start, sectors) for start, sectors in entries))
    else:
        head = gpt(*((start, start + sectors - 1) for start, sectors in entries))
    try:
        path.write_bytes(head.ljust(1001 * SECTOR, b"\0"))
        expected = [(start * SECTOR, sectors * SECTOR) for start, sectors in entries]
        assert partitions(path) == expected
    finally:
        path.unlink()


@given(st.binary(max_size=2048))
def test_no_table_breaks_the_reader(data: bytes) -> None:
    path = Path(f"/dev/shm/fieldline-test-{os.getpid()}.img")
    try:
        path.write_bytes(data[:510].ljust(510, b"\0") + b"\x55\xaa" + data[510:])
        try:
            found = partitions(path)
        except FieldlineError:
            return
        size = path.stat().st_size
        assert all(at > 0 and at + length <= size for at, length in found)
    finally:
        path.unlink()
