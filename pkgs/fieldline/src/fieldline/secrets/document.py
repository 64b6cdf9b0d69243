"""What an encrypted file tells without any key: the names of its values, and who can read it.

sops encrypts values only. Its YAML is read by lines rather than by a YAML reader, since sops always
writes the same form and a file of another form is to be refused, not understood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fieldline.errors import FieldlineError

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,126}[a-z0-9])?")

_VALUE = re.compile(r"(\"?)([A-Za-z0-9_-]+)\1: (.*)")
_RECIPIENT = re.compile(r" +(?:- )?recipient: \"?(age1[0-9a-z]+)\"?")
_ENCRYPTED = re.compile(r"ENC\[AES256_GCM,data:[^,\]]*,iv:[^,\]]+,tag:[^,\]]+,type:str\]")
_MAC = re.compile(r" +mac: ENC\[AES256_GCM,.+\]")


@dataclass(frozen=True)
class Document:
    """A file as it lies there."""

    names: tuple[str, ...]
    recipients: frozenset[str]


def parse(text: str, file: str) -> Document:
    """Read an encrypted file.

    Args:
        file: its name in messages.
    Raises:
        FieldlineError: it is not one that sops has encrypted, whole, with age.
    """
    names: list[str] = []
    recipients: list[str] = []
    lines = text.splitlines()
    if "sops:" not in lines:
        raise _refused(file, "it has no section sops: it is not encrypted")
    begin = lines.index("sops:")
    for number, line in enumerate(lines[:begin], 1):
        match = _VALUE.fullmatch(line)
        if match is None or not NAME.fullmatch(match[2]):
            # The line itself is not shown: it may be a plain value.
            raise _refused(file, f"line {number} is no `name: value`")
        if not _ENCRYPTED.fullmatch(match[3]):
            raise _refused(file, f"the value of {match[2]}, line {number}, is not encrypted")
        if match[2] in names:
            raise _refused(file, f"{match[2]} is there twice")
        names.append(match[2])
    sealed = False
    for line in lines[begin + 1 :]:
        found = _RECIPIENT.fullmatch(line)
        if found:
            recipients.append(found[1])
        sealed = sealed or _MAC.fullmatch(line) is not None
        if line and not line.startswith(" "):
            raise _refused(file, "something stands behind the section sops")
    if not recipients:
        raise _refused(file, "it names no recipient")
    if not sealed:
        raise _refused(file, "its checksum (mac) is missing")
    return Document(tuple(names), frozenset(recipients))


def read(path: Path) -> Document:
    """Read a file.

    Raises:
        FieldlineError: it cannot be read, or is none that sops has encrypted.
    """
    try:
        return parse(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise FieldlineError(f"Make {path} readable to this user.", str(error)) from None


def _refused(file: str, why: str) -> FieldlineError:
    return FieldlineError(
        f"{file} is not a file as sops encrypts it: bring back an older version of it (git), or"
        " begin anew with `fieldline secrets init --replace`.",
        why,
    )
