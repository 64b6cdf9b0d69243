"""`fieldline restore`: unpack beside what is there, change places, start, and only then remove.

Everything is on one file system, so changing places is renaming. Every step can be done again,
after a kill or a power cut, from what lies where.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from fieldline.backup import archive
from fieldline.backup.journal import Journal, Phase, Record
from fieldline.backup.manifest import Manifest
from fieldline.backup.parts import PARTS, USERS, Part, servers_of
from fieldline.errors import FieldlineError

STAGE = "fieldline-restore"

Progress = Callable[[str], None]


class Host(Protocol):
    """What is done to a host; see `fieldline.backup.command.RealHost`."""

    def running(self, units: Sequence[str]) -> dict[str, bool]:
        """Those of the units that are on this host, and whether each one runs."""

    def stop(self, units: Sequence[str]) -> None:
        """Stop units."""

    def start(self, unit: str) -> None:
        """Start a unit and wait until it is ready."""

    def move(self, source: Path, target: Path) -> None:
        """Rename a folder."""

    def remove(self, path: Path) -> None:
        """Remove a folder with all that is in it."""

    def sync(self) -> None:
        """Bring everything to the disk."""

    def held(self) -> AbstractContextManager[None]:
        """Nothing is interrupted within this."""


class Restore:
    """Puts an archive in the place of what is there.

    Args:
        state: where the parts' folders are.
    """

    def __init__(self, state: Path, host: Host, progress: Progress) -> None:
        self._state = state
        self._stage = state / STAGE
        self._host = host
        self._progress = progress
        self.journal = Journal(self._stage)

    def unpack(self, path: Path, manifest: Manifest) -> None:
        """Unpack an archive beside what is there, and compare every file with its sum.

        Raises:
            ArchiveError, OSError: see `archive.read`; nothing is left of it then.
        """
        self.forget()
        self._stage.mkdir(mode=0o700)
        record = Record(archive=str(path), created=manifest.created, parts=tuple(manifest.parts))
        self.journal.write(record)
        try:
            archive.read(path, self._stage / "new", self.percent("unpacking", manifest))
            self._progress("writing to the disk")
            self._host.sync()
        except BaseException:
            with self._host.held():
                self.forget()
            raise
        self.journal.write(replace(record, phase=Phase.UNPACKED))

    def percent(self, what: str, manifest: Manifest) -> archive.Progress:
        """Tells how much of an archive's files is done."""
        total = max(1, sum(part.bytes for part in manifest.parts.values()))
        return lambda done: self._progress(f"{what}, {100 * done // total} % of {total >> 20} MiB")

    def forget(self) -> None:
        """Remove what an earlier restore left; only where nothing in it is needed any more."""
        # The record last: as long as there is anything else, it says what.
        for name in ("begun", "old", "new"):
            self._host.remove(self._stage / name)
        self._host.remove(self._stage)

    def run(self) -> Record:
        """Go on from the recorded phase to the end.

        Returns:
            The record as it was when everything was in place and ready.
        Raises:
            FieldlineError: it failed; what was there before is back in its place, and runs.
            KeyboardInterrupt: likewise.
        """
        record = self._known()
        if record.phase is Phase.UNPACKING:
            raise FieldlineError(
                f"{record.archive} was not unpacked to its end, and nothing was changed: restore it"
                " again from its begin."
            )
        try:
            if record.phase is Phase.GOING_BACK:
                record = self._go_back(record, record.reason)
            if record.phase is Phase.UNPACKED:
                units = self._host.running([*servers_of(_parts(record)), *USERS])
                ran = tuple(unit for unit, runs in units.items() if runs)
                record = self._to(replace(record, ran=ran), Phase.SWITCHING)
            if record.phase is Phase.SWITCHING:
                self._switch(record)
                record = self._to(record, Phase.STARTING)
            if record.phase is Phase.STARTING:
                self._start(servers_of(_parts(record)))
                record = self._to(record, Phase.CLEANING)
        except (FieldlineError, OSError, KeyboardInterrupt) as error:
            if self._known().phase in (Phase.UNPACKED, Phase.CLEANING):
                raise
            self._failed(error)
        self._clean(record)
        return record

    def abort(self) -> None:
        """Go back to what was there before, and remove what was unpacked.

        Raises:
            FieldlineError: it is too late, or going back fails.
        """
        record = self._known()
        if record.phase is Phase.CLEANING:
            raise FieldlineError(
                "It is too late: what was restored is in place and runs. `fieldline restore"
                " --resume` removes what was there before; an older archive is restored like this"
                " one."
            )
        if record.phase not in (Phase.UNPACKING, Phase.UNPACKED):
            with self._host.held():
                record = self._go_back(record, "somebody asked for it")
        # From now on what was unpacked is not whole.
        self._to(record, Phase.UNPACKING)
        self.forget()

    def _known(self) -> Record:
        record = self.journal.read()
        if record is None:
            raise FieldlineError("No restore is under way: name an archive.")
        return record

    def _to(self, record: Record, phase: Phase) -> Record:
        record = replace(record, phase=phase)
        self.journal.write(record)
        return record

    def _failed(self, error: BaseException) -> None:
        """Go back, and tell why."""
        reason = str(error) or "it was interrupted"
        with self._host.held():
            try:
                self._go_back(self._known(), reason)
            except (FieldlineError, OSError) as second:
                raise FieldlineError(
                    "The restore failed, and so did going back. What was there before is kept: put"
                    " right what the cause names, then `fieldline restore --abort` goes back, or"
                    " `fieldline restore --resume` tries again.",
                    f"{second}; before that: {reason}",
                ) from error
        if isinstance(error, KeyboardInterrupt):
            raise error
        raise FieldlineError(
            "The restore failed; what was there before is back in its place and runs. Put right"
            " what the cause names, then `fieldline restore --resume` tries again without"
            " unpacking; `fieldline restore --abort` removes what was unpacked.",
            reason,
        ) from error

    def _switch(self, record: Record) -> None:
        """What is there goes to `old`, what was unpacked to its place."""
        self._stop(record)
        for folder in _folders(record):
            place, new, old = self._places(folder)
            if not new.exists():
                continue
            if place.exists():
                # With an old one there this is none: a start of the host in between began it.
                self._host.move(place, self._begun(folder) if old.exists() else old)
            self._host.move(new, place)

    def _go_back(self, record: Record, reason: str) -> Record:
        """The opposite, from wherever it stands; what was unpacked can be used again."""
        record = self._to(replace(record, reason=reason), Phase.GOING_BACK)
        self._stop(record)
        for folder in _folders(record):
            place, new, old = self._places(folder)
            if place.exists() and not new.exists():
                self._host.move(place, new)
            if old.exists():
                if place.exists():
                    self._host.move(place, self._begun(folder))
                self._host.move(old, place)
        units = [*servers_of(_parts(record)), *USERS]
        self._start([unit for unit in units if unit in record.ran])
        return self._to(record, Phase.UNPACKED)

    def _clean(self, record: Record) -> None:
        """Everything is in place and ready: start who uses it, and remove what was there before."""
        try:
            self._start([unit for unit in USERS if unit in record.ran])
        except FieldlineError as error:
            raise FieldlineError(
                "Everything is restored and its servers run, but not everything that uses them."
                " Put that right, then `fieldline restore --resume` ends it.",
                str(error),
            ) from error
        self._progress("removing what was there before")
        self._host.sync()
        self.forget()

    def _stop(self, record: Record) -> None:
        self._progress("stopping the servers")
        self._host.stop(list(self._host.running([*servers_of(_parts(record)), *USERS])))

    def _start(self, units: Sequence[str]) -> None:
        present = self._host.running(units)
        for unit in units:
            if unit in present:
                self._progress(f"starting {unit.removesuffix('.service')}")
                self._host.start(unit)

    def _places(self, folder: str) -> tuple[Path, Path, Path]:
        return self._state / folder, self._stage / "new" / folder, self._stage / "old" / folder

    def _begun(self, folder: str) -> Path:
        number = 1
        while (place := self._stage / "begun" / str(number) / folder).exists():
            number += 1
        return place


def _parts(record: Record) -> list[Part]:
    return [part for part in PARTS if part.name in record.parts]


def _folders(record: Record) -> list[str]:
    """All folders, InfluxDB's first, both there and back.

    Should the host start in between, with one changed and the other not, Telegraf brings what the
    Kafka of then holds into the InfluxDB that stays. The other way round Kafka's offsets would stay
    ahead of an InfluxDB that is changed after it.
    """
    return [folder for part in reversed(_parts(record)) for folder in part.folders]
