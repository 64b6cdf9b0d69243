"""Which parts there are, and where their pins are.

A version is written once, in the file that the package client reads; here it is read from there.
"""

import re
from collections.abc import Callable
from pathlib import Path

from . import onpath, recipes
from .model import Recipe, Tool

RECIPES = Path(__file__).resolve().parents[3] / "parts"

ALL = ("kafka", "sops", "telegraf", "influxdb")
"""What a lab runs, in the order in which it is made: the quick ones first, so that a fault shows
early."""

TOOLS = ("nixfmt", "deadnix")
"""What `make format` and `make lint` call for Nix files."""

# Go from 1.21 on fetches by itself the newer Go that a go.mod asks for.
_GO = Tool(
    "go",
    "golang-go",
    (1, 21),
    ("version",),
    "Debian 12 has a new enough Go in bookworm-backports.",
)
_CARGO_REMARK = "Debian 12's cargo is too old; rustup has a newer."
_CARGO = Tool("cargo", "cargo", (1, 72), remark=_CARGO_REMARK)
# The oldest compiler that nixfmt_rs asks for; `cargo info` is there from 1.82 on.
_CARGO_CRATES = Tool("cargo", "cargo", (1, 87), remark=_CARGO_REMARK)
# Kafka 4 does not start on an older Java.
_JAVA = Tool("java", "default-jre-headless", (17, 0), ("-version",))

_GIB = 1 << 30

# One line for each crate that is fetched, and one for each that is compiled.
_CARGO_LINE = r"^ +(Compiling|Downloaded) "

# `go build -v` names each module that it fetches and each package that it has compiled.
_GO_LINE = r"^go: downloading|^[\w.~+-]+(/[\w.~+-]+)*$"


def read_catalogue(folder: Path = RECIPES) -> dict[str, Recipe]:
    """The recipes below `folder` by name. OSError or ValueError if a pin cannot be read."""
    kafka = folder / "kafka"
    sops = folder / "sops"
    telegraf = folder / "telegraf"
    influxdb = folder / "influxdb"
    # Space: what a build from nothing was seen to take (133, 1847, 911 and 2862 MB), and half as
    # much again for the linker. Time: two cores, alone and beside other work.
    found = (
        Recipe(
            name="kafka",
            version=_pinned(kafka / "pom.xml", r"<kafka\.version>(.+?)</kafka\.version>"),
            folder=kafka,
            files=("pom.xml", "SHA256SUMS"),
            build=recipes.kafka,
            tools=(_JAVA, Tool("mvn", "maven")),
            space=_GIB // 4,
            typical=(10, 60),
            progress_line=r" Downloaded from ",
            steps=466,
            on_path=onpath.kafka,
            path_executable="bin/kafka-server-start.sh",
        ),
        Recipe(
            name="sops",
            version=_pinned(sops / "go.mod", rf"{recipes.SOPS} v(\S+)"),
            folder=sops,
            files=("go.mod", "go.sum"),
            build=recipes.sops,
            executable="bin/sops",
            tools=(_GO,),
            space=_GIB * 5 // 2,
            typical=(70, 180),
            progress_line=_GO_LINE,
            steps=1140,
            on_path=onpath.sops,
        ),
        Recipe(
            name="telegraf",
            version=_pinned(telegraf / "go.mod", rf"{recipes.TELEGRAF} v(\S+)"),
            folder=telegraf,
            files=("go.mod", "go.sum", "tags.txt"),
            build=recipes.telegraf,
            executable="bin/telegraf",
            tags=tags(telegraf / "tags.txt"),
            tools=(_GO,),
            space=_GIB * 3 // 2,
            typical=(70, 180),
            progress_line=_GO_LINE,
            steps=841,
            on_path=onpath.telegraf,
        ),
        Recipe(
            name="influxdb",
            version=_pinned(influxdb / "go.mod", rf"{recipes.INFLUXDB} v(\S+)"),
            folder=influxdb,
            files=("go.mod", "go.sum", "tags.txt"),
            build=recipes.influxdb,
            executable="bin/influxd",
            tags=tags(influxdb / "tags.txt"),
            tools=(
                _GO,
                _CARGO,
                Tool("gcc", "gcc"),
                Tool("pkg-config", "pkg-config"),
            ),
            space=4 * _GIB,
            typical=(240, 480),
            progress_line=f"{_GO_LINE}|{_CARGO_LINE}",
            steps=1747,
            on_path=onpath.influxd,
        ),
        _crate_recipe(folder / "nixfmt", ("cli",), 55, (10, 30), onpath.nixfmt),
        # Its only feature is output as JSON, for nearly half of the time.
        _crate_recipe(folder / "deadnix", (), 45, (6, 20), onpath.deadnix),
    )
    return {recipe.name: recipe for recipe in found}


def _crate_recipe(
    folder: Path,
    features: tuple[str, ...],
    steps: int,
    typical: tuple[int, int],
    on_path: Callable[[Recipe, str], Path | None],
) -> Recipe:
    """A program of the folder's name, of the one crate that its SHA256SUMS names."""
    return Recipe(
        name=folder.name,
        version=_pinned(folder / "SHA256SUMS", r"-([\d.]+)\.crate$"),
        folder=folder,
        files=("SHA256SUMS",),
        build=recipes.crate,
        executable=f"bin/{folder.name}",
        tags=features,
        tools=(_CARGO_CRATES, Tool("gcc", "gcc")),
        space=_GIB // 4,
        typical=typical,
        progress_line=_CARGO_LINE,
        steps=steps,
        on_path=on_path,
    )


def tags(file: Path) -> tuple[str, ...]:
    """The build tags in a file: one a line, `#` starts a remark."""
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return tuple(line for line in lines if line)


def _pinned(file: Path, pattern: str) -> str:
    match = re.search(pattern, file.read_text())
    if match is None:
        raise ValueError(f"{file}: no version found ({pattern})")
    return match[1]
