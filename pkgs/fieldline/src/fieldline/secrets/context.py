"""What the commands on a plant's files have in common: where they are, who asks, what is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import typer

from fieldline.errors import FieldlineError
from fieldline.evaluate import evaluate, find_library
from fieldline.secrets import values
from fieldline.secrets.age import default_key_file
from fieldline.secrets.keep import Keeper
from fieldline.secrets.tools import Tools
from fieldline.secrets.tree import Tree
from fieldline.secrets.wanted import Wanted

Site = Annotated[
    Path | None,
    typer.Option(
        "--site",
        envvar="FIELDLINE_SITE",
        help="The site; without it site.toml of the folder, else ./site.toml.",
        show_default=False,
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        help="Where .sops.yaml and secrets/ are; without it the site's folder.",
        show_default=False,
    ),
]
AdminKey = Annotated[
    Path | None,
    typer.Option(
        "--admin-key",
        help="The administrator's key file; without it $SOPS_AGE_KEY_FILE, else"
        " ~/.config/sops/age/keys.txt.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]


def interactive() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


class Progress(AbstractContextManager["Progress"]):
    """A live line on a terminal, from the first word on; nothing elsewhere but notes."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._status = self._console.status("") if self._console.is_terminal else None

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()

    def now(self, text: str) -> None:
        """What is going on."""
        if self._status:
            self._status.update(text)

    def ask(self, text: str, *, twice: bool) -> str:
        """A value that nobody sees; an empty one is an answer."""
        if self._status:
            self._status.stop()
        answer = typer.prompt(
            text,
            default="",
            hide_input=True,
            confirmation_prompt=twice,
            show_default=False,
            err=True,
        )
        if self._status:
            self._status.start()
        return str(answer)


@dataclass(frozen=True)
class Plant:
    """A site and its secrets."""

    site: Path
    wanted: Wanted
    keeper: Keeper

    @classmethod
    def open(
        cls, site: Path | None, folder: Path | None, admin_key: Path | None, progress: Progress
    ) -> Plant:
        """Evaluate the site and find the programs.

        Raises:
            FieldlineError: one of them cannot be had.
        """
        from fieldline.site.load import find_site

        beside = folder / "site.toml" if folder else None
        if site is None and beside is not None and beside.is_file():
            site = beside
        path = find_site(site).resolve()
        progress.now("evaluating the site")
        tools = Tools.find()
        wanted = Wanted.of(evaluate(find_library(path), path))
        tree = Tree(folder or path.parent)

        def ask(name: str) -> str | None:
            if not interactive():
                return None
            text = f"{name} (its owner knows it; empty: later)"
            answer = progress.ask(text, twice=False)
            return values.check(name, answer) if answer else None

        key_file = (admin_key or default_key_file()).absolute()
        return cls(path, wanted, Keeper(tree, wanted, tools, key_file, ask, progress.now))

    @property
    def tree(self) -> Tree:
        """The files."""
        return self.keeper.tree


def read_value(name: str, progress: Progress) -> str:
    """A value from standard input, or asked for twice on a terminal.

    Raises:
        FieldlineError: it cannot be right.
    """
    if interactive():
        return values.check(name, progress.ask(f"New value of {name}", twice=True))
    text = sys.stdin.read()
    # One line end is the shell's; a text of several lines (a key in PEM) keeps its own.
    text = text.removesuffix("\n").removesuffix("\r") if text.count("\n") == 1 else text
    return values.check(name, text)


def show_json(data: Any) -> None:
    """Print data for programs."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def show_steps(title: str, lines: Iterable[str]) -> None:
    """Print a list of things to do."""
    lines = list(lines)
    if lines:
        typer.echo(title)
    for line in lines:
        typer.echo(f"  - {line}")


def missing_error(missing: list[str]) -> FieldlineError:
    """The error for secrets that somebody must give."""
    commands = "\n".join(f"  fieldline secrets set {name}" for name in missing)
    return FieldlineError(
        "Everything else is done; these are decided by who owns the device, so give them:\n"
        + commands
    )
