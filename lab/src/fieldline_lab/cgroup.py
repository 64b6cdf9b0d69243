"""Control groups: how a host's processes are found and ended, whoever started them and when."""

import os
import select
import signal
import time
from functools import cache
from pathlib import Path

from fieldline.errors import FieldlineError

# Given to the lab's groups where the machine's kernel and systemd hand them on, so that limits such
# as MemoryMax work inside the hosts. Where they are not there, systemd ignores such limits.
CONTROLLERS = ("cpu", "io", "memory", "pids")


@cache
def _mounts() -> tuple[Path, ...]:
    """The version 2 hierarchy, then systemd's own of version 1, if the machine has that too."""
    second: list[Path] = []
    first: list[Path] = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            second.append(Path(target))
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            first.append(Path(target))
    if not second:
        raise FieldlineError(
            "This machine has no control groups of version 2: mount them with"
            " `mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified`."
        )
    return (second[0], *first)


class Cgroup:
    """A control group of the version 2 hierarchy, named relative to the mount point."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = _mounts()[0] / name

    def create(self) -> None:
        """Make the group, and hand it the controllers that there are."""
        while True:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                break
            except (FileExistsError, FileNotFoundError):
                continue  # Another lab's `down` has just removed the parent that both share.
        # Not on the group itself: systemd does that inside, once its processes are in groups below.
        for parent in [*self.path.relative_to(_mounts()[0]).parents][-2::-1]:
            for controller in CONTROLLERS:
                try:
                    control = _mounts()[0] / parent / "cgroup.subtree_control"
                    control.write_text(f"+{controller}")
                except OSError:
                    pass

    @property
    def populated(self) -> bool:
        """Whether a process lives in the group or below."""
        try:
            return "populated 1" in (self.path / "cgroup.events").read_text()
        except OSError:
            return False

    def processes(self) -> list[int]:
        """The processes in the group and below."""
        found: list[int] = []
        for folder, _, _ in os.walk(self.path):
            try:
                found += [int(n) for n in (Path(folder) / "cgroup.procs").read_text().split()]
            except OSError:
                continue  # Removed since it was listed.
        return found

    def wait_empty(self, timeout: float) -> bool:
        """Wait until no process is left; False if some are after `timeout` seconds."""
        end = time.monotonic() + timeout
        try:
            descriptor = os.open(self.path / "cgroup.events", os.O_RDONLY)
        except OSError:
            return True
        try:
            poll = select.poll()
            # The kernel announces a change of cgroup.events this way.
            poll.register(descriptor, select.POLLPRI)
            while True:
                try:
                    if b"populated 0" in os.pread(descriptor, 200, 0):
                        return True
                except OSError:
                    return True  # The group itself is gone.
                left = end - time.monotonic()
                if left <= 0:
                    return False
                poll.poll(left * 1000)
        finally:
            os.close(descriptor)

    def kill(self, timeout: float = 10.0) -> None:
        """SIGKILL to every process, and wait until they are gone."""
        if not self.populated:
            return
        try:
            (self.path / "cgroup.kill").write_text("1")
        except OSError:
            # A kernel before 5.14. Twice, for what was forked in between; what is left is reported.
            for _ in range(2):
                for process in self.processes():
                    try:
                        os.kill(process, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
        if not self.wait_empty(timeout):
            raise FieldlineError(
                "Processes of the lab do not end, not even by SIGKILL: the kernel holds them.",
                f"process ids: {' '.join(map(str, self.processes()))}",
            )

    def remove(self) -> None:
        """Remove the empty group, all below it, and parents that are then empty."""
        for mount in _mounts():
            for folder, _, _ in os.walk(mount / self.name, topdown=False):
                try:
                    os.rmdir(folder)
                except FileNotFoundError:
                    pass
            for parent in Path(self.name).parents:
                if parent == Path("."):
                    break
                try:
                    os.rmdir(mount / parent)
                except OSError:
                    break  # Another host or lab is in it.

    def children(self) -> list[str]:
        """The names of the groups directly below, in any hierarchy."""
        names: set[str] = set()
        for mount in _mounts():
            try:
                entries = [*os.scandir(mount / self.name)]
            except FileNotFoundError:
                continue
            names.update(entry.name for entry in entries if entry.is_dir())
        return sorted(names)
