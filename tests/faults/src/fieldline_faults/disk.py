"""A disk of its own for a host, which can be full and whose power can be cut.

A file with ext4 on it, mounted as the host's /var. What the host has written and not yet flushed is
in this machine's memory, as on a machine of its own; ext4 can be told to go as if the power went:
nothing more reaches the disk, the journal is not written, and what was not flushed is gone.
"""

import fcntl
import os
import struct
from pathlib import Path

from fieldline_lab.process import run

# linux/ext4.h and fs/ext4/ext4.h, EXT4_IOC_SHUTDOWN: the journal is not flushed before.
_SHUTDOWN = 0x8004587D
_WITHOUT_FLUSHING = 2
# An hour of the plant takes some hundred MB; a full disk is quickly filled.
SIZE_MIB = 2048
_FILLER = "filler"


class Disk:
    """One host's disk: an image, and the folder where it is mounted."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self._folder = folder

    def make(self) -> None:
        """Make it anew, empty, and mount it."""
        self._image.parent.mkdir(parents=True, exist_ok=True)
        self._image.unlink(missing_ok=True)
        with self._image.open("wb") as file:
            file.truncate(SIZE_MIB << 20)
        # No blocks are kept for root: full is full for everybody.
        run(["mkfs.ext4", "-q", "-m", "0", str(self._image)])
        self.mount()

    def mount(self) -> None:
        """Mount it; after a power cut ext4 recovers from its journal here."""
        self._folder.mkdir(parents=True, exist_ok=True)
        run(["mount", "-o", "loop", str(self._image), str(self._folder)])

    def unmount(self) -> None:
        """Take it off; nothing may use it."""
        run(["umount", str(self._folder)])

    def cut(self) -> None:
        """Cut its power: from now on each write fails, and what was not flushed is lost."""
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSHING))
        finally:
            os.close(descriptor)

    def fill(self) -> None:
        """Leave no room on it."""
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

    def free(self) -> None:
        """Give the room back."""
        (self._folder / _FILLER).unlink(missing_ok=True)
