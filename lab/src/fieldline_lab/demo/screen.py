"""How the demonstration shows itself: live on a terminal, a line now and then elsewhere."""

import shlex
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from fieldline.where.render import render
from fieldline.where.state import Snapshot
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from fieldline_lab.lab import Lab

# Seconds between two lines where there is no terminal.
LINE_SECONDS = 10.0


class Screen:
    """Shows snapshots.

    Args:
        lab: the lab that is shown, for where to look further.
    """

    def __init__(self, lab: Lab) -> None:
        # Standard output is for the summary, which may be read by a program.
        self._console = Console(stderr=True, highlight=False)
        self._where_to_look = _where_to_look(lab)
        self._stack = ExitStack()
        self._live: Live | None = None
        self._began = self._told = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = self._stack.enter_context(
                Live(console=self._console, auto_refresh=False, screen=True)
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, seen: Snapshot) -> None:
        """Show one snapshot."""
        if self._live:
            taken = len(seen.hops) + len(self._where_to_look) + 9
            rows = max(5, self._console.height - taken)
            lines = [Text(line, style="dim") for line in self._where_to_look]
            self._live.update(Group(render(seen, rows), Text(), *lines), refresh=True)
        elif time.monotonic() - self._told >= LINE_SECONDS:
            self._told = time.monotonic()
            silent = [f"{one.asset}/{one.name}" for one in seen.series if one.value is None]
            print(
                f"{self._told - self._began:4.0f} s: "
                + ", ".join(
                    f"{hop.name} {hop.rate:.1f}/s" for hop in seen.hops if hop.rate is not None
                )
                + (f"; no value yet of {', '.join(silent)}" if silent else ""),
                file=sys.stderr,
                flush=True,
            )


def _where_to_look(lab: Lab) -> list[str]:
    """Lines that can be copied as they stand, from the work tree."""
    status, names = lab.status(), lab.names
    command = Path(sys.prefix) / "bin" / "fieldline"
    if command.is_relative_to(names.worktree):
        command = command.relative_to(names.worktree)
    which = f"--name {names.name} "
    if names.site != names.worktree / "site.toml":
        which += f"--site {shlex.quote(str(names.site))} "
    places = [
        f"{what} of {host}: http://127.0.0.1:{port}"
        for host, body in status["hosts"].items()
        for what, port in body["forwards"].items()
    ]
    some = next(iter(status["hosts"]))
    return [
        *places,
        f"a shell in a host: {command} lab shell {which}{some}",
        f"the logs of a host: {command} lab logs {which}{some} -f",
        "Ctrl-C stops the plant and cleans up",
    ]
