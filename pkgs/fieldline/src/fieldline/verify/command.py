"""`fieldline verify`: every value accounted for, from the servers' records to InfluxDB."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
import typer

from fieldline.arguments import (
    DEFAULT_SITE,
    READER_TOKEN,
    Json,
    Site,
    TokenFile,
    Url,
    duration_ns,
    instant_ns,
)
from fieldline.influx import InfluxClient
from fieldline.influx.client import read_token
from fieldline.site import load_site
from fieldline.verify.catalogue import catalogue_of
from fieldline.verify.progress import TerminalProgress
from fieldline.verify.records import HttpRecords
from fieldline.verify.report import Report
from fieldline.verify.run import Verification, Window
from fieldline.verify.store import InfluxStore

app = typer.Typer(add_completion=False)

# Long enough for the default plant's slowest variable (8 s) to have several values.
_DEFAULT_WINDOW = "60s"


@app.command(
    epilog="Examples: fieldline verify --since -5min · fieldline verify --for 20s --settle 30s · "
    "fieldline verify --since 2026-03-01T12:00:00Z --until 2026-03-01T13:00:00Z --json"
)
def verify(
    site: Site = DEFAULT_SITE,
    url: Url = "",
    token_file: TokenFile = READER_TOKEN,
    since: Annotated[
        str, typer.Option(help="Begin: ISO 8601, ns, or such as -5min. Default: -60s.")
    ] = "",
    until: Annotated[str, typer.Option(help="End: as --since. Default: now.")] = "now",
    collect: Annotated[
        str, typer.Option("--for", help="Collect that long first, and verify just that.")
    ] = "",
    settle: Annotated[
        str, typer.Option(help="At most that long after the end for values to arrive.")
    ] = "30s",
    as_json: Json = False,
) -> None:
    """Compare InfluxDB with the records of the site's own servers, and models with their inputs.

    Every recorded value is stored with the same float64, source time and quality; nothing is
    stored that was not recorded; the results are those that the stored inputs require. Exit code
    0 if all of it holds, 1 if not, 69 if InfluxDB or a server cannot be reached. Run it as root on
    the database host, where the reader's token is.
    """
    if collect and (since or until != "now"):
        raise typer.BadParameter("give either --for, or --since and --until")
    declared = load_site(site)
    catalogue = catalogue_of(declared)
    client = InfluxClient(
        url or f"http://127.0.0.1:{declared.influxdb.port}", read_token(token_file)
    )
    store = InfluxStore(client, declared.influxdb, catalogue)
    verification = Verification(catalogue, store, HttpRecords(declared, catalogue))
    with TerminalProgress() as progress:
        if collect:
            begin = time.time_ns()
            end = begin + duration_ns(collect)
            while (left := end - time.time_ns()) > 0:
                progress(f"collecting, {left / 1e9:.0f} s left")
                time.sleep(min(0.5, left / 1e9))
        else:
            now = time.time_ns()
            begin, end = instant_ns(since or f"-{_DEFAULT_WINDOW}", now), instant_ns(until, now)
        if end <= begin:
            raise typer.BadParameter("--until must be later than --since")
        report = verification.run(Window(begin, end, end + duration_ns(settle)), progress)
    show(report, as_json=as_json)
    raise typer.Exit(0 if report.ok else 1)


def show(report: Report, *, as_json: bool) -> None:
    """Print a report to standard output."""
    if as_json:
        print(msgspec.json.encode(report.as_json()).decode())
    else:
        print("\n".join(report.lines()))
