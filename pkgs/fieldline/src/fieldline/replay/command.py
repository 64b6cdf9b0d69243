"""`fieldline replay`: models over the recorded inputs again, compared with what is stored."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
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
    instant_ns,
)
from fieldline.influx import InfluxClient
from fieldline.influx.client import read_token
from fieldline.replay.run import replay as run_replay
from fieldline.replay.selection import Functions, parse_models, select
from fieldline.replay.shadow import Shadow, check_run
from fieldline.site import load_site
from fieldline.verify.catalogue import catalogue_of
from fieldline.verify.points import Points
from fieldline.verify.progress import TerminalProgress
from fieldline.verify.store import InfluxStore

app = typer.Typer(add_completion=False)

WRITER_TOKEN = READER_TOKEN.with_name("influxdb-writer-token")


@app.command(
    epilog="Examples: fieldline replay --from -1h · fieldline replay --from -1d --dry-run "
    "--model model1=my_models:better · fieldline replay --from 2026-03-01T12:00:00Z "
    "--to 2026-03-01T13:00:00Z --asset press7 --json · fieldline replay --delete"
)
def replay(
    since: Annotated[str, typer.Option("--from", help="Begin: ISO 8601, ns, or such as -1h.")] = "",
    until: Annotated[
        str, typer.Option("--to", help="End: as --from; later results may still be on their way.")
    ] = "-30s",
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME[=FUNCTION]",
            help="Only this model; with another function: MODULE:FUNCTION, or an installed one.",
        ),
    ] = None,
    asset: Annotated[list[str] | None, typer.Option("--asset", help="Only this asset.")] = None,
    path: Annotated[
        Path, typer.Option("--path", help="The folder that MODULE is looked for in.")
    ] = Path(),
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance", min=0.0, help="Relative difference up to which results are equal."
        ),
    ] = 0.0,
    run: Annotated[
        str, typer.Option("--run", help="Name of this run. Default: the time now.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compare only; write nothing.")
    ] = False,
    delete: Annotated[
        bool,
        typer.Option("--delete", help="Remove earlier runs first (with --run: that one)."),
    ] = False,
    site: Site = DEFAULT_SITE,
    url: Url = "",
    token_file: TokenFile = READER_TOKEN,
    writer_token_file: Annotated[
        Path, typer.Option(help="A file with a token that may write into the bucket.")
    ] = WRITER_TOKEN,
    as_json: Json = False,
) -> None:
    """Run models over the recorded inputs again, and compare with the results that are stored.

    Run it as root on the database host. Results go to the measurement model_replay, with the tags
    asset, name and run; model and opc_server stay as they are. Exit code 0 if every result is the
    stored one, 1 if not, 69 if InfluxDB cannot be reached. --delete without --from only removes.
    """
    if not since and not delete:
        raise typer.BadParameter("give --from: where the replay begins (or --delete alone)")
    if dry_run and delete:
        raise typer.BadParameter("--dry-run writes nothing, and removes nothing either")
    name = run or f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    check_run(name)
    declared = load_site(site)
    client = InfluxClient(url or f"http://127.0.0.1:{declared.influxdb.port}")
    shadow = None
    if not dry_run:
        writer = client.with_token(read_token(writer_token_file))
        shadow = Shadow(writer, declared.influxdb)
    if shadow is not None and delete:
        shadow.delete(run or None)
        if not since:
            _deleted(run, as_json=as_json)
            return
    now = time.time_ns()
    begin, end = instant_ns(since, now), instant_ns(until, now)
    if end <= begin:
        raise typer.BadParameter("--to must be later than --from")
    catalogue = select(catalogue_of(declared), parse_models(model or ()), asset or ())
    reader = client.with_token(read_token(token_file))
    store = InfluxStore(reader, declared.influxdb, catalogue, narrow=True)

    def write(results: Points) -> None:
        if shadow is not None:
            shadow.write(results, catalogue, name)

    with TerminalProgress() as progress:
        try:
            report = run_replay(
                catalogue,
                store,
                Functions(path.resolve()),
                begin,
                end,
                tolerance=tolerance,
                run=None if dry_run else name,
                write=write,
                progress=progress,
            )
        except BaseException:
            if shadow is not None:
                typer.echo(
                    f"Remove what is there of it: fieldline replay --delete --run {name}", err=True
                )
            raise
    print(msgspec.json.encode(report.as_json()).decode() if as_json else "\n".join(report.lines()))
    raise typer.Exit(0 if report.equal else 1)


def _deleted(run: str, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode({"deleted": run or "all"}).decode())
    else:
        print(f"removed {f'the run {run}' if run else 'all runs'}")
