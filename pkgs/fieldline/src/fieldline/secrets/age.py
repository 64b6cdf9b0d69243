"""age keys: making them, and their two forms."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fieldline.errors import FieldlineError
from fieldline.secrets.tools import Tools, run

# Bech32: a prefix, then 52 characters of data and 6 of checksum, in an alphabet without 1, b, i, o.
_BECH32 = "[02-9ac-hj-np-z]"
RECIPIENT = re.compile(rf"age1{_BECH32}{{58}}")
KEY = re.compile(r"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}")

# A host's own key on the host: where sops-nix looks (sops.age.keyFile on the appliances).
KEY_FOLDER = "/var/lib/sops-nix"
KEY_FILE = f"{KEY_FOLDER}/key.txt"

_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def is_recipient(text: str) -> bool:
    """Whether this is a public key as age writes it; a mistyped one is found by its checksum."""
    return RECIPIENT.fullmatch(text) is not None and _polymod("age", text[4:]) == 1


def _polymod(prefix: str, data: str) -> int:
    """Bech32's checksum (BIP 173), 1 where it is right."""
    values = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    values += [_ALPHABET.index(c) for c in data]
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            check ^= generator if top >> bit & 1 else 0
    return check


def check_recipient(text: str) -> str:
    """Give the recipient back.

    Raises:
        FieldlineError: it is none.
    """
    text = text.strip()
    if not is_recipient(text):
        shown = "a private key was given" if "SECRET" in text.upper() else repr(text[:80])
        raise FieldlineError(
            "Give a recipient as `age-keygen -y KEYFILE` prints it: age1 and 58 characters.", shown
        )
    return text


def new_key(tools: Tools) -> str:
    """A new private key, one line."""
    found = KEY.search(run([tools.age_keygen], "age-keygen makes no key."))
    if found is None:
        raise FieldlineError("age-keygen made no key that this knows: is it age's own?")
    return found[0]


def recipient_of(tools: Tools, key: str) -> str:
    """The public key of a private one (or of the lines of a key file)."""
    text = run(
        [tools.age_keygen, "-y"],
        "This is no age key: a key file has a line that begins with AGE-SECRET-KEY-1.",
        stdin=key + "\n",
    )
    return check_recipient(text.split()[0] if text.split() else "")


def key_file_text(host: str, key: str, recipient: str) -> str:
    """What a host's key.txt holds: sops and age pass over the comments."""
    return f"# age key of the host {host}\n# public key: {recipient}\n{key}\n"


def default_key_file() -> Path:
    """Where sops looks for an administrator's key."""
    named = os.environ.get("SOPS_AGE_KEY_FILE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME", "")
    home = Path(base) if os.path.isabs(base) else Path.home() / ".config"
    return home / "sops" / "age" / "keys.txt"


def ensure_key_file(tools: Tools, path: Path) -> bool:
    """Make an administrator's key if there is none; whether it was made.

    Raises:
        FieldlineError: it cannot be written.
    """
    if path.exists():
        return False
    try:
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700, parents=True)
        key = new_key(tools)
        text = f"# public key: {recipient_of(tools, key)}\n{key}\n"
        # Never over a file that came meanwhile, and never readable to others, not for a moment.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise FieldlineError(
            f"Make {path} writable to this user, or name another file with --admin-key.", str(error)
        ) from None
    return True


def read_key_file(path: Path) -> str:
    """The text of a key file.

    Raises:
        FieldlineError: it cannot be read.
    """
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise FieldlineError(
            f"Make the administrator's key {path} readable to this user, or name it with"
            " --admin-key.",
            str(error),
        ) from None
