"""Running one command line of this package by itself, with the errors that `fieldline` shows."""

import sys

import typer
from fieldline.errors import FieldlineError

# 128 + SIGINT, as a shell says it.
INTERRUPTED = 130


def run(app: typer.Typer, name: str) -> None:
    """Run a command line; a known error is told in two layers."""
    try:
        app(prog_name=name)
    except FieldlineError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
