"""What a machine shows of labs: compared before and after, it must be the same."""

import time
from collections.abc import Callable
from pathlib import Path

from fieldline_lab.names import LabNames
from fieldline_lab.sweep import owner_file


def _namespaces() -> set[str]:
    folder = Path("/run/netns")
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def _mounts() -> set[str]:
    return {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()}


def _links() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def _processes(names: LabNames) -> set[str]:
    """Command lines of the processes that name the lab or live in one of its groups."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_text().replace("\0", " ")
            group = (folder / "cgroup").read_text()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        # A dead process that process 1 of this machine has not yet buried is nobody's concern.
        if state == "Z":
            continue
        if f"fieldline-lab/{names.lab_id}" in group or names.lab_id in command:
            found.add(command)
    return found


def traces(names: LabNames) -> dict[str, set[str]]:
    """Everything that a lab could leave: what names it, and the machine's links."""
    name = names.lab_id
    return {
        "namespaces": {entry for entry in _namespaces() if name in entry},
        "mounts": {entry for entry in _mounts() if name in entry},
        "links": _links(),
        "processes": _processes(names),
        "groups": {
            str(path)
            # The mount point itself, or one below it; deeper are the hosts of other labs, which may
            # go while they are looked at.
            for pattern in ("", "*/")
            for path in Path("/sys/fs/cgroup").glob(f"{pattern}fieldline-lab/{name}")
        },
        "runtime": {
            str(path) for path in (names.runtime, names.lock, owner_file(names)) if path.exists()
        },
        "nspawn": {str(path) for path in Path("/run/systemd/nspawn").glob(f"*/*{name}*")},
    }


def nothing(names: LabNames) -> dict[str, set[str]]:
    """The traces of no lab at all."""
    empty: dict[str, set[str]] = {key: set() for key in traces(names)}
    return empty | {"links": _links()}


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a state of the machine that has no event of its own; fail if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.001)
