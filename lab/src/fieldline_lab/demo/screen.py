"""How the demonstration shows itself: live on a terminal, a line now and then elsewhere."""

import time
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from fieldline.where.render import render
from fieldline.where.state import Snapshot
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

# Seconds between two lines where there is no terminal.
LINE_SECONDS = 10.0


class Screen:
    """Shows snapshots.

    Args:
        status: of the lab, as `fieldline lab status --json` has it: where to look further.
        lab: what to add to a command of `fieldline lab` so that it means this lab.
    """

    def __init__(self, status: dict[str, Any], lab: str) -> None:
        self._console = Console(highlight=False)
        self._where_to_look = _where_to_look(status, lab)
        self._stack = ExitStack()
        self._live: Live | None = None
        self._began = self._told = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = self._stack.enter_context(
                Live(console=self._console, auto_refresh=False, screen=True)
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
                flush=True,
            )


def _where_to_look(status: dict[str, Any], lab: str) -> list[str]:
    places = [
        f"{what} of {host}: http://127.0.0.1:{port}"
        for host, body in status["hosts"].items()
        for what, port in body["forwards"].items()
    ]
    some = next(iter(status["hosts"]))
    return [
        *places,
        f"a shell in a host: fieldline lab shell {lab}{some}",
        f"the logs of a host: fieldline lab logs {lab}{some} -f",
        "Ctrl-C stops the plant and cleans up",
    ]
