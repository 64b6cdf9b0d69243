"""`fieldline secrets edit`: one file in your editor."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from fieldline.errors import FieldlineError
from fieldline.secrets.context import AdminKey, Folder, Plant, Progress, Site
from fieldline.secrets.document import read
from fieldline.secrets.keep import Request, console_hash_fits
from fieldline.secrets.rules import ADMIN, SHARED, host_file
from fieldline.secrets.sops import Sops
from fieldline.secrets.values import CONSOLE

# What sops ends with when the editor changed nothing.
_UNCHANGED = 200


def file_named(name: str, hosts: list[str]) -> str:
    """The file that is meant: `db`, `hosts/db`, `shared`, `admin`, each with or without `.yaml`.

    Raises:
        FieldlineError: there is none of this name.
    """
    stem = name.removeprefix("secrets/").removesuffix(".yaml")
    for file in (ADMIN, SHARED):
        if stem == file.removesuffix(".yaml"):
            return file
    host = stem.removeprefix("hosts/")
    if host in hosts:
        return host_file(host)
    raise FieldlineError(f"There is no file {name}. Files are: admin, shared, {', '.join(hosts)}.")


def memory_folder() -> Path:
    """A folder in memory for what an editor needs as a file; it is never written to a disk."""
    for place in (os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm", "/run"):
        if place and os.access(place, os.W_OK | os.X_OK):
            return Path(place)
    raise FieldlineError("Mount /dev/shm: the values must not be written to a disk for the editor.")


def edit(
    name: Annotated[str, typer.Argument(help="HOST, hosts/HOST, shared or admin.")],
    site: Site = None,
    folder: Folder = None,
    admin_key: AdminKey = None,
) -> None:
    """Open a file in $EDITOR, decrypted in memory only, and encrypt it again.

    Examples:

        fieldline secrets edit db

        EDITOR=nano fieldline secrets edit admin
    """
    with Progress() as progress:
        plant = Plant.open(site, folder, admin_key, progress)
        file = file_named(name, sorted(plant.wanted.hosts))
    keeper, tree = plant.keeper, plant.tree
    if not tree.path(file).is_file():
        raise FieldlineError(f"There is no {tree.path(file)}; run `fieldline secrets init` first.")
    with tree.alone(), tree.stage() as staged:
        with tempfile.TemporaryDirectory(prefix="fieldline-", dir=memory_folder()) as temporary:
            environment = {**os.environ, "TMPDIR": temporary}
            environment["SOPS_AGE_KEY_FILE"] = str(keeper.key_file)
            argv = [keeper.tools.sops, "edit", str(staged.path(file))]
            done = subprocess.run(argv, check=False, env=environment)
        if done.returncode == _UNCHANGED:
            typer.echo("nothing changed")
            return
        if done.returncode:
            raise FieldlineError(
                "Nothing was changed: sops or the editor failed. Set EDITOR to an editor that"
                " returns when it is closed.",
                f"sops ended with {done.returncode}",
            )
        # It must still be what the other commands know, before it takes the place of the old one.
        read(staged.path(file))
        Sops(keeper.tools, keeper.key_file).decrypt(staged.path(file))
        changed = tree.commit(staged)
    if file == ADMIN and not console_hash_fits(Sops(keeper.tools, keeper.key_file), tree):
        admin = Sops(keeper.tools, keeper.key_file).decrypt(tree.path(ADMIN))
        with Progress() as progress:
            progress.now("making the hash of the console's password")
            provided = {CONSOLE: admin[CONSOLE]} if CONSOLE in admin else {}
            request = Request(provided=provided, renew=frozenset({CONSOLE}))
            changed += keeper.keep(request).changed
    for entry in dict.fromkeys(changed):
        typer.echo(f"wrote secrets/{entry}")
