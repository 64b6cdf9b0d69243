"""POSIX access control lists, as the kernel gives them: systemd lets a unit's user in by one."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

ATTRIBUTE = "system.posix_acl_access"

# linux/posix_acl_xattr.h
_VERSION = 2
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
READ = 4


@dataclass(frozen=True)
class Readers:
    """Who may read a file, beside root."""

    users: frozenset[int]
    groups: frozenset[int]
    everyone: bool


class AclError(ValueError):
    """The attribute is no access control list."""


def parse(data: bytes, owner: int, group: int) -> Readers:
    """Read the attribute.

    Raises:
        AclError: it is of another form.
    """
    if len(data) < 4 or (len(data) - 4) % 8 or struct.unpack("<I", data[:4])[0] != _VERSION:
        raise AclError(f"{len(data)} bytes of no known version")
    entries = [struct.unpack("<HHI", data[at : at + 8]) for at in range(4, len(data), 8)]
    mask = next((rights for tag, rights, _ in entries if tag == _MASK), 7)
    users: set[int] = set()
    groups: set[int] = set()
    everyone = False
    for tag, rights, identifier in entries:
        if tag not in (_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER):
            raise AclError(f"an entry of the unknown kind {tag:#x}")
        if tag == _USER_OBJ and rights & READ:
            users.add(owner)
        if tag == _USER and rights & mask & READ:
            users.add(identifier)
        if tag == _GROUP_OBJ and rights & mask & READ:
            groups.add(group)
        if tag == _GROUP and rights & mask & READ:
            groups.add(identifier)
        if tag == _OTHER and rights & READ:
            everyone = True
    return Readers(frozenset(users), frozenset(groups), everyone)


def readers_of(path: str) -> Readers:
    """Who may read a file: by its list where it has one, else by its mode."""
    status = os.stat(path)
    try:
        return parse(os.getxattr(path, ATTRIBUTE), status.st_uid, status.st_gid)
    except OSError:
        mode = status.st_mode
        return Readers(
            frozenset({status.st_uid} if mode & 0o400 else ()),
            frozenset({status.st_gid} if mode & 0o040 else ()),
            bool(mode & 0o004),
        )
