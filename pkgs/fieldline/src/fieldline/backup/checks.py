"""What is refused before anything is changed, each by name and with what to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fieldline.backup.disk import free_bytes
from fieldline.backup.manifest import ArchiveError, Manifest, differences, too_new
from fieldline.backup.parts import Part
from fieldline.errors import FieldlineError

# The servers go on writing while an archive is written or unpacked, and must not be the ones that
# find the disk full: some minutes of a large plant.
RESERVE_BYTES = 256 * 1024 * 1024


def check_root() -> None:
    """Refuse everybody but root.

    Raises:
        FieldlineError: not root.
    """
    if os.geteuid() != 0:
        raise FieldlineError("Only root may do this; use sudo.")


def check_room(folder: Path, need: int, what: str) -> None:
    """Refuse what would fill a disk.

    Raises:
        FieldlineError: less is free than needed and reserved.
    """
    free = free_bytes(folder)
    if free < need + RESERVE_BYTES:
        raise FieldlineError(
            f"Make room on the disk of {folder}: {what} takes {_mib(need)},"
            f" {_mib(RESERVE_BYTES)} must stay, and {_mib(free)} are free."
        )


def check_belongs(archive: Path, manifest: Manifest, here: Manifest, *, force: bool) -> None:
    """Refuse an archive of somebody else, or one of newer servers.

    Raises:
        ArchiveError: naming each difference.
    """
    if force:
        return
    found = differences(manifest, here)
    if found:
        raise ArchiveError(
            f"{archive} is not of this host of this site. Take the right one; if it is to be"
            " restored here even so, give --force.",
            "; ".join(found),
        )
    found = too_new(manifest, here)
    if found:
        raise ArchiveError(
            f"{archive} was written by newer servers than the ones here, which may not start on"
            " it. Deploy the system that made it first; to try it even so, give --force.",
            "; ".join(found),
        )


def check_place(parts: Sequence[Part], state: Path, *, replace: bool) -> None:
    """Refuse to replace data without being told to, and what cannot be replaced by renaming.

    Raises:
        FieldlineError: naming the folder.
    """
    for part in parts:
        for folder in part.folders:
            place = state / folder
            if place.is_symlink() or (
                place.exists() and place.stat().st_dev != state.stat().st_dev
            ):
                raise FieldlineError(
                    f"{place} is a link or a file system of its own, which a restore cannot change"
                    f" places with. Stop {part.unit}, empty it, and unpack {folder} by hand:"
                    f" `tar --extract --file ARCHIVE --directory {state} {folder}`."
                )
            if not replace and place.exists() and any(place.iterdir()):
                raise FieldlineError(
                    f"There are data in {place}. Give --replace if the archive is to take their"
                    " place: they are kept until the restored servers are ready, then removed."
                )


def _mib(size: int) -> str:
    return f"{-(-size >> 20)} MiB"
