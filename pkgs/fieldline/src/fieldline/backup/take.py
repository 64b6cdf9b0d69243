"""`fieldline backup`: copy Kafka, then InfluxDB, each while it stands still; then archive both."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fieldline.backup import archive, snapshot
from fieldline.backup.checks import check_room
from fieldline.backup.disk import remove, sync_folder
from fieldline.backup.manifest import Manifest
from fieldline.backup.parts import Part
from fieldline.errors import FieldlineError

# Below /var/lib, since a file's second name must be on its own file system.
STAGE = "fieldline-backup"

# What an archive is called while it is written.
_UNFINISHED = ".fieldline-backup."

Progress = Callable[[str], None]
# Bytes of files and folders → what the archive says of itself.
Describe = Callable[[Mapping[str, tuple[int, int]]], Manifest]


class Servers(Protocol):
    """What is done to servers; see `fieldline.backup.host`."""

    def running(self, units: Sequence[str]) -> dict[str, bool]:
        """Those of the units that are on this host, and whether each one runs."""

    def stop(self, units: Sequence[str]) -> None:
        """Stop units."""

    def start(self, unit: str) -> None:
        """Start a unit and wait until it is ready."""


class Guards(Protocol):
    """What must happen even so: see `fieldline.backup.host`."""

    def started_again(self, units: Sequence[str], *leftovers: Path) -> AbstractContextManager[None]:
        """Units that are started should this process be killed."""

    def held(self) -> AbstractContextManager[None]:
        """Nothing is interrupted within this."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that was made; `stopped` is how long each server stood still, s, by part."""

    file: Path
    bytes: int
    stopped: dict[str, float]
    manifest: Manifest


class Backup:
    """Makes one archive of some parts.

    Args:
        state: where the parts' folders are.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        state: Path,
        servers: Servers,
        guards: Guards,
        progress: Progress,
    ) -> None:
        self._parts = parts
        self._state = state
        self._stage = state / STAGE
        self._servers = servers
        self._guards = guards
        self._progress = progress

    def run(self, target: Path, describe: Describe) -> Taken:
        """Make the archive `target`, which is there whole or not at all.

        Raises:
            FieldlineError: no room, something that is no file, a server that does not start again.
            OSError: something cannot be read or written.
        """
        if target.exists():
            raise FieldlineError(f"{target} exists already: name another file, or move it away.")
        # Left by a backup that was killed.
        remove(self._stage)
        for unfinished in target.parent.glob(f"{_UNFINISHED}*"):
            unfinished.unlink()
        self._check_room(target)
        try:
            self._stage.mkdir(mode=0o700)
            items: dict[str, list[archive.Item]] = {}
            stopped: dict[str, float] = {}
            for part in self._parts:
                items[part.name], stopped[part.name] = self._copy(part)
            everything = [item for listed in items.values() for item in listed]
            need = archive.archive_bytes(everything)
            check_room(target.parent, need, "the archive")
            manifest = describe({name: _size(listed) for name, listed in items.items()})
            self._write(target, manifest, everything)
            return Taken(target, target.stat().st_size, stopped, manifest)
        finally:
            with self._guards.held():
                remove(self._stage)

    def _check_room(self, target: Path) -> None:
        """Refuse before anything is stopped, by what the running servers have allocated."""
        total = copied = 0
        for part in self._parts:
            more, own = snapshot.estimate(part, self._state)
            total, copied = total + more, copied + own
        same = target.parent.stat().st_dev == self._state.stat().st_dev
        check_room(target.parent, total + (copied if same else 0), "the archive")
        if not same:
            check_room(self._state, copied, "a copy of what changes")

    def _copy(self, part: Part) -> tuple[list[archive.Item], float]:
        """Copy a part while its server stands still; the items and for how long, s."""
        ran = self._servers.running([part.unit]).get(part.unit, False)
        if not ran:
            # It may be about to: then its end is waited for.
            self._servers.stop([part.unit])
            return self._take(part), 0.0
        with self._guards.started_again([part.unit], self._stage):
            begin = time.monotonic()
            try:
                self._progress(f"stopping {part.title}")
                self._servers.stop([part.unit])
                items = self._take(part)
            finally:
                with self._guards.held():
                    self._progress(f"starting {part.title}")
                    self._servers.start(part.unit)
            return items, time.monotonic() - begin

    def _take(self, part: Part) -> list[archive.Item]:
        self._progress(f"copying what changes of {part.title}")
        items = snapshot.take(part, self._state, self._stage)
        if self._servers.running([part.unit]).get(part.unit, False):
            raise FieldlineError(
                f"Somebody started {part.unit} while it was copied; nothing was kept. Try again."
            )
        if not items:
            raise FieldlineError(
                f"{part.title} has no data in {self._state / part.folders[0]}: start it once."
            )
        return items

    def _write(self, target: Path, manifest: Manifest, items: Sequence[archive.Item]) -> None:
        total = max(1, sum(item.status.st_size for item in items if not item.folder))

        def tell(done: int) -> None:
            self._progress(f"writing the archive, {100 * done // total} % of {total >> 20} MiB")

        # 0600 from its begin, and under a name that no reader takes for an archive.
        descriptor, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=target.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                archive.write(file, manifest, items, tell)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(target)
            sync_folder(target.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _size(items: Sequence[archive.Item]) -> tuple[int, int]:
    files = [item for item in items if not item.folder]
    return len(files), sum(item.status.st_size for item in files)
