"""The programs that do the work: sops, age-keygen, openssl."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fieldline.errors import FieldlineError

# A program that waits for somebody (a passphrase, a network) shall not hang an automatic run.
SECONDS = 60.0

_HOW = {
    "sops": "install sops (nix shell nixpkgs#sops, or your distribution's package), or run"
    " `fieldline lab prepare` in a work tree, which builds it into the cache where this looks too",
    "age-keygen": "install age (Debian: apt-get install age; nix shell nixpkgs#age)",
    "openssl": "install openssl (Debian: apt-get install openssl)",
}


@dataclass(frozen=True)
class Tools:
    """Where the programs are."""

    sops: str
    age_keygen: str
    openssl: str

    @classmethod
    def find(cls, sops: str | None = None) -> Tools:
        """Look on PATH; for sops also where the lab keeps what it has built.

        Args:
            sops: the program, for who knows better.
        Raises:
            FieldlineError: one is missing; the text says how to get it.
        """
        found = {
            "sops": sops or shutil.which("sops") or _built_sops(),
            "age-keygen": shutil.which("age-keygen"),
            "openssl": shutil.which("openssl"),
        }
        missing = [name for name, path in found.items() if path is None]
        if missing:
            steps = "; ".join(_HOW[name] for name in missing)
            raise FieldlineError(
                f"Secrets need programs that are not here: {steps}.",
                f"not on PATH: {', '.join(missing)}",
            )
        return cls(str(found["sops"]), str(found["age-keygen"]), str(found["openssl"]))


def _built_sops() -> str | None:
    """The newest sops among the lab's parts (lab/parts), which are kept off the PATH."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    found = (cache / "fieldline" / "parts").glob("sops-*/bin/sops")
    programs = [path for path in found if os.access(path, os.X_OK)]
    return str(max(programs, key=lambda path: path.stat().st_mtime)) if programs else None


def run(
    argv: Sequence[str],
    what_to_do: str,
    *,
    stdin: str = "",
    environment: dict[str, str] | None = None,
    descriptors: Sequence[int] = (),
    cwd: Path | None = None,
) -> str:
    """Run a program without a terminal; its standard output.

    The arguments are seen by every user of the machine: no secret may be in them.

    Raises:
        FieldlineError: with `what_to_do`, it failed; the cause is what it said.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=SECONDS,
            cwd=cwd,
            env={"PATH": os.environ.get("PATH", os.defpath), **(environment or {})},
            pass_fds=descriptors,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FieldlineError(what_to_do, f"{Path(argv[0]).name}: {error}") from None
    if done.returncode:
        said = done.stderr.strip() or f"exit status {done.returncode}"
        raise FieldlineError(what_to_do, f"{Path(argv[0]).name}: {said}")
    return done.stdout


@contextmanager
def in_memory(text: str) -> Iterator[tuple[str, int]]:
    """A file that is in no file system, for a program that insists on one: its path and descriptor.

    The program must be given the descriptor; the path is of /proc, and means the program's own.
    """
    descriptor = os.memfd_create("fieldline", 0)
    try:
        os.write(descriptor, text.encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield f"/proc/self/fd/{descriptor}", descriptor
    finally:
        os.close(descriptor)
