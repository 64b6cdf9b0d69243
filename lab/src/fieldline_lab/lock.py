"""One command at a time per lab."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# The descriptors of the locks that this process holds; children are given them, see `process.run`.
_held: set[int] = set()


def held_descriptors() -> tuple[int, ...]:
    """The descriptors that a child must inherit so that the lock lasts as long as the child."""
    return tuple(_held)


class LabLock:
    """A lock between processes and between the threads of one; a thread may take it twice.

    A flock ends with its last holder, however that one ends: nothing is left that could stop the
    next command. The file `ID.lock` goes with the lab's folder `ID` beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = threading.RLock()
        self._depth = 0

    @contextmanager
    def hold(self, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """Take the lock; `waiting` is told once who has it, if somebody has."""
        with self._thread:
            if self._depth:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                return
            descriptor = self._take(waiting)
            try:
                self._depth = 1
                _held.add(descriptor)
                yield
            finally:
                self._depth = 0
                _held.discard(descriptor)
                self._remove_if_unused()
                os.close(descriptor)

    def _take(self, waiting: Callable[[str], None] | None) -> int:
        while True:
            try:
                self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except (FileExistsError, FileNotFoundError):
                continue  # The last lab's command has just removed the folder.
            try:
                self._lock(descriptor, waiting)
                # Whoever had it before may have removed the file: then others lock a new one.
                if self._path.stat().st_ino == os.fstat(descriptor).st_ino:
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"process {os.getpid()}\n".encode(), 0)
                    return descriptor
            except FileNotFoundError:
                pass  # Removed, and not yet made anew.
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    @staticmethod
    def _lock(descriptor: int, waiting: Callable[[str], None] | None) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                waiting(os.pread(descriptor, 200, 0).decode(errors="replace").strip())
            fcntl.flock(descriptor, fcntl.LOCK_EX)

    def _remove_if_unused(self) -> None:
        """Remove the file where no lab is beside it. Only while the lock is held."""
        if self._path.with_suffix("").exists():
            return
        self._path.unlink(missing_ok=True)
        try:
            self._path.parent.rmdir()
        except OSError:
            pass  # Other labs.
