"""What a lab keeps between its runs, and a record of what runs now."""

import json
import os
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# The range that Debian and NixOS leave to system users, without what they use from either end.
UIDS = range(400, 900)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file whole or not at all, so that a kill at any moment leaves no half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, mode)
            file.write(text)
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def hand_over(folder: Path, worktree: Path) -> None:
    """Give what root has made in a folder of somebody's work tree to whom the work tree belongs.

    Otherwise its owner could not remove the folder. Not for what holds secrets.
    """
    owner = worktree.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    # Whoever owns the folder may change it meanwhile: no link in it leads this elsewhere.
    with suppress(OSError):
        for _, _, files, descriptor in os.fwalk(folder):
            for name in files:
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if status.st_uid == 0 and status.st_nlink == 1:
                    os.chown(
                        name,
                        owner.st_uid,
                        owner.st_gid,
                        dir_fd=descriptor,
                        follow_symlinks=False,
                    )
            if os.fstat(descriptor).st_uid == 0:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one if there is no readable file."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


class Store:
    """The folder that outlives the lab."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def host(self, host: str) -> Path:
        """The folder of a host's data."""
        return self.folder / "hosts" / host

    def machine_id(self, host: str) -> str:
        """The host's machine id; journald finds its own older files by it."""
        path = self.host(host) / "machine-id"
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            value = uuid.uuid4().hex
            write(path, value + "\n")
            return value

    def uids(self, host: str, users: Iterable[str]) -> dict[str, int]:
        """A user id for each name; one that was given once is never given to another."""
        path = self.host(host) / "uids.json"
        known = {name: int(uid) for name, uid in read_json(path).items()}
        missing = sorted(set(users) - known.keys())
        free = (uid for uid in UIDS if uid not in known.values())
        known.update(zip(missing, free, strict=False))
        if missing:
            write(path, json.dumps(known, indent=1, sort_keys=True) + "\n")
        return known

    @property
    def secrets(self) -> Path:
        """The folder of the encrypted secrets and of the key that opens them."""
        return self.folder / "secrets"

    def port(self, key: str) -> int:
        """The port on 127.0.0.1 that a forward had last, or 0."""
        port = read_json(self.folder / "ports.json").get(key, 0)
        return port if isinstance(port, int) else 0

    def keep_port(self, key: str, port: int) -> None:
        """Remember a forward's port for the next time."""
        path = self.folder / "ports.json"
        ports = read_json(path)
        if ports.get(key) != port:
            write(path, json.dumps(ports | {key: port}, indent=1, sort_keys=True) + "\n")


@dataclass
class HostRecord:
    """What was booted, and when."""

    fingerprint: str
    since: float
    forwards: dict[str, int] = field(default_factory=dict)


@dataclass
class Record:
    """What the running lab is made of. Who reads it still asks the kernel what lives."""

    complete: bool
    """False while `up` works: found so with the lock free, that `up` was killed."""
    hosts: dict[str, HostRecord] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "Record | None":
        """The record, or None if there is none or a broken one."""
        data = read_json(path)
        try:
            hosts = {name: HostRecord(**value) for name, value in data["hosts"].items()}
            return cls(bool(data["complete"]), hosts)
        except (KeyError, TypeError, AttributeError):
            return None

    def save(self, path: Path) -> None:
        """Write the record."""
        write(path, json.dumps(asdict(self), indent=1) + "\n")
