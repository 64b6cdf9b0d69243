"""The archive: a tar file of the folders below /var/lib, with a manifest first and sums last.

Members: `manifest.json`; folders and files such as `apache-kafka/log/opc-0/…`, so that
`tar --extract --directory /var/lib` is a way back without this program; `SHA256SUMS`, in the form
of coreutils' sha256sum, of every file before it. An archive without its last member is cut off.
Owners are kept by name, since a new machine has other numbers. Not compressed: Telegraf's records
and InfluxDB's blocks are already.
"""

from __future__ import annotations

import grp
import hashlib
import io
import os
import pwd
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from fieldline.backup.manifest import ArchiveError, Manifest, decode, encode
from fieldline.backup.parts import PARTS

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"

# Told with each block: bytes of files done so far.
Progress = Callable[[int], None]

_BLOCK = 256 * 1024
_ZEROS = bytes(_BLOCK)
# tar's own: a header per member, contents rounded up to this.
_RECORD = 512


@dataclass(frozen=True, slots=True)
class Item:
    """A file or a folder to be archived.

    Attributes:
        name: in the archive; path: where it is read from.
        status: as it was when the copy was taken; a file that has grown since is cut at that size.
    """

    name: str
    path: Path
    status: os.stat_result
    folder: bool


def archive_bytes(items: Iterable[Item]) -> int:
    """How large an archive of these items becomes, at most."""
    total = 64 * 1024  # manifest, end, and its rounding up to 10 KiB
    for item in items:
        # Two more headers for a long name, and its line among the sums.
        total += 4 * _RECORD + 2 * len(item.name) + 66
        total += 0 if item.folder else -(-item.status.st_size // _RECORD) * _RECORD
    return total


def write(stream: BinaryIO, manifest: Manifest, items: Iterable[Item], progress: Progress) -> None:
    """Write an archive.

    Raises:
        OSError: an item cannot be read, is shorter than it was, or there is no room.
    """
    sums: list[str] = []
    done = 0
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        _add_text(tar, MANIFEST, encode(manifest), sums)
        for item in items:
            member = _member(item)
            if item.folder:
                tar.addfile(member)
                continue
            with item.path.open("rb") as file:
                reader = _Reader(file, item.status.st_size, done, progress)
                tar.addfile(member, reader)
            done += member.size
            sums.append(f"{reader.sum.hexdigest()}  {item.name}\n")
        _add_text(tar, SUMS, "".join(sums).encode(), [])


def read_manifest(path: Path) -> Manifest:
    """The manifest of an archive, without looking at the rest.

    Raises:
        ArchiveError: there is no such file, or it is no archive, or one of a newer format.
    """
    with _opened(path) as tar:
        return _manifest(tar, path)[0]


def read(path: Path, into: Path | None, progress: Progress) -> Manifest:
    """Read a whole archive and compare every file with its sum; unpack it into `into`, if given.

    Raises:
        ArchiveError: it is damaged or cut off, or no archive; `into` then holds a part of it.
        OSError: it cannot be unpacked, for want of room for instance.
    """
    found: dict[str, str] = {}
    listed: bytes | None = None
    done = 0
    with _opened(path) as tar:
        manifest, found[MANIFEST] = _manifest(tar, path)
        allowed = [
            folder for part in PARTS if part.name in manifest.parts for folder in part.folders
        ]
        while (member := tar.next()) is not None:
            source = tar.extractfile(member) if member.isreg() else None
            if member.name == SUMS and source is not None:
                listed = source.read()
                continue
            target = _place(member, allowed, into, path)
            if member.isdir():
                if target is not None:
                    target.mkdir(mode=0o700, parents=True, exist_ok=True)
                    _restore_owner(target, member)
                continue
            if source is None:
                raise _damaged(path, f"{member.name} is neither a file nor a folder")
            reader = _Reader(source, member.size, done, progress)
            _unpack(reader, target, member)
            done += member.size
            found[member.name] = reader.sum.hexdigest()
    _compare(found, listed, path)
    return manifest


def _compare(found: dict[str, str], listed: bytes | None, path: Path) -> None:
    if listed is None:
        raise _damaged(path, f"it is cut off: its last member, {SUMS}, is missing")
    wanted = {}
    for line in listed.decode(errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        wanted[name] = digest
    wrong = sorted(name for name, digest in wanted.items() if found.get(name, digest) != digest)
    missing = sorted(wanted.keys() - found.keys())
    unknown = sorted(found.keys() - wanted.keys())
    for names, what in ((wrong, "changed"), (missing, "missing"), (unknown, "not of it")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise _damaged(path, f"{what}: {names[0]}{more}")


class _Reader(io.RawIOBase):
    """Reads a file up to a size, sums it up and tells how far it is; `done` bytes come before."""

    def __init__(self, file: IO[bytes], size: int, done: int, progress: Progress) -> None:
        self._file = file
        self._left = size
        self._done = done
        self._progress = progress
        self.sum = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes; none at the end.

        Raises:
            OSError: the file has ended before its size.
        """
        wanted = min(_BLOCK if size < 0 else size, self._left)
        block = self._file.read(wanted) if wanted else b""
        if len(block) < wanted:
            raise OSError(f"a file is {self._left - len(block)} bytes shorter than it was")
        self._left -= len(block)
        self._done += len(block)
        self.sum.update(block)
        self._progress(self._done)
        return block


def _member(item: Item) -> tarfile.TarInfo:
    member = tarfile.TarInfo(item.name)
    status = item.status
    member.type = tarfile.DIRTYPE if item.folder else tarfile.REGTYPE
    member.size = 0 if item.folder else status.st_size
    member.mode = status.st_mode & 0o7777
    member.mtime = int(status.st_mtime)
    member.uid, member.gid = status.st_uid, status.st_gid
    with suppress(KeyError):
        member.uname = pwd.getpwuid(status.st_uid).pw_name
    with suppress(KeyError):
        member.gname = grp.getgrgid(status.st_gid).gr_name
    return member


def _add_text(tar: tarfile.TarFile, name: str, text: bytes, sums: list[str]) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(text)
    member.mode = 0o600
    tar.addfile(member, io.BytesIO(text))
    sums.append(f"{hashlib.sha256(text).hexdigest()}  {name}\n")


def _damaged(path: Path, cause: str) -> ArchiveError:
    return ArchiveError(
        f"{path} is damaged; nothing was changed. Copy it here again and compare it with where it "
        "came from (sha256sum), or take an older archive.",
        cause,
    )


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """The archive; whatever tarfile finds wrong in it is an ArchiveError."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise ArchiveError(
            f"{path} cannot be read: name an archive of this host.", str(error)
        ) from None
    with file:
        try:
            with tarfile.open(fileobj=file, mode="r:", errorlevel=2) as tar:
                yield tar
        except (tarfile.TarError, EOFError, UnicodeError, ValueError) as error:
            raise _damaged(path, str(error)) from None


def _manifest(tar: tarfile.TarFile, path: Path) -> tuple[Manifest, str]:
    first = tar.next()
    source = None
    if first is not None and first.isreg() and first.name == MANIFEST:
        source = tar.extractfile(first)
    if source is None:
        raise ArchiveError(
            f"{path} is no archive of `fieldline backup`: it does not begin with {MANIFEST}."
        )
    text = source.read()
    return decode(text, str(path)), hashlib.sha256(text).hexdigest()


def _place(
    member: tarfile.TarInfo, allowed: list[str], into: Path | None, archive: Path
) -> Path | None:
    """Where a member belongs; never outside of the folders that its manifest names."""
    path = PurePosixPath(member.name)
    inside = any(path.is_relative_to(folder) for folder in allowed)
    if not inside or ".." in path.parts:
        raise _damaged(archive, f"{member.name} belongs to no part of it")
    return None if into is None else into / path


def _unpack(reader: _Reader, target: Path | None, member: tarfile.TarInfo) -> None:
    if target is None:
        while reader.read():
            pass
        return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Nobody but root, until it is the owner's.
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        while block := reader.read():
            # InfluxDB and Kafka allocate more than they fill: holes stay holes.
            if block == _ZEROS[: len(block)]:
                file.seek(len(block), os.SEEK_CUR)
            else:
                _write_all(file, block)
        file.truncate(member.size)
    _restore_owner(target, member)
    os.utime(target, (member.mtime, member.mtime))


def _write_all(file: io.RawIOBase, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[file.write(view) or 0 :]


def _restore_owner(target: Path, member: tarfile.TarInfo) -> None:
    if os.geteuid() == 0:
        uid, gid = member.uid, member.gid
        with suppress(KeyError):
            uid = pwd.getpwnam(member.uname).pw_uid
        with suppress(KeyError):
            gid = grp.getgrnam(member.gname).gr_gid
        os.chown(target, uid, gid)
    target.chmod(member.mode & 0o7777)
