"""Parts that are already on PATH, as in a Nix shell or on a machine that has them installed."""

import os
import re
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

from .model import Recipe

# What a lab host sees of this machine besides the folders it is given: its own root binds these two
# read-only. A program anywhere else may need libraries that are not there.
VISIBLE = (Path("/usr"), Path("/nix/store"))
VERSION_SECONDS = 10.0

NIXFMT_EQUAL = "1.2.0"
"""The nixfmt, in Haskell, whose output nixfmt-rs was made to equal; it is the one in nixpkgs."""


def telegraf(recipe: Recipe, search_path: str) -> Path | None:
    """The directory of a telegraf of exactly the recipe's version on `search_path`, or None."""
    return _binary(recipe, search_path, "telegraf", ["--version"], r"^Telegraf v?(\S+)")


def sops(recipe: Recipe, search_path: str) -> Path | None:
    """The directory of a sops of exactly the recipe's version on `search_path`, or None."""
    # Without the option it would ask the network for a newer version.
    return _binary(
        recipe, search_path, "sops", ["--version", "--disable-version-check"], r"^sops v?(\S+)"
    )


def influxd(recipe: Recipe, search_path: str) -> Path | None:
    """The directory of an influxd of exactly the recipe's version on `search_path`, or None."""
    return _binary(recipe, search_path, "influxd", ["version"], r"^InfluxDB v?(\S+)")


def nixfmt(recipe: Recipe, search_path: str) -> Path | None:
    """The directory of a nixfmt that formats as the recipe's does, or None."""
    same = _binary(
        recipe, search_path, "nixfmt", ["--version"], r"^nixfmt-rs v?(\S+)", in_hosts=False
    )
    return same or _binary(
        replace(recipe, version=NIXFMT_EQUAL),
        search_path,
        "nixfmt",
        ["--version"],
        r"^nixfmt v?(\S+)",
        in_hosts=False,
    )


def deadnix(recipe: Recipe, search_path: str) -> Path | None:
    """The directory of a deadnix of exactly the recipe's version on `search_path`, or None."""
    return _binary(
        recipe, search_path, "deadnix", ["--version"], r"^deadnix v?(\S+)", in_hosts=False
    )


def kafka(recipe: Recipe, search_path: str) -> Path | None:
    """The directory of a Kafka of exactly the recipe's version, by its start script and its jar."""
    found = shutil.which("kafka-server-start.sh", path=search_path)
    if found is None:
        return None
    script = Path(found).resolve()
    jar = f"libs/kafka_2.13-{recipe.version}.jar"
    for directory in (script.parent, script.parent.parent):
        if (directory / jar).is_file() and visible(directory / jar, script):
            return directory
    return None


def visible(*files: Path) -> bool:
    """Whether a service in a lab host, which owns none of them, can read these files."""
    for file in files:
        place = next((place for place in VISIBLE if file.is_relative_to(place)), None)
        if place is None:
            return False
        try:
            if not file.stat().st_mode & stat.S_IROTH:
                return False
            for folder in file.parents:
                if folder == place:
                    break
                if not folder.stat().st_mode & stat.S_IXOTH:
                    return False
        except OSError:
            return False
    return True


def _binary(
    recipe: Recipe,
    search_path: str,
    command: str,
    arguments: list[str],
    pattern: str,
    *,
    in_hosts: bool = True,
) -> Path | None:
    """`in_hosts`: services in lab hosts run it too, not only whoever calls this."""
    found = shutil.which(command, path=search_path)
    if found is None:
        return None
    program = Path(found).resolve()
    if program.parent.name != "bin" or program.name != command:
        return None
    if in_hosts and not visible(program):
        return None
    try:
        answer = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=VERSION_SECONDS,
            stdin=subprocess.DEVNULL,
            env={"PATH": os.defpath, "LC_ALL": "C"},
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(pattern, answer, re.MULTILINE)
    if version is None or version[1] != recipe.version:
        return None
    return program.parent.parent
