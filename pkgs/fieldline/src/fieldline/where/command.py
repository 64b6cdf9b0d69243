"""`fieldline where`: every hop on one screen, or one JSON object per interval."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.live import Live

from fieldline.arguments import (
    DEFAULT_SITE,
    READER_TOKEN,
    Json,
    Site,
    TokenFile,
    Url,
    duration_ns,
)
from fieldline.errors import FieldlineError
from fieldline.influx import InfluxClient
from fieldline.influx.client import read_token
from fieldline.local import this_host
from fieldline.site import Site as DeclaredSite
from fieldline.site import load_site
from fieldline.where.follower import Follower, snapshot
from fieldline.where.looking import Store
from fieldline.where.probes import hosts_of
from fieldline.where.render import render
from fieldline.where.state import Snapshot

app = typer.Typer(add_completion=False)

# A question over all series of a large plant takes seconds; who takes longer hangs.
_READ_SECONDS = 10.0


@app.command(
    epilog="Examples: fieldline where · fieldline where Temperature --follow · "
    "fieldline where Sensors/model1 --json · fieldline where --json --follow --interval 500ms"
)
def where(
    variable: Annotated[
        str, typer.Argument(help="VARIABLE, MODEL, ASSET or ASSET/NAME; all if left out.")
    ] = "",
    site: Site = DEFAULT_SITE,
    url: Url = "",
    token_file: TokenFile = READER_TOKEN,
    as_json: Json = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C.")] = False,
    interval: Annotated[str, typer.Option(help="With --follow, how often.")] = "1s",
    poll: Annotated[
        str, typer.Option(help="How often InfluxDB is asked for new points.")
    ] = "100ms",
) -> None:
    """Say where data stopped, since when and why; show each hop from the servers to InfluxDB.

    Of each hop: values per second, lag, age of the newest value, last error. Of each series that
    does not arrive: the first hop at which it stopped, since when, the likely cause and what to do;
    series that stopped together are shown together. With --follow also how long a value takes from
    its source time until it can be queried; up to the time between two polls of that is the
    observation's own. With --json one object per line, as `fieldline.where.Snapshot` documents it.

    As root on the database host it sees most; on another host it says what it cannot see from
    there, and knows more of that host's own services.
    """
    declared = load_site(site)
    store = _store(declared, url, token_file)
    if not follow:
        seen = snapshot(declared, store, wanted=variable)
        if as_json:
            _print_line(seen)
        else:
            Console().print(render(seen))
        return
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    seconds, poll_seconds = duration_ns(interval) / 1e9, duration_ns(poll) / 1e9
    with Follower(declared, store, wanted=variable, poll_seconds=poll_seconds) as follower:
        if as_json:
            _follow_json(follower, seconds, stop)
        else:
            _follow_screen(follower, seconds, stop)


def _store(site: DeclaredSite, url: str, token_file: Path) -> Store:
    """Where InfluxDB is asked: at the given URL, or on its own host."""
    hosts, here = hosts_of(site, "influxdb"), this_host(site)
    if not url and not hosts:
        return Store(unseen="no host of the site has it")
    if not url and here not in (None, *hosts):
        return Store(unseen=f"it answers on its own host only ({hosts[0]})")
    try:
        token = read_token(token_file)
    except FieldlineError as error:
        if token_file != READER_TOKEN:
            raise
        return Store(unseen=f"{error.what_to_do} ({error.cause})")
    where_it_is = url or f"http://127.0.0.1:{site.influxdb.port}"
    return Store(InfluxClient(where_it_is, token, read_seconds=_READ_SECONDS))


def _follow_json(follower: Follower, seconds: float, stop: threading.Event) -> None:
    due = time.monotonic()
    try:
        while not stop.is_set():
            _print_line(follower.snapshot())
            due = max(due + seconds, time.monotonic())
            stop.wait(due - time.monotonic())
    except BrokenPipeError:
        # The reader has gone. Python flushes standard output once more at its end: not into the
        # broken pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _follow_screen(follower: Follower, seconds: float, stop: threading.Event) -> None:
    console = Console()
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while not stop.is_set():
            seen = follower.snapshot()
            # The hops and the lines below take a dozen rows.
            rows = max(5, console.height - len(seen.hops) - 8)
            live.update(render(seen, rows, console.width), refresh=True)
            stop.wait(seconds)


def _print_line(seen: Snapshot) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(seen) + b"\n")
    sys.stdout.buffer.flush()
