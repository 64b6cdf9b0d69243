"""`fieldline demo`: a plant from nothing to values on the screen, and nothing left afterwards."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Annotated, Any, Never

import msgspec
import typer
from fieldline.errors import FieldlineError
from fieldline.where.state import Latency, Snapshot

from fieldline_lab import elevate
from fieldline_lab.demo.screen import Screen
from fieldline_lab.demo.summary import summarise
from fieldline_lab.demo.watching import Watching
from fieldline_lab.host import Host
from fieldline_lab.lab import Lab
from fieldline_lab.names import LabNames, find_worktree
from fieldline_lab.plan import Plan, plan_file, prepare
from fieldline_lab.progress import Progress

app = typer.Typer(add_completion=False)

NAME = "demo"
# What comes to an end with the terminal or with the service manager ends as Ctrl-C does.
ENDINGS = (signal.SIGTERM, signal.SIGHUP)
# The last values of a run must have the time to arrive before they are missed.
SETTLE = "30s"
EXIT_INCOMPLETE = 1


@app.command(epilog="Examples: fieldline demo · fieldline demo --duration 60 --json")
def demo(
    site: Annotated[Path, typer.Option(envvar="FIELDLINE_SITE", help="The site to boot.")] = Path(
        "site.toml"
    ),
    duration: Annotated[
        float | None,
        typer.Option(min=1, help="Seconds to run; without it until Ctrl-C."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write the summary as JSON, for programs.")
    ] = False,
    plan: Annotated[Path | None, typer.Option(hidden=True)] = None,
    began: Annotated[float | None, typer.Option(hidden=True)] = None,
) -> None:
    """Boot a plant on this machine and show, live, each hop and each value on its way.

    With --duration the end is a summary, and the exit code is 0 only if every variable and model
    reached InfluxDB and nothing is missing. The hosts and their data are removed afterwards.
    """
    began = began or time.time()
    elevate.find_tools()
    why = "boot the plant's hosts in a network of their own"
    with Progress() as progress:
        if plan is None:
            elevate.check_possible(why)
            prepared = prepare(LabNames.of(find_worktree(Path.cwd()), site, NAME), progress.note)
        else:
            prepared = Plan.load(plan)
            plan.unlink(missing_ok=True)
    if not elevate.is_root():
        path = plan_file(prepared.names)
        prepared.save(path)
        arguments = ["--site", str(site), "--plan", str(path), "--began", str(began)]
        arguments += [] if duration is None else ["--duration", str(duration)]
        arguments += ["--json"] if as_json else []
        elevate.run_as_root(arguments, why, module="fieldline_lab.demo")
    os.umask(0o022)
    for ending in ENDINGS:
        signal.signal(ending, _interrupt)
    raise typer.Exit(_run(prepared, duration, began, as_json))


def _interrupt(*_: object) -> Never:
    raise KeyboardInterrupt


def _run(plan: Plan, duration: float | None, began: float, as_json: bool) -> int:
    progress = Progress()
    lab = Lab(plan, progress)
    # Outside the clean-up: a demonstration that is refused must not end the one that runs.
    with lab.claim():
        try:
            # All that is produced from here on has to arrive.
            since = time.time_ns()
            with progress:
                lab.up(fresh=True)
            return _watch(lab, duration, began, since, as_json)
        finally:
            with Progress() as progress:
                lab.progress = progress
                lab.down(purge=True)


def _watch(lab: Lab, duration: float | None, began: float, since: int, as_json: bool) -> int:
    host = _database(lab)
    started = time.monotonic()
    first: float | None = None
    last: Snapshot | None = None

    def left() -> float:
        return float("inf") if duration is None else started + duration - time.monotonic()

    def note(seen: Snapshot) -> None:
        nonlocal first, last
        last = seen
        if first is None and any(one.value is not None for one in seen.series):
            first = time.time() - began
        screen.show(seen)

    try:
        with Screen(lab) as screen, Watching(host) as watching:
            watching.follow(left, note)
    except KeyboardInterrupt:
        if duration is not None:
            raise
        return 0
    seconds = time.monotonic() - started
    done = host.exec(["fieldline", "verify", "--since", str(since), "--settle", SETTLE, "--json"])
    try:
        report = json.loads(done.stdout)
    except ValueError as error:
        raise FieldlineError(
            "`fieldline verify` gave no report; the plant can't be judged.",
            (done.stderr or done.stdout).strip(),
        ) from error
    if last is None:
        raise FieldlineError(f"Nothing was seen in {seconds:.0f} s; try a longer --duration.")
    if as_json:
        latency = {"values": last.latency_values, "results": last.latency_results}
        typer.echo(_json(seconds, first, latency, report))
    else:
        typer.echo(summarise(seconds, first, last, report))
    return 0 if report["ok"] else EXIT_INCOMPLETE


def _database(lab: Lab) -> Host:
    """The host that holds InfluxDB, where the whole chain can be seen from."""
    for name, declared in lab.plan.declaration.hosts.items():
        if "influxdb" in declared.roles:
            return lab.hosts[name]
    raise FieldlineError("No host of this site has the role influxdb; there is nothing to show.")


def _json(
    seconds: float, first: float | None, latency: dict[str, Latency], report: dict[str, Any]
) -> str:
    summary = {"seconds": seconds, "first_value_s": first, "latency": latency, "verify": report}
    return msgspec.json.encode(summary).decode()
