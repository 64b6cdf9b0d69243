"""Secrets in files: their own must be root's alone, and no other may have one."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from fieldline.errors import FieldlineError
from fieldline.secrets.age import KEY_FILE
from fieldline.secrets.audit.model import Finding, Needles, Result, Secret

# What sops-nix decrypts to; what users need before there are users is apart.
SECRET_FOLDERS = (Path("/run/secrets"), Path("/run/secrets-for-users"))
HOST_KEY_FILE = Path(KEY_FILE)

# Here a value is wrong whoever may read the file.
NOWHERE = (Path("/etc"), Path("/opt/fieldline"))
# Here it is wrong where others than root and its owner may read it: what units write.
NOT_FOR_ALL = tuple(map(Path, ("/run", "/tmp", "/var", "/root", "/home", "/srv", "/dev/shm")))
SYSTEM = Path("/run/current-system")
STORE = Path("/nix/store")

# A file of configuration is small; a program or a jar cannot know a value that is made later.
LARGEST = 4 << 20
# A path of the Nix store with so many files is a package.
PACKAGE_FILES = 200
# The one place in /etc where the console's hash belongs, which makes nobody the wiser but root.
_SHADOW = {Path("/etc/shadow"), Path("/etc/shadow-")}
CONSOLE_HASH = "console-password-hash"


def read_secrets(folders: tuple[Path, ...] = SECRET_FOLDERS) -> list[Secret]:
    """The secrets of this host.

    Raises:
        FieldlineError: there is no folder of secrets, or it may not be read.
    """
    found = []
    present = [folder for folder in folders if folder.is_dir()]
    if not present:
        raise FieldlineError(
            f"Run this on a host of the plant: there is no {folders[0]} here (in the lab:"
            " fieldline lab exec HOST -- fieldline secrets audit)."
        )
    for folder in present:
        try:
            for path in sorted(p for p in folder.resolve().rglob("*") if p.is_file()):
                name = str(path.relative_to(folder.resolve()))
                # Line ends do not belong to the value: others write it without.
                value = path.read_bytes().strip(b"\r\n")
                found.append(Secret(name, str(folder / name), value))
        except PermissionError as error:
            raise FieldlineError("Run this as root.", str(error)) from None
    return found


def read_host_key(path: Path = HOST_KEY_FILE) -> list[Secret]:
    """The host's own age key, if it is there."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [
        Secret("host key", str(path), line) for line in lines if line.startswith(b"AGE-SECRET-KEY-")
    ]


def check_own_files(secrets: list[Secret]) -> list[Finding]:
    """Each secret's file must be a file that root alone can read."""
    findings = []
    for secret in secrets:
        status = os.stat(secret.path)
        mode = stat.S_IMODE(status.st_mode)
        if (mode, status.st_uid, status.st_gid) != (0o400, 0, 0):
            what = f"mode {mode:04o} of {status.st_uid}:{status.st_gid}, not 0400 of 0:0"
            findings.append(Finding(secret.name, secret.path, what))
        if not secret.value:
            findings.append(Finding(secret.name, secret.path, "empty"))
        elif not secret.searchable:
            what = f"too short ({len(secret.value)} bytes) to be looked for, or to be a secret"
            findings.append(Finding(secret.name, secret.path, what))
    return findings


def search_files(
    secrets: list[Secret], keys: list[Secret], result: Result, say: Callable[[str], None]
) -> None:
    """Look into every file where no value may be.

    Args:
        keys: the host's own. They are not looked for in the store: the appliances' module refuses a
            key there, and in VM tests one is there, since they have nothing else to bring it by.
    """
    needles = Needles([*secrets, *keys])
    own = {secret.path for secret in [*secrets, *keys]}
    skipped = {
        *map(str, SECRET_FOLDERS),
        "/run/secrets.d",
        "/run/secrets-for-users.d",
        "/run/credentials",
        *own,
    }
    for root in NOWHERE:
        say(f"searching {root}")
        _search(needles, result, _walk(root, skipped), everyone=False)
    say("searching the system's closure")
    stored = Needles(secrets)
    for path in _closure():
        found = list(islice(_walk(path, skipped), PACKAGE_FILES))
        # More files than that is a package, built before this host's secrets were made; what is
        # generated for a host (units, configurations) are a few files. A Pi would read for minutes.
        if len(found) < PACKAGE_FILES:
            _search(stored, result, iter(found), everyone=False)
    for root in NOT_FOR_ALL:
        say(f"searching {root}")
        _search(needles, result, _walk(root, skipped, everyone=True), everyone=True)


def _closure() -> list[Path]:
    if not SYSTEM.exists():
        return []
    if not SYSTEM.resolve().is_relative_to(STORE):
        # A host without NixOS: a system is a folder of its own, see the lab.
        return [SYSTEM.resolve()]
    try:
        done = subprocess.run(
            ["nix-store", "--query", "--requisites", str(SYSTEM)],
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError:
        # A system without Nix's tools has nothing in its store but itself.
        return [STORE]
    except (OSError, subprocess.CalledProcessError) as error:
        raise FieldlineError(
            "Mend the Nix store of this host: what the running system consists of is not known.",
            str(error),
        ) from None
    return [Path(line) for line in done.stdout.split()]


def _walk(root: Path, skipped: set[str], *, everyone: bool = False) -> Iterator[tuple[Path, int]]:
    """Regular files below a folder with their size, links not followed; a file is its own folder.

    Args:
        everyone: only what every user can reach and read.
    """
    if root.is_symlink() or root.is_file():
        # A store path may be a single file.
        if root.is_file() and not root.is_symlink():
            yield root, root.stat().st_size
        return
    for folder, folders, names in os.walk(root):
        if everyone and not _may(folder, stat.S_IXOTH):
            folders[:] = []
            continue
        folders[:] = [name for name in folders if os.path.join(folder, name) not in skipped]
        for name in names:
            path = os.path.join(folder, name)
            try:
                status = os.lstat(path)
            except OSError:
                continue
            if not stat.S_ISREG(status.st_mode) or path in skipped:
                continue
            if not everyone or status.st_mode & stat.S_IROTH:
                yield Path(path), status.st_size


def _may(path: str, bit: int) -> bool:
    try:
        return bool(os.stat(path).st_mode & bit)
    except OSError:
        return False


def _search(
    needles: Needles, result: Result, paths: Iterator[tuple[Path, int]], *, everyone: bool
) -> None:
    for path, size in paths:
        if size > LARGEST:
            continue
        try:
            data = path.read_bytes()
        except OSError:
            continue
        result.files += 1
        result.bytes += len(data)
        for name in needles.found_in(data):
            if path in _SHADOW and name == CONSOLE_HASH:
                continue
            what = "readable to every user" if everyone else "a plain value"
            result.findings.append(Finding(name, str(path), what))
