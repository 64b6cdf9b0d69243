"""The command `fieldline`. Its sub-commands come from the entry-point group `fieldline.commands`.

Each entry point is a `typer.Typer`; it is loaded when it is used or listed, so that a package that
is broken hinders its own commands only.
"""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fieldline import __version__
from fieldline.errors import FieldlineError

GROUP = "fieldline.commands"

# 128 + SIGINT: what a shell gives for a program that Ctrl-C ended.
EXIT_INTERRUPTED = 130


def _plugins() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _load(entry: EntryPoint) -> Any:
    """The command of an entry point; where it cannot be loaded, one that says so when it is run."""
    try:
        command = typer.main.get_command(entry.load())
    except Exception as error:  # a plug-in may fail in any way
        command = _broken(entry, f"{type(error).__name__}: {error}")
    command.name = entry.name
    return command


def _broken(entry: EntryPoint, cause: str) -> Any:
    stub = typer.Typer(add_completion=False)

    @stub.command(
        help="(cannot be loaded)",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    def fail() -> None:
        package = entry.value.partition(":")[0]
        raise FieldlineError(
            f'"fieldline {entry.name}" cannot be loaded; install the package of {package} again',
            cause,
        )

    return typer.main.get_command(stub)


class PluginGroup(TyperGroup):
    """A group of commands that are found by entry point."""

    # The context is click's, which newer releases of typer bring along under another name.
    def list_commands(self, ctx: Any) -> list[str]:
        """Give the names of all commands, without loading any."""
        return sorted({*super().list_commands(ctx), *_plugins()})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Load a command."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        entry = _plugins().get(cmd_name)
        return None if entry is None else _load(entry)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; Ctrl-C ends it without a trace."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise SystemExit(EXIT_INTERRUPTED) from None


app = typer.Typer(
    name="fieldline",
    cls=PluginGroup,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fieldline {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Declarative industrial telemetry: one site.toml, and all that follows from it."""


def main() -> None:
    """Run the command line; a known error is shown in two layers, and gives its exit code."""
    try:
        app()
    except FieldlineError as error:
        _show(error)
        # A server that does not answer has an exit code of its own (69, see fieldline.service).
        sys.exit(getattr(error, "code", 1))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _show(error: FieldlineError) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text(error.what_to_do, style="bold" if error.cause else ""))
    if error.cause:
        console.print(Text(f"  cause: {error.cause}", style="dim"))


if __name__ == "__main__":
    main()
