"""A disk of its own for a host, which can be full and whose power can be cut.

A file with ext4 on it, mounted as the host's /var. What the host has written and not yet flushed is
in this machine's memory, as on a machine of its own; ext4 can be told to go as if the power went:
nothing more reaches the disk, the journal is not written, and what was not flushed is gone.
"""

import ctypes
import fcntl
import os
import struct
import time
from pathlib import Path

from fieldline.errors import FieldlineError
from fieldline_lab.process import run

# linux/ext4.h and fs/ext4/ext4.h, EXT4_IOC_SHUTDOWN: the journal is not flushed before.
_SHUTDOWN = 0x8004587D
_WITHOUT_FLUSHING = 2
# An hour of the plant takes some hundred MB; a full disk is quickly filled.
SIZE_MIB = 1024
_MIB = 1 << 20
_FILLER = "filler"
_LETTING_GO_S = 10.0
_FEW_BLOCKS = 16
# Python has no syncfs.
_libc = ctypes.CDLL(None, use_errno=True)


def share(folder: Path) -> None:
    """Have what is unmounted below a folder unmounted for everybody.

    A host that is booted gets a copy of all mounts of this machine, and where the machine's own
    root cannot be pivoted away from, the copies stay in it, out of sight: another host's disk would
    never be let go of.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run(["mount", "--bind", str(folder), str(folder)])
    run(["mount", "--make-shared", str(folder)])


class Disk:
    """One host's disk: an image, and the folder where it is mounted."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self._folder = folder

    def make(self) -> None:
        """Make it anew, empty, and mount it."""
        self._write()
        # No blocks are kept for root: full is full for everybody. Nothing is discarded, and nothing
        # left to be written later, beside what is measured.
        options = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
        run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", options, str(self._image)])
        self.mount()

    def _write(self) -> None:
        """Have each of the image's blocks on the machine's disk.

        In a file with holes each flush would wait for this machine's file system too, which has to
        note the new blocks in its journal: many times what a flush takes on a disk.
        """
        self._image.parent.mkdir(parents=True, exist_ok=True)
        size = SIZE_MIB * _MIB
        if self._image.exists():
            status = self._image.stat()
            if status.st_size == size <= status.st_blocks * 512:
                return
        with self._image.open("wb") as file:
            for _ in range(SIZE_MIB):
                file.write(bytes(_MIB))
            os.fsync(file.fileno())

    def mount(self) -> None:
        """Mount it; after a power cut ext4 recovers from its journal here."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # Directly: what the host has flushed is on the disk, and not once more in this machine's
        # memory.
        attach = ["losetup", "--find", "--show", "--direct-io=on", str(self._image)]
        device = run(attach).stdout.strip()
        try:
            run(["mount", device, str(self._folder)])
        finally:
            # Let go of as soon as it is unmounted.
            run(["losetup", "--detach", device])

    def unmount(self) -> None:
        """Take it off; nothing may use it.

        Raises:
            FieldlineError: something still does.
        """
        run(["umount", str(self._folder)])
        # The kernel lets go of it a moment later, with the last of the host's processes; mounted
        # before that, it would be the same file system, with its power still cut.
        end = time.monotonic() + _LETTING_GO_S
        while self._attached():
            if time.monotonic() > end:
                raise FieldlineError(f"{self._image} is unmounted, and still in use.")
            time.sleep(0.01)

    def _attached(self) -> bool:
        """Whether a loop device still has the image."""
        for file in Path("/sys/block").glob("loop*/loop/backing_file"):
            try:
                if file.read_text().strip() == str(self._image):
                    return True
            except OSError:
                continue  # Detached just now.
        return False

    def sync(self) -> None:
        """Have it hold all that was written until now."""
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            if _libc.syncfs(descriptor):
                number = ctypes.get_errno()
                raise FieldlineError(f"{self._folder} can't be synced.", os.strerror(number))
        finally:
            os.close(descriptor)

    def cut(self) -> None:
        """Cut its power: from now on each write fails, and what was not flushed is lost.

        Raises:
            FieldlineError: it can still be written to.
        """
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSHING))
        finally:
            os.close(descriptor)
        try:
            (self._folder / "still-here").touch()
        except OSError:
            return
        raise FieldlineError(f"The power of {self._folder} was not cut.")

    def fill(self) -> None:
        """Leave no room on it.

        Raises:
            FieldlineError: there is some left.
        """
        filler = self._folder / _FILLER
        status = os.statvfs(self._folder)
        descriptor = os.open(filler, os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            size = status.f_bavail * status.f_frsize
            # The file's own tree of extents needs some blocks too: less and less is tried.
            while size >= status.f_frsize:
                try:
                    os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, size)
                except OSError:
                    size //= 2
        finally:
            os.close(descriptor)
        left = os.statvfs(self._folder).f_bavail
        if left > _FEW_BLOCKS:
            raise FieldlineError(f"{self._folder} is not full: {left} blocks are left.")

    def free(self) -> None:
        """Give the room back."""
        (self._folder / _FILLER).unlink(missing_ok=True)
