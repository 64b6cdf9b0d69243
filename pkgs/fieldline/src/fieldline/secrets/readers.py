"""`fieldline secrets show-recipients`: who can read which file."""

from __future__ import annotations

import typer

from fieldline.errors import FieldlineError
from fieldline.secrets.context import Folder, Json, Site, show_json
from fieldline.secrets.tree import Tree


def readers_of(tree: Tree) -> dict[str, list[str]]:
    """File → who can read it, as the file itself says: `admin` or `host NAME`, and the public key.

    Raises:
        FieldlineError: there are no secrets, or a file is broken.
    """
    documents, known = tree.documents(), tree.rules()
    if not documents or known is None:
        raise FieldlineError(
            f"There are no secrets in {tree.folder}; make them with `fieldline secrets init`."
        )
    admins = known.admins
    names = dict.fromkeys(admins, "admin")
    names |= {key: f"host {host}" for host, key in known.hosts.items()}
    return {
        file: [
            f"{names.get(key, 'unknown')} {key}"
            for key in sorted(
                document.recipients, key=lambda key: (key not in admins, names.get(key, ""), key)
            )
        ]
        for file, document in documents.items()
    }


def show_recipients(site: Site = None, folder: Folder = None, as_json: Json = False) -> None:
    """Show who can read which file: what the files themselves say. Needs no key.

    Exit code 1 if a reader is neither an administrator nor a host of .sops.yaml.

    Examples:

        fieldline secrets show-recipients

        fieldline secrets show-recipients --json
    """
    from fieldline.site.load import find_site

    tree = Tree(folder or find_site(site).resolve().parent)
    readers = readers_of(tree)
    if as_json:
        show_json({"folder": str(tree.folder), "files": readers})
    else:
        for file, names in readers.items():
            typer.echo(f"secrets/{file}: {', '.join(tree.documents()[file].names) or 'no value'}")
            for name in names:
                typer.echo(f"  {name}")
    if any(name.startswith("unknown ") for names in readers.values() for name in names):
        raise FieldlineError("Remove the unknown readers with `fieldline secrets rekey`.")
