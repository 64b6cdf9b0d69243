"""The record on the disk: written whole or not at all, and changed by one process at a time."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from fieldline.errors import FieldlineError
from fieldline.guard.state import ATTEMPTS, Event, Moment, Phase, Record, Step, step

# The unit's StateDirectory; see lib/guard.nix.
DIRECTORY = Path("/var/lib/deploy-guard")
# On the way back a record that cannot be written is no reason to stay.
_BACK = (Phase.REVERTING, Phase.REBOOTING, Phase.REVERTED)
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def moment() -> Moment:
    """Now, on a clock that goes on while the host is suspended and that nobody can set."""
    return Moment(BOOT_ID.read_text().strip(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))


class Store:
    """The guard's record. Every process that changes it holds a lock while it does."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._path = directory / "switch.json"
        self._lock = directory / "lock"
        self._unwritten: Record | None = None

    def read(self) -> Record | None:
        """The record of the last switch, or None if there was none.

        Raises:
            FieldlineError: it may not be read, or is none.
        """
        try:
            value = json.loads(self._path.read_text())
            return Record(**{**value, "phase": Phase(value["phase"])})
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise FieldlineError("Only root may ask the guard; use sudo.", str(error)) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FieldlineError(
                f"{self._path} holds no record of a switch. Look which system runs"
                " (/run/current-system) and which would boot (/nix/var/nix/profiles/system), then"
                " remove the file.",
                f"{type(error).__name__}: {error}",
            ) from error

    def write(self, record: Record) -> None:
        """Write the record so that after a power cut the old or the new one is there whole."""
        new = self._path.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(asdict(record), indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.rename(self._path)
        # The name itself is on the disk only when its folder is.
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            FieldlineError: not root.
        """
        try:
            self._lock.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError as error:
            raise FieldlineError("Only root may use the guard; use sudo.", str(error)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def apply(self, event: Event, attempts: int = ATTEMPTS) -> Step | None:
        """Take one step and keep what becomes of the record; None if there is no record.

        A host whose disk is full or broken still goes back, from memory: after a kill it would
        begin that anew. Nothing else is begun that is not written.

        Raises:
            OSError: the record cannot be written.
        """
        with self.locked():
            record = self._unwritten or self.read()
            if record is None:
                return None
            result = step(record, event, attempts)
            if result.record != record or self._unwritten:
                try:
                    self.write(result.record)
                    self._unwritten = None
                except OSError:
                    if result.record.phase not in _BACK:
                        raise
                    self._unwritten = result.record
            return result

    def last(self) -> Record | None:
        """The record as this process knows it, written or not."""
        return self._unwritten or self.read()
