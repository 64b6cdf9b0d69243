"""What units were given of the secrets, in /run/credentials: for the unit's user alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from fieldline.errors import FieldlineError
from fieldline.secrets.audit.acl import readers_of
from fieldline.secrets.audit.model import Finding, Result

FOLDER = Path("/run/credentials")


def check_credentials(result: Result, folder: Path = FOLDER) -> None:
    """Every credential of every unit: readable to root and the unit's user, and nobody else."""
    for unit in sorted(folder.glob("*.service")):
        user = unit_user(unit.name)
        for path in sorted(unit.iterdir()):
            result.credentials += 1
            result.findings += _check(unit.name, path, user)


def _check(unit: str, path: Path, user: int | None) -> list[Finding]:
    wrong = []
    readers = readers_of(str(path))
    allowed = {0} if user is None else {0, user}
    if os.stat(path).st_uid not in allowed:
        wrong.append(f"belongs to user {os.stat(path).st_uid}")
    others = sorted(readers.users - allowed)
    if others:
        wrong.append(f"readable to user {', '.join(map(str, others))}")
    groups = sorted(readers.groups - {0})
    if groups:
        wrong.append(f"readable to group {', '.join(map(str, groups))}")
    if readers.everyone:
        wrong.append("readable to every user")
    if user is not None and user not in readers.users and user != 0:
        wrong.append(f"not readable to the unit's user {user}")
    # The folder keeps out whom a file's mode lets in: root's group, where the list's mask shows.
    return [Finding(path.name, str(path), f"{unit}: {what}") for what in wrong]


def unit_user(unit: str) -> int | None:
    """The user that a unit runs as; None where systemd knows none, as for one that has ended.

    Raises:
        FieldlineError: systemd does not answer.
    """
    argv = ["systemctl", "show", "--property=UID,MainPID", "--", unit]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise FieldlineError("Run this on a host with a running systemd.", str(error)) from None
    values = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    # The largest number stands for "none".
    uid = values.get("UID", "")
    if uid.isdecimal() and int(uid) != 2**32 - 1:
        return int(uid)
    process = values.get("MainPID", "0")
    if process not in ("", "0"):
        try:
            return os.stat(f"/proc/{process}").st_uid
        except OSError:
            return None
    return None
