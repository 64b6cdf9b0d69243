"""`.sops.yaml`: who shall be able to read which file. It is also where sops itself looks.

    creation_rules:
      - path_regex: ^secrets/hosts/db\\.yaml$
        age: >-
          age1…,
          age1…

The recipients of admin.yaml are the administrators; of a host's file, they and the host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fieldline.errors import FieldlineError
from fieldline.secrets.age import is_recipient

FILE = ".sops.yaml"
ADMIN, SHARED = "admin.yaml", "shared.yaml"

_HEAD = """\
# Who can read which file of secrets/. Kept by `fieldline secrets` (docs/secrets.md); to let another
# administrator in: fieldline secrets init --recipient age1...
creation_rules:
"""
_RULE = re.compile(r"  - path_regex: \^secrets/([a-z0-9/-]+)\\\.yaml\$")
_INLINE = re.compile(r"    age: \"?(age1[0-9a-z, ]+)\"?")
_HOST = re.compile(r"hosts/([a-z]([a-z0-9-]{0,30}[a-z0-9])?)\.yaml")


@dataclass(frozen=True)
class Rules:
    """Who shall read what."""

    admins: tuple[str, ...]
    """In the order in which they came."""
    hosts: Mapping[str, str]
    """Host → its public key."""
    sharing: frozenset[str] = frozenset()
    """The hosts that want a shared secret; empty: there is no shared file."""

    def recipients(self) -> dict[str, tuple[str, ...]]:
        """File, relative to secrets/ → who reads it, in the order of the file."""
        shared = [self.hosts[host] for host in sorted(self.sharing)]
        found = {ADMIN: self.admins}
        if shared:
            found[SHARED] = (*self.admins, *shared)
        found |= {host_file(host): (*self.admins, key) for host, key in sorted(self.hosts.items())}
        return found

    def text(self) -> str:
        """The file's text."""
        parts = [_HEAD]
        for file, recipients in self.recipients().items():
            stem = file.removesuffix(".yaml")
            lines = ",\n".join(f"      {recipient}" for recipient in recipients)
            parts.append(f"  - path_regex: ^secrets/{stem}\\.yaml$\n    age: >-\n{lines}\n")
        return "".join(parts)


def host_file(host: str) -> str:
    """The file of a host, relative to secrets/."""
    return f"hosts/{host}.yaml"


def host_of(file: str) -> str | None:
    """The host of a file, None for another file."""
    match = _HOST.fullmatch(file)
    return match[1] if match else None


def parse(text: str, file: str = FILE) -> Rules:
    """Read `.sops.yaml`.

    Raises:
        FieldlineError: it is of another form than this command writes.
    """
    found = _tables(text, file)
    if ADMIN not in found:
        raise _refused(file, "no rule for secrets/admin.yaml")
    admins = found[ADMIN]
    hosts: dict[str, str] = {}
    for name, recipients in found.items():
        host = host_of(name)
        if host is None:
            if name not in (ADMIN, SHARED):
                raise _refused(file, f"a rule for secrets/{name}")
            continue
        own = [recipient for recipient in recipients if recipient not in admins]
        if len(own) != 1:
            raise _refused(file, f"secrets/{name}: not the administrators and one host's key")
        hosts[host] = own[0]
    shared = found.get(SHARED, ())
    return Rules(admins, hosts, frozenset(host for host, key in hosts.items() if key in shared))


def read(folder: Path) -> Rules | None:
    """The rules of a plant's folder, None if it has none.

    Raises:
        FieldlineError: the file cannot be read, or is of another form.
    """
    path = folder / FILE
    try:
        return parse(path.read_text(), str(path))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise FieldlineError(f"Make {path} readable to this user.", str(error)) from None


def _tables(text: str, file: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    folded = False
    begun = False
    for number, line in enumerate(text.splitlines(), 1):
        rule, inline = _RULE.fullmatch(line), _INLINE.fullmatch(line)
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line == "creation_rules:" and not begun:
            begun = True
        elif begun and rule and f"{rule[1]}.yaml" not in found:
            current = found.setdefault(f"{rule[1]}.yaml", [])
            folded = False
        elif current == [] and line == "    age: >-":
            folded = True
        elif current == [] and inline:
            current += _listed(inline[1], file, number)
            current = None
        elif current is not None and folded and line.startswith("      "):
            current += _listed(line, file, number)
        else:
            raise _refused(file, f"line {number}")
    return {name: _checked(name, recipients, file) for name, recipients in found.items()}


def _listed(text: str, file: str, number: int) -> Iterable[str]:
    recipients = [word.strip() for word in text.strip().rstrip(",").split(",")]
    wrong = next((word for word in recipients if not is_recipient(word)), None)
    if wrong is not None:
        raise _refused(file, f"line {number}: {wrong[:80]!r} is no recipient of age")
    return recipients


def _checked(name: str, recipients: list[str], file: str) -> tuple[str, ...]:
    if not recipients or len(set(recipients)) != len(recipients):
        raise _refused(file, f"secrets/{name}: no recipient, or one twice")
    return tuple(recipients)


def _refused(file: str, why: str) -> FieldlineError:
    return FieldlineError(
        f"{file} has not the form that `fieldline secrets` writes: bring back an older version"
        " (git), or begin anew with `fieldline secrets init --replace`.",
        why,
    )
