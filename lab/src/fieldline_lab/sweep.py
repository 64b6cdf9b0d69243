"""Ending a lab from what the machine shows of it, with no record and no declaration at hand."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from . import nspawn
from .cgroup import Cgroup
from .host import POWEROFF, STOP_SECONDS, leader_of
from .lock import remove_unlocked
from .names import LabNames
from .network import Network
from .process import run

_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put Ctrl-C and its like off until the end of the block: half a clean-up helps nobody."""
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)

    handlers = {}
    # The mask is what children inherit. It is this thread's only: a signal that another thread is
    # given, such as the one that draws the live line, still comes to Python's handlers.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    handlers[number] = signal.signal(number, note)
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def owner_file(names: LabNames) -> Path:
    """What a command that claims the lab locks; beside the lab's folder, as the lock is."""
    return names.runtime.with_suffix(".owner")


def hosts(names: LabNames) -> list[str]:
    """The hosts that the machine has a trace of."""
    groups = [name for name in Cgroup(names.cgroup()).children() if "." not in name]
    try:
        folders = [path.name for path in (names.runtime / "hosts").iterdir()]
    except FileNotFoundError:
        folders = []
    return sorted({*groups, *folders})


def running(names: LabNames) -> list[str]:
    """The hosts that are on."""
    return [host for host in hosts(names) if Cgroup(names.cgroup(host)).populated]


def traces(names: LabNames) -> bool:
    """Whether anything of the lab is there."""
    network = Network(names, "", 0, "")
    return bool(hosts(names) or network.leftovers() or names.runtime.exists())


def power_off(names: LabNames, timeout: float = STOP_SECONDS) -> list[str]:
    """Let all hosts stop in an orderly way, together; those that have not after `timeout`."""
    groups = {host: Cgroup(names.cgroup(host)) for host in running(names)}
    for group in groups.values():
        leader = leader_of(group)
        if leader:
            try:
                os.kill(leader, POWEROFF)
            except ProcessLookupError:
                pass
    # One after the other: the longest decides how long that is, and all have the same time.
    return [host for host, group in groups.items() if not group.wait_empty(timeout)]


def destroy(names: LabNames) -> None:
    """Kill and remove all that runs of the lab; its data stay. Works in any state of it."""
    with undisturbed():
        whole = Cgroup(names.cgroup())
        whole.kill()
        for host in hosts(names):
            nspawn.forget(names.machine(host), names.runtime / "hosts" / host / "root")
        nspawn.forget(names.machine("kafka.cds"), names.runtime / "cds" / "root")
        whole.remove()
        Network(names, "", 0, "").destroy()
        remove_tree(names.runtime)
        remove_unlocked(owner_file(names))


def remove_tree(folder: Path) -> None:
    """Remove a folder, and never what is mounted in it."""
    if not folder.exists():
        return
    mounted = [
        line.split(" ")[1].encode().decode("unicode_escape")
        for line in Path("/proc/self/mounts").read_text().splitlines()
    ]
    # The lab mounts nothing outside its hosts' own mount namespaces; somebody else might have.
    for path in reversed([path for path in mounted if Path(path).is_relative_to(folder)]):
        run(["umount", path], what_to_do=f"{path} is mounted: unmount it first.")
    shutil.rmtree(folder)
