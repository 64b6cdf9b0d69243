"""`fieldline ledger`: is all of each hour stored?"""

from __future__ import annotations

import sys
import time
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from fieldline.arguments import (
    DEFAULT_SITE,
    READER_TOKEN,
    Json,
    Site,
    TokenFile,
    Url,
    instant_ns,
)
from fieldline.errors import FieldlineError
from fieldline.influx import InfluxClient
from fieldline.influx.client import read_token
from fieldline.ledger.report import make_report
from fieldline.ledger.stored import read_hours
from fieldline.messages.ledger import hour_of
from fieldline.site import load_site
from fieldline.verify.catalogue import Catalogue, catalogue_of
from fieldline.verify.progress import TerminalProgress

app = typer.Typer(add_completion=False)

# Two names of 64 characters and all counts.
_WIDTH = 250


@app.command(
    epilog="Examples: fieldline ledger · fieldline ledger --since 7d · "
    "fieldline ledger Sensors/Temperature --all · fieldline ledger --since 2h --json"
)
def ledger(
    variable: Annotated[
        str, typer.Argument(help="VARIABLE, ASSET or ASSET/VARIABLE; all if left out.")
    ] = "",
    site: Site = DEFAULT_SITE,
    url: Url = "",
    token_file: TokenFile = READER_TOKEN,
    since: Annotated[
        str, typer.Option(help="Begin: a duration back, ISO 8601, or ns; whole hours.")
    ] = "24h",
    every: Annotated[
        bool, typer.Option("--all", help="List all variables of all hours, not only the worst.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show how many values of each hour were produced, stored, missing, filled, late, doubled.

    What each column means is in docs/ledger.md. Exit code 0 if nothing is lacking in the hours that
    are settled, 1 if something is, 69 if InfluxDB cannot be reached; an hour that not both sides
    have told of is "not known yet", and counts for neither. Run it as root on the database host.
    """
    declared = load_site(site)
    catalogue = catalogue_of(declared)
    wanted = _wanted(catalogue, variable)
    now = time.time_ns()
    begin = hour_of(_since(since, now))
    client = InfluxClient(
        url or f"http://127.0.0.1:{declared.influxdb.port}", read_token(token_file)
    )
    with TerminalProgress() as progress:
        hours = read_hours(client, declared.influxdb, catalogue, begin, now, progress)
    report = make_report(catalogue, hours, since=begin, until=now, wanted=wanted, every=every)
    if as_json:
        print(msgspec.json.encode(report.as_json()).decode())
    else:
        # In a pipe or a file a line is a line.
        width = None if sys.stdout.isatty() else _WIDTH
        Console(width=width).print(report.render(every=every))
    raise typer.Exit(0 if report.ok else 1)


def _since(text: str, now: int) -> int:
    """An instant, or a duration back from now, with a minus or without.

    Raises:
        typer.BadParameter: it is neither.
    """
    try:
        begin = instant_ns(f"-{text}", now)
    except typer.BadParameter:
        begin = instant_ns(text, now)
    if begin >= now:
        raise typer.BadParameter("--since must be before now")
    return begin


def _wanted(catalogue: Catalogue, text: str) -> list[int] | None:
    """The indices of the variables that a text names; None for all.

    Raises:
        FieldlineError: it names none.
    """
    if not text:
        return None
    found = [
        index
        for index, v in enumerate(catalogue.variables)
        if text in (v.variable, v.asset, f"{v.asset}/{v.variable}")
    ]
    if not found:
        raise FieldlineError(
            f'"{text}" is no variable or asset of the site; `fieldline site show` lists them. '
            "Write for example Temperature or Sensors/Temperature."
        )
    return found
