"""A copy of a server's folders, taken while it stands still, in as little time as can be.

What never changes again gets a second name (a hard link), the rest is copied: so a server stands
still for its own stop and start and for its newest files, however much it holds. The archive is
written from the copy, with the server running again.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from fieldline.backup.archive import Item
from fieldline.backup.parts import Part
from fieldline.errors import FieldlineError


def walk(part: Part, state: Path) -> Iterator[tuple[Item, bool]]:
    """What a part consists of, folders before what is in them, and whether it never changes again.

    Args:
        state: where the part's folders are.
    Raises:
        FieldlineError: there is something else than files and folders.
        OSError: a folder cannot be read.
    """
    for folder in part.folders:
        if (state / folder).exists():
            yield from _walk(part, state / folder, folder)


def _walk(part: Part, path: Path, name: str) -> Iterator[tuple[Item, bool]]:
    try:
        status, names = path.stat(), sorted(os.listdir(path))
    except FileNotFoundError:
        # Removed by a running server, of which only an estimate is made.
        return
    yield Item(name, path, status, folder=True), False
    immutable = part.immutable(names)
    for entry in names:
        below, inside = path / entry, f"{name}/{entry}"
        try:
            status = below.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(part, below, inside)
        elif stat.S_ISREG(status.st_mode) and "\n" not in inside and "\\" not in inside:
            yield Item(inside, below, status, folder=False), entry in immutable
        elif not stat.S_ISSOCK(status.st_mode):
            raise FieldlineError(
                f"{below} is nothing that {part.title} makes (a link, a device, a name with a line "
                "end), and a backup holds only files and folders. Move it away; where it is a "
                "link, put the data themselves in its place."
            )


def estimate(part: Part, state: Path) -> tuple[int, int]:
    """Bytes of a running server's data: all of it, and what a copy of it takes on its own disk.

    As allocated: Kafka's indexes are large by their size alone, until it stops.
    """
    total = copied = 0
    for item, immutable in walk(part, state):
        size = item.status.st_blocks * 512
        total += size
        copied += 0 if immutable else size
    return total, copied


def take(part: Part, state: Path, into: Path) -> list[Item]:
    """Take the copy; the items are what is to be archived, in the order of `walk`.

    Raises:
        FieldlineError, OSError: see `walk`; or there is no room.
    """
    items = []
    for item, immutable in walk(part, state):
        target = into / item.name
        if item.folder:
            target.mkdir(mode=0o700, parents=True)
        elif not (immutable and _linked(item.path, target)):
            shutil.copyfile(item.path, target)
        items.append(Item(item.name, target, item.status, item.folder))
    return items


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:
        # On a file system of its own, or one without links.
        return False
    return True
