"""What `up` and `status` show to people."""

import datetime as dt
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .lab import UpResult


def show_up(status: dict[str, Any], result: UpResult) -> None:
    """What runs now, and how to go on."""
    show_status(status)
    console = Console(highlight=False, soft_wrap=True)
    if result.restarted:
        console.print(f"Restarted: {', '.join(result.restarted)}.")
    if result.booted:
        console.print(f"Up after {result.seconds:.1f} s. `fieldline lab down` ends it.")
    else:
        console.print("The lab was up already, with this declaration; nothing was changed.")


def show_status(status: dict[str, Any]) -> None:
    """Hosts and units as a table, forwarded ports below."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for title in ("host", "address", "unit", "state", "since"):
        table.add_column(title, overflow="fold")
    for name, host in status["hosts"].items():
        first = [name, host["address"]]
        if not host["running"]:
            table.add_row(*first, "", Text("off", style="red"), "")
            continue
        if not host["units"]:
            table.add_row(*first, "", Text("on", style="green"), _time(host["since"]))
        for unit, state in host["units"].items():
            style = "green" if state["well"] else "red"
            text = Text(state["text"], style=style)
            table.add_row(*first, unit.removesuffix(".service"), text, _time(state["since"]))
            first = ["", ""]
    console.print(table)
    for name, host in status["hosts"].items():
        for what, port in host["forwards"].items():
            console.print(f"{what} of {name}: http://127.0.0.1:{port}")
    for unit, reason in status["not_run_here"].items():
        console.print(f"{unit} is not run here: {reason}")


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return dt.datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S")
