"""A file into the ext4 root partition of a disk image, without mounting it and without root.

The partition is found in the MBR or GPT; e2fsprogs' debugfs writes at its offset.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fieldline.errors import FieldlineError
from fieldline.secrets.tools import in_memory

SECTOR = 512
_ZSTD, _GZIP, _XZ = b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"\xfd7zXZ\x00"
_COMPRESSED = {_ZSTD: "unzstd --keep", _GZIP: "gunzip --keep", _XZ: "unxz --keep"}
# Of the superblock, which begins 1024 bytes into the partition (Linux: fs/ext4/ext4.h).
_SUPERBLOCK, _MAGIC_AT, _MAGIC = 1024, 0x38, b"\x53\xef"
_INCOMPATIBLE_AT, _NEEDS_RECOVERY, _EXTENTS = 0x60, 0x4, 0x40
_LABEL_AT, _LABEL_BYTES = 0x78, 16
# What nixpkgs' sd-image calls its root partition.
ROOT_LABEL = "NIXOS_SD"
_MBR_LINUX, _MBR_PROTECTIVE, _MBR_EXTENDED = 0x83, 0xEE, (0x05, 0x0F, 0x85)
_MOST_GPT_ENTRIES = 1024
SECONDS = 300.0


@dataclass(frozen=True)
class Partition:
    """An ext4 partition of an image."""

    offset: int
    label: str
    needs_recovery: bool


def partitions(image: Path) -> list[tuple[int, int]]:
    """Offset and length in bytes of each partition that the image's table names.

    Raises:
        FieldlineError: it has no table that this can read.
    """
    size = image.stat().st_size
    with image.open("rb") as file:
        first = file.read(SECTOR)
        if len(first) < SECTOR or first[510:] != b"\x55\xaa":
            raise _no_table(image, "no boot signature in its first sector")
        entries = [first[446 + 16 * n : 462 + 16 * n] for n in range(4)]
        found = []
        for entry in entries:
            kind, start, sectors = entry[4], *struct.unpack("<II", entry[8:16])
            if kind == _MBR_PROTECTIVE:
                file.seek(SECTOR)
                found = _gpt(image, file.read(SECTOR), file.fileno())
                break
            if kind and kind not in _MBR_EXTENDED and sectors:
                found.append((start * SECTOR, sectors * SECTOR))
    inside = [(at, length) for at, length in found if at > 0 and at + length <= size]
    if len(inside) != len(found):
        raise _no_table(image, "a partition ends behind the image's end: it is cut off")
    return inside


def _gpt(image: Path, header: bytes, descriptor: int) -> list[tuple[int, int]]:
    if header[:8] != b"EFI PART":
        raise _no_table(image, "a protective MBR without a GPT")
    at, count, each = struct.unpack("<QII", header[72:88])
    if not 128 <= each <= 4096 or count > _MOST_GPT_ENTRIES:
        raise _no_table(image, f"a GPT of {count} entries of {each} bytes")
    table = os.pread(descriptor, count * each, at * SECTOR)
    found = []
    for number in range(len(table) // each):
        entry = table[number * each : number * each + 128]
        first, last = struct.unpack("<QQ", entry[32:48])
        if any(entry[:16]) and first <= last:
            found.append((first * SECTOR, (last - first + 1) * SECTOR))
    return found


def _no_table(image: Path, why: str) -> FieldlineError:
    return FieldlineError(
        f"{image} is not the image of a whole disk with an MBR or GPT; take the file that"
        " `nix build` made for the host.",
        why,
    )


def root_partition(image: Path) -> Partition:
    """The image's ext4 partition; of several, the one labelled as nixpkgs does.

    Raises:
        FieldlineError: there is none, or it cannot be told which.
    """
    _check_plain(image)
    found = []
    with image.open("rb") as file:
        for offset, length in partitions(image):
            if length < 4096:
                continue
            file.seek(offset + _SUPERBLOCK)
            block = file.read(1024)
            (incompatible,) = struct.unpack("<I", block[_INCOMPATIBLE_AT : _INCOMPATIBLE_AT + 4])
            if block[_MAGIC_AT : _MAGIC_AT + 2] != _MAGIC or not incompatible & _EXTENTS:
                continue
            label = block[_LABEL_AT : _LABEL_AT + _LABEL_BYTES].rstrip(b"\0").decode("latin-1")
            found.append(Partition(offset, label, bool(incompatible & _NEEDS_RECOVERY)))
    labelled = [partition for partition in found if partition.label == ROOT_LABEL]
    chosen = labelled if len(labelled) == 1 else found
    if len(chosen) != 1:
        labels = ", ".join(partition.label or "(no label)" for partition in found) or "none"
        raise FieldlineError(
            f"Take an image with one ext4 partition, or with one labelled {ROOT_LABEL}.",
            f"ext4 partitions of {image}: {labels}",
        )
    if chosen[0].needs_recovery:
        raise FieldlineError(
            f"{image} was in use and not closed in order: take the image as it was built, or"
            " unmount it."
        )
    return chosen[0]


def _check_plain(image: Path) -> None:
    try:
        with image.open("rb") as file:
            begin = file.read(8)
    except OSError as error:
        raise FieldlineError(f"Name a readable image: {image}.", str(error)) from None
    for magic, command in _COMPRESSED.items():
        if begin.startswith(magic):
            plain = image.with_suffix("")
            raise FieldlineError(
                f"Decompress the image first: `{command} {image}`, then name {plain}. (A path"
                f" below /nix/store must be copied elsewhere before.)"
            )
    if not os.access(image, os.W_OK):
        raise FieldlineError(f"Make {image} writable, or copy it: the key is written into it.")


def put_file(image: Path, path: str, content: bytes) -> bool:
    """Put a file, 0400 of root, into the image's root partition; whether it was not there yet.

    The folder around it becomes 0700 of root; folders above, where they are made, 0755.

    Raises:
        FieldlineError: the image is none, or does not take it; what is read back decides.
    """
    partition = root_partition(image)
    target = PurePosixPath(path)
    debugfs = _Debugfs(image, partition)
    if debugfs.state(target) == (content, 0o100400):
        return False
    commands = []
    for folder in reversed(target.parents[:-1]):
        if debugfs.mode(folder) is None:
            mode = 0o40700 if folder == target.parent else 0o40755
            commands += [f"mkdir {folder}", *_owned(folder, mode)]
    commands += _owned(target.parent, 0o40700)
    if debugfs.mode(target) is not None:
        commands.append(f"rm {target}")
    with in_memory(content.decode()) as (source, descriptor):
        commands += [f"write {source} {target}", *_owned(target, 0o100400)]
        said = debugfs.change(list(dict.fromkeys(commands)), descriptor)
    found = debugfs.state(target)
    if found != (content, 0o100400):
        raise FieldlineError(
            f"{image} did not take the file; take a fresh image, with room on its root partition.",
            said or f"read back: mode {found[1]:o}, {len(found[0])} bytes",
        )
    return True


def _owned(path: PurePosixPath, mode: int) -> list[str]:
    return [
        f"set_inode_field {path} mode 0{mode:o}",
        f"set_inode_field {path} uid 0",
        f"set_inode_field {path} gid 0",
    ]


class _Debugfs:
    """debugfs on a partition inside an image."""

    def __init__(self, image: Path, partition: Partition) -> None:
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
        program = shutil.which("debugfs", path=path)
        if program is None:
            raise FieldlineError("Install e2fsprogs, whose `debugfs` writes into the image.")
        self._program = program
        self._device = f"{image.resolve()}?offset={partition.offset}"
        if "?" in str(image.resolve()):
            raise FieldlineError(f"Rename {image}: debugfs takes no question mark in a path.")

    def _run(self, arguments: Sequence[str], stdin: str = "", descriptor: int = -1) -> bytes:
        done = subprocess.run(
            [self._program, *arguments, self._device],
            input=stdin.encode(),
            capture_output=True,
            check=False,
            timeout=SECONDS,
            pass_fds=[descriptor] if descriptor >= 0 else [],
        )
        # It ends with 0 whatever happens, and says what did not work on standard error.
        self.errors = "\n".join(
            line
            for line in done.stderr.decode(errors="replace").splitlines()
            if line and not line.startswith("debugfs 1.")
        )
        return done.stdout

    def mode(self, path: PurePosixPath) -> int | None:
        """The mode of a file or folder with its kind; None if there is none, or not of root."""
        text = self._run(["-R", f"stat {path}"]).decode(errors="replace")
        kind = re.search(r"Type: (\w+) +Mode: +0?([0-7]{3,4})", text)
        owner = re.search(r"User: +(\d+) +Group: +(\d+)", text)
        if kind is None or owner is None:
            return None
        kinds = {"regular": stat.S_IFREG, "directory": stat.S_IFDIR}
        of_root = owner.groups() == ("0", "0")
        return kinds.get(kind[1], 0) | int(kind[2], 8) if of_root else 0

    def state(self, path: PurePosixPath) -> tuple[bytes, int]:
        """Content and mode of a file; the mode is 0 where there is none that is root's."""
        mode = self.mode(path) or 0
        return (self._run(["-R", f"cat {path}"]) if mode else b""), mode

    def change(self, commands: list[str], descriptor: int) -> str:
        """Run commands that write; what went wrong, as it says it."""
        self._run(["-w", "-f", "-"], "\n".join([*commands, ""]), descriptor)
        return self.errors
