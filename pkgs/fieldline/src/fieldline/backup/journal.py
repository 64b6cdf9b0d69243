"""How far a restore has come: one file on the disk, written before what it tells of begins.

    unpacking → unpacked → switching → starting → cleaning → over (no record)
                   ↑           ↓           ↓
                   └─────── going back ←───┘

Until `cleaning` everything that was there before is kept, and can be gone back to.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from fieldline.backup.disk import write_whole
from fieldline.errors import FieldlineError

RECORD = "restore.json"


class Phase(StrEnum):
    """What has begun."""

    UNPACKING = "unpacking"
    UNPACKED = "unpacked"
    SWITCHING = "switching"
    STARTING = "starting"
    CLEANING = "cleaning"
    GOING_BACK = "going back"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One restore.

    Attributes:
        archive, created: the archive and when it was made.
        parts: names of `fieldline.backup.parts`.
        ran: the units that ran before, and are to run afterwards.
        reason: why the last attempt was gone back from.
    """

    archive: str
    created: str
    parts: tuple[str, ...]
    phase: Phase = Phase.UNPACKING
    ran: tuple[str, ...] = ()
    reason: str = ""


class Journal:
    """The record of a restore in its folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RECORD

    def read(self) -> Record | None:
        """The record, or None where no restore is under way.

        Raises:
            FieldlineError: it is none.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Record)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            folder = self._path.parent
            raise FieldlineError(
                f"{self._path} tells nothing of a restore. What was there before is in "
                f"{folder}/old, what was unpacked in {folder}/new: move the right one back, then "
                f"remove {folder}.",
                str(error),
            ) from None

    def write(self, record: Record) -> None:
        """Keep a record."""
        write_whole(self._path, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
