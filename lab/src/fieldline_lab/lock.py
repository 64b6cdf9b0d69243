"""One command at a time per lab."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fieldline.errors import FieldlineError

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
            descriptor = _take(self._path, lambda descriptor: self._lock(descriptor, waiting))
            try:
                self._depth = 1
                _held.add(descriptor)
                yield
            finally:
                self._depth = 0
                _held.discard(descriptor)
                if not self._path.with_suffix("").exists():
                    _remove(self._path)
                os.close(descriptor)

    @staticmethod
    def _lock(descriptor: int, waiting: Callable[[str], None] | None) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                waiting(_holder(descriptor))
            fcntl.flock(descriptor, fcntl.LOCK_EX)


@contextmanager
def claim(path: Path) -> Iterator[None]:
    """Hold a file as this process's own for the block. FieldlineError if another process has it.

    Unlike LabLock's it is never inherited: it is free as soon as this process is no more.
    """

    def lock(descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FieldlineError(
                f"This lab is in use by another command: {_holder(descriptor) or 'unknown'}."
                " End that one first, or take another --name."
            ) from None

    descriptor = _take(path, lock)
    try:
        yield
    finally:
        _remove(path)
        os.close(descriptor)


def remove_unlocked(path: Path) -> None:
    """Remove the file of a lock or claim if nobody has it: its process was killed."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is(path, descriptor):
            _remove(path)
    except (BlockingIOError, FileNotFoundError):
        pass  # Somebody has it, or somebody else has just removed it.
    finally:
        os.close(descriptor)


def _take(path: Path, lock: Callable[[int], None]) -> int:
    """Make the file and lock it with `lock`, and write in it who has it; its descriptor."""
    try:
        return _make(path, lock)
    except BaseException:
        # Interrupted with the file just made: it would be left without a lab beside it.
        if not path.with_suffix("").exists():
            remove_unlocked(path)
        raise


def _make(path: Path, lock: Callable[[int], None]) -> int:
    while True:
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (FileExistsError, FileNotFoundError):
            continue  # The last lab's command has just removed the folder.
        try:
            lock(descriptor)
            # Whoever had it before may have removed the file: then others lock a new one.
            if _is(path, descriptor):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()}\n".encode(), 0)
                return descriptor
        except FileNotFoundError:
            pass  # Removed, and not yet made anew.
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is(path: Path, descriptor: int) -> bool:
    return path.stat().st_ino == os.fstat(descriptor).st_ino


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace").strip()


def _remove(path: Path) -> None:
    """Remove a locked file, and its folder where nothing else is in it. Only while it is held."""
    path.unlink(missing_ok=True)
    try:
        path.parent.rmdir()
    except OSError:
        pass  # Other labs.
