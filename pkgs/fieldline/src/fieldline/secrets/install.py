"""`fieldline secrets install`: a host's own key to the host, over ssh or into its image."""

from __future__ import annotations

import hashlib
import shlex
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from fieldline.errors import FieldlineError
from fieldline.secrets import image as images
from fieldline.secrets.age import KEY_FILE, KEY_FOLDER, key_file_text, recipient_of
from fieldline.secrets.context import AdminKey, Folder, Plant, Progress, Site
from fieldline.secrets.rules import ADMIN
from fieldline.secrets.sops import Sops
from fieldline.secrets.values import HOST_KEY

# Run as root on the host, with the key on standard input. The key before it stays behind the new
# one, so that a system that is gone back to can still read its files; the one before that goes.
# Nobody but root can read either at any moment: they are the shell's own, never arguments.
_SCRIPT = """\
set -eu
umask 077
mkdir -p {folder}
chown 0:0 {folder}
chmod 0700 {folder}
new=$(mktemp {folder}/.key.XXXXXX)
trap 'rm -f "$new"' EXIT
cat > "$new"
sha256sum < "$new"
old=
[ ! -f {file} ] || while IFS= read -r line; do
  case $line in AGE-SECRET-KEY-*) old=$line; break ;; esac
done < {file}
case $(cat "$new") in
  *"$old"*) ;;
  *) printf '# the key before, for a system that is gone back to\n%s\n' "$old" >> "$new" ;;
esac
chown 0:0 "$new"
chmod 0400 "$new"
sync "$new"
mv -f "$new" {file}
sync {folder}
stat -c '%a %u %g' {file}
"""


def script() -> str:
    """The shell text that puts the key into place and says what lies there then."""
    return _SCRIPT.format(folder=shlex.quote(KEY_FOLDER), file=shlex.quote(KEY_FILE))


def install(
    host: Annotated[str, typer.Argument(help="A host of the site.")],
    address: Annotated[
        str | None, typer.Argument(help="Where it answers to ssh.", show_default=False)
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option("--image", help="An SD card's image, before its first boot.", dir_okay=False),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            "--user",
            help="An admin to log in as; without it the site's only one.",
            show_default=False,
        ),
    ] = None,
    identity: Annotated[
        Path | None, typer.Option("--identity", help="An ssh key.", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option("--port", help="ssh's port.", min=1, max=65535)] = 22,
    site: Site = None,
    folder: Folder = None,
    admin_key: AdminKey = None,
) -> None:
    """Give a host its own age key, with which it reads its secrets: /var/lib/sops-nix/key.txt.

    Over ssh (the key goes through its standard input), or into the image of an SD card.

    Examples:

        fieldline secrets install db 192.168.0.10

        fieldline secrets install opc --image result/sd-image/opc.img
    """
    if (address is None) == (image is None):
        raise FieldlineError("Name the host's address, or its image with --image FILE.")
    with Progress() as progress:
        plant = Plant.open(site, folder, admin_key, progress)
        text = _key_text(plant, host)
        if image is not None:
            progress.now(f"writing into {image.name}")
            changed = images.put_file(image, KEY_FILE, text.encode())
            place = str(image)
        else:
            admin = user or _only_admin(plant)
            place = f"{admin}@{address}"
            progress.now(f"waiting for {place}")
            _over_ssh(place, text, admin, identity, port, progress)
            changed = True
    what = "is now" if changed else "was already"
    typer.echo(f"the key of {host} {what} at {KEY_FILE} of {place}, for root alone")
    if image is None:
        typer.echo(f"{host} reads its secrets with it from its next start or deployment on")


def _only_admin(plant: Plant) -> str:
    from fieldline.site.load import load_site

    admin = load_site(plant.site).only_admin
    if admin is None:
        raise FieldlineError(
            "Name an admin with --user: [admins] of the site has none, or several."
        )
    return admin


def _key_text(plant: Plant, host: str) -> str:
    if host not in plant.wanted.hosts:
        raise FieldlineError(
            f"There is no host {host}. The hosts are: {', '.join(sorted(plant.wanted.hosts))}."
        )
    path = plant.tree.path(ADMIN)
    if not path.is_file():
        raise FieldlineError(f"There is no {path}; run `fieldline secrets init` first.")
    key = Sops(plant.keeper.tools, plant.keeper.key_file).decrypt(path).get(HOST_KEY + host)
    if key is None:
        raise FieldlineError(f"The host {host} has no key yet; run `fieldline secrets rekey`.")
    return key_file_text(host, key, recipient_of(plant.keeper.tools, key))


def _over_ssh(
    place: str, text: str, user: str, identity: Path | None, port: int, progress: Progress
) -> None:
    argv = ["ssh", "-T", "-p", str(port)]
    if identity is not None:
        argv += ["-i", str(identity)]
    command = ["sh", "-c", script()]
    if user != "root":
        command = ["sudo", "-n", *command]
    argv += ["--", place, shlex.join(command)]
    # ssh asks on the terminal itself (an unknown host, a passphrase): nothing is drawn over it.
    progress.__exit__()
    try:
        done = subprocess.run(argv, input=text, stdout=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError as error:
        raise FieldlineError("Install an ssh client (openssh-client).", str(error)) from None
    expected = hashlib.sha256(text.encode()).hexdigest()
    lines = done.stdout.split("\n")
    if done.returncode:
        raise FieldlineError(
            f"The key is not on {place}. The user must be able to sign in by ssh and to `sudo -n`;"
            " what failed is said above.",
            f"ssh ended with {done.returncode}",
        )
    if lines[0].split()[:1] != [expected] or lines[1:2] != ["400 0 0"]:
        raise FieldlineError(
            f"What {place} has at {KEY_FILE} is not the key that was sent; look at the host's"
            " disk and repeat this.",
            f"it said: {done.stdout.strip()[:200]}",
        )
