"""What `lib/` makes of a site: Nix itself is asked, so that nothing is derived a second time here.

Not in the package `site`, whose reader takes longer to load than the lab's whole command.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from fieldline.errors import FieldlineError

EVALUATION_SECONDS = 120.0
VARIABLE = "FIELDLINE_LIB"


def find_library(site: Path | None = None) -> Path:
    """Give the folder `lib/`: $FIELDLINE_LIB, or that of the nearest folder around the site, the
    current folder or this package.

    Raises:
        FieldlineError: there is none.
    """
    named = os.environ.get(VARIABLE)
    if named:
        library = Path(named).resolve()
        if (library / "default.nix").is_file():
            return library
        raise FieldlineError(
            f"Set {VARIABLE} to the folder lib of a Fieldline work tree, or unset it:"
            f" {library} holds no default.nix."
        )
    starts = [Path.cwd(), Path(__file__).resolve().parent]
    if site is not None:
        starts.insert(0, site.resolve().parent)
    for start in starts:
        for folder in (start, *start.parents):
            if (folder / "lib" / "default.nix").is_file():
                return folder / "lib"
    raise FieldlineError(
        f"Run this in a Fieldline work tree, or set {VARIABLE} to its folder lib: what follows from"
        " a site is written there."
    )


def evaluate(library: Path, site: Path) -> dict[str, Any]:
    """Give what `lib/` makes of the site, as plain data: its attribute `lab`.

    Raises:
        FieldlineError: Nix is missing, or the site is refused.
    """
    if shutil.which("nix-instantiate") is None:
        raise FieldlineError(
            "Install Nix, whose `nix-instantiate` reads the declaration (on Debian: apt-get install"
            " nix-bin)."
        )
    if not site.is_file():
        raise FieldlineError(f"There is no site file {site}.")
    # A path as a Nix expression: one with a blank or a `#` in it can only be written this way.
    text = str(site.resolve()).replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    argv = ["nix-instantiate", "--eval", "--strict", "--json"]
    # Pure evaluation: no store, so it works for a user who may not write to /nix.
    argv += ["--store", "dummy://", str(library / "default.nix")]
    argv += ["--arg", "site", f'/. + "{text}"', "-A", "lab"]
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=EVALUATION_SECONDS,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent"},
        )
    except subprocess.TimeoutExpired as error:
        raise FieldlineError(
            f"The declaration {site} took more than {EVALUATION_SECONDS:.0f} s to evaluate."
        ) from error
    if done.returncode:
        # The other reader refuses the same mistakes, and tells their lines. Loaded only now: it
        # takes longer than all else here.
        from fieldline.site.load import load_site

        load_site(site)
        raise FieldlineError(
            f"The declaration {site} is refused by lib/, though not by `fieldline site check`.",
            done.stderr.strip(),
        )
    value = json.loads(done.stdout)
    if not isinstance(value, dict):
        raise FieldlineError("lib/ gives no hosts for the lab.", done.stdout[:200])
    return value
