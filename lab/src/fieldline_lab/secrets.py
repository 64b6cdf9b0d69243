"""The hosts' secrets as on an appliance: sops files, opened with each host's own age key.

`fieldline secrets` makes them, in the lab's own folder and with a key of the lab's own: what an
administrator keeps beside site.toml is not touched, and that key is not needed.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fieldline.errors import FieldlineError
from fieldline.secrets.age import KEY_FILE, key_file_text
from fieldline.secrets.keep import Keeper, Request
from fieldline.secrets.rules import ADMIN
from fieldline.secrets.sops import Sops
from fieldline.secrets.tools import Tools
from fieldline.secrets.tree import Tree
from fieldline.secrets.values import BYTES, HOST_KEY
from fieldline.secrets.wanted import Wanted

from .declaration import HostDeclaration
from .state import Store, write

ADMIN_KEY = "admin-key.txt"


def key_file(store: Store, host: str) -> Path:
    """Where a host's key is on this machine; the host sees it where an appliance has it."""
    return store.host(host) / "var" / KEY_FILE.removeprefix("/var/")


def digest(folder: Path, host: Mapping[str, Any]) -> str:
    """A hash of the encrypted files that a host reads: another one when a value has changed."""
    total = hashlib.sha256()
    for file in sorted(set(host.get("secretFiles", {}).values())):
        path = Tree(folder).path(file)
        total.update(f"{file}\0".encode() + (path.read_bytes() if path.is_file() else b""))
    return total.hexdigest()[:16]


def ensure(
    raw: Mapping[str, Any], sops: str | None, store: Store, note: Callable[[str], None]
) -> None:
    """Complete the lab's secrets, and give each host its key. Quick where nothing is missing.

    FieldlineError if a program is missing, or the files are damaged.
    """
    wanted = Wanted.of(raw)
    if not wanted.names():
        return
    folder = store.secrets
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    plain = _plain(folder)
    keeper = Keeper(
        Tree(folder), wanted, Tools.find(sops), folder / ADMIN_KEY, lambda name: _invent(name, note)
    )
    # What an older lab keeps as plain files is what its databases know: it is taken over.
    known = {name: value for name, value in plain.items() if name in wanted.names()}
    try:
        keeper.keep(Request(provided=known, prove=False))
    except FieldlineError as error:
        raise FieldlineError(
            f"The lab's secrets in {folder} cannot be used; `fieldline lab up --fresh` begins"
            " without them and without data.",
            str(error),
        ) from error
    for name in plain:
        (folder / name).unlink()
    if plain:
        note("The lab's secrets, plain files until now, are encrypted.")
    _install_keys(keeper, store)


def _invent(name: str, note: Callable[[str], None]) -> str:
    """A value that only its owner knows: in a lab there is no owner, and mostly no device."""
    note(f"{name} gets a random value; `fieldline secrets set` on {ADMIN_KEY} changes it.")
    return secrets.token_hex(BYTES)


def _plain(folder: Path) -> dict[str, str]:
    """The values that a lab before sops kept."""
    return {
        path.name: path.read_text()
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != ADMIN_KEY and not path.name.startswith(".")
    }


def _install_keys(keeper: Keeper, store: Store) -> None:
    rules = keeper.tree.rules()
    if rules is None:
        return
    lacking = {
        host: public
        for host, public in rules.hosts.items()
        if host in keeper.wanted.hosts and not _has_key(key_file(store, host), public)
    }
    if not lacking:
        return
    keys = Sops(keeper.tools, keeper.key_file).decrypt(keeper.tree.path(ADMIN))
    for host, public in lacking.items():
        path = key_file(store, host)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        write(path, key_file_text(host, keys[HOST_KEY + host], public), 0o400)


def _has_key(path: Path, public: str) -> bool:
    try:
        return f"# public key: {public}\n" in path.read_text()
    except OSError:
        return False


def place(host: HostDeclaration, sops: str | None, store: Store, runtime: Path) -> Path:
    """The host's /run/secrets: its values and no other's, decrypted with its own key."""
    folder = runtime / "secrets"
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    if not host.secrets:
        return folder
    opener = Sops(Tools.find(sops), key_file(store, host.name))
    tree = Tree(store.secrets)
    values: dict[str, dict[str, str]] = {}
    for name in host.secrets:
        file = host.secret_files[name]
        if file not in values:
            values[file] = opener.decrypt(tree.path(file))
        if name not in values[file]:
            raise FieldlineError(
                f"The host {host.name} lacks its secret {name}; `fieldline lab up` makes it.",
                f"{tree.path(file)} does not hold it",
            )
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        with os.fdopen(descriptor, "w") as out:
            out.write(values[file][name])
    return folder
