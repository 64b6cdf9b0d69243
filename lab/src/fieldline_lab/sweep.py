"""Ending a lab from what the machine shows of it, with no record and no declaration at hand."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import nspawn
from .cgroup import Cgroup
from .host import POWEROFF, STOP_SECONDS, leader_of
from .names import LabNames
from .network import Network
from .process import run

_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put Ctrl-C and its like off until the end of the block: half a clean-up helps nobody."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
