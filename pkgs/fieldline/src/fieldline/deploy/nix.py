"""Building a host's system and copying it there: the first two steps of nixos-rebuild.

`nixos-rebuild switch --target-host` does four things: build, copy, set the profile, switch. The
last two are not left to it: it makes the new system the boot default before anybody knows whether
it works, and nobody watches. Here both are the guard's on the host, in the other order.
Source: nixpkgs, pkgs/by-name/ni/nixos-rebuild-ng.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Sequence

from fieldline.deploy.remote import Ssh
from fieldline.errors import FieldlineError

# A Nix whose configuration has not turned these on takes them from here.
_NIX = ["nix", "--extra-experimental-features", "nix-command flakes"]


def build_command(flake: str, configuration: str) -> list[str]:
    """The command that builds a system and writes what it built, as JSON: Nix 2.8 does it too."""
    attribute = f'nixosConfigurations."{configuration}".config.system.build.toplevel'
    return [*_NIX, "build", "--no-link", "--json", f"{flake}#{attribute}"]


def copy_command(ssh: Ssh, system: str) -> list[str]:
    """The command that copies a system and all it needs; `copy_environment` goes with it."""
    address = f"[{ssh.address}]" if ":" in ssh.address else ssh.address
    destination = f"{ssh.user}@{address}" if ssh.user else address
    # What was built here bears no signature. A host asks everybody for one but its trusted users,
    # the admins, and even they must say that they have none (NixOS/nix issue 7812).
    return [*_NIX, "copy", "--no-check-sigs", "--to", f"ssh-ng://{destination}", system]


def copy_environment(ssh: Ssh) -> dict[str, str]:
    """How Nix' own ssh is told the options."""
    return {"NIX_SSHOPTS": shlex.join(ssh.options())}


def build(flake: str, configuration: str) -> str:
    """Build a system; its path.

    Raises:
        FieldlineError: Nix is missing, or the build failed (Nix has told why).
    """
    done = _run(build_command(flake, configuration), {}, "build")
    try:
        return str(json.loads(done.stdout)[0]["outputs"]["out"])
    except (ValueError, LookupError, TypeError) as error:
        raise FieldlineError("Nix gave no path of a system.", done.stdout[-500:]) from error


def copy(ssh: Ssh, system: str) -> None:
    """Copy a system to a host.

    Raises:
        FieldlineError: Nix is missing, or the copy failed.
    """
    _run(copy_command(ssh, system), copy_environment(ssh), "copy")


def _run(
    argv: Sequence[str], environment: dict[str, str], what: str
) -> subprocess.CompletedProcess[str]:
    """Run Nix with its own progress on the terminal."""
    try:
        done = subprocess.run(
            argv,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )
    except FileNotFoundError as error:
        raise FieldlineError(
            "A system is built by Nix, which is not on PATH. Run this where Nix is, or name a"
            " system that is on the host already with --system.",
            str(error),
        ) from error
    if done.returncode:
        raise FieldlineError(
            f"Nothing was changed on the host: the {what} failed; Nix says why above.",
            f"`{shlex.join(argv)}` ended with {done.returncode}",
        )
    return done
