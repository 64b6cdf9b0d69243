"""`fieldline lab`: the hosts of a site on this machine."""

import json
import os
import shlex
import signal
import tomllib
from pathlib import Path
from types import FrameType
from typing import Annotated, Never

import typer
from fieldline.errors import FieldlineError

from . import elevate, lab, sweep
from .host import Host
from .lab import UP_SECONDS, Lab
from .names import DEFAULT_NAME, LabNames, find_worktree
from .plan import Plan, plan_file, prepare
from .progress import Progress
from .report import show_status, show_up
from .state import Store

app = typer.Typer(
    no_args_is_help=True,
    help="The hosts of a site on this machine: real systemd, real network, no NixOS.",
)

# As systemctl: the thing asked about does not run.
EXIT_NOT_UP = 3
EXIT_NOT_WELL = 1

Site = Annotated[
    Path | None,
    typer.Option(envvar="FIELDLINE_SITE", help="The site; without it the work tree's site.toml."),
]
Name = Annotated[str, typer.Option(help="A name, to run several labs of one site.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]


def _names(site: Path | None, name: str) -> LabNames:
    worktree = find_worktree(Path.cwd())
    return LabNames.of(worktree, site or worktree / "site.toml", name)


def _declared_hosts(names: LabNames) -> list[str]:
    """The hosts in the site file, read in no time: for completion and for error texts."""
    try:
        return sorted(tomllib.loads(names.site.read_text())["hosts"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _complete_host(ctx: typer.Context, incomplete: str) -> list[str]:
    try:
        names = _names(ctx.params.get("site"), ctx.params.get("name") or DEFAULT_NAME)
    except FieldlineError:
        return []
    return [host for host in _declared_hosts(names) if host.startswith(incomplete)]


HostName = Annotated[str, typer.Argument(help="A host.", autocompletion=_complete_host)]


def _again(command: str, names: LabNames, *arguments: str) -> list[str]:
    """The arguments with which root runs the same command."""
    return [command, "--site", str(names.site), "--name", names.name, *arguments]


def _host(names: LabNames, name: str) -> Host:
    known = _declared_hosts(names)
    if known and name not in known:
        raise FieldlineError(f"There is no host {name!r}. The hosts are: {', '.join(known)}.")
    hosts = Lab.running(names).hosts
    if name not in hosts:
        raise FieldlineError(f"The lab runs no host {name!r}, but: {', '.join(hosts)}.")
    return hosts[name]


def _ended(number: int, _: FrameType | None) -> Never:
    raise SystemExit(128 + number)


def _end_in_order() -> None:
    """Let what ends with the terminal or the service manager clean up, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _ended)
    signal.signal(signal.SIGHUP, _ended)


@app.command()
def up(
    site: Site = None,
    name: Name = DEFAULT_NAME,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin without data.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Restart hosts that have changed or failed.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the units.")] = UP_SECONDS,
    plan: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Start the lab, and wait until every unit of every host runs.

    Needs root for the hosts only: run as a user, everything is prepared as that user, and then root
    is asked for through sudo. Ctrl-C at any moment removes what was started.

    Examples:

        fieldline lab up

        fieldline lab up --fresh --site plant/site.toml
    """
    elevate.find_tools()
    why = "boot the hosts and join them in a network of their own"
    with Progress() as progress:
        if plan is None:
            elevate.check_possible(why)
            names = _names(site, name)
            prepared = prepare(names, progress.note)
        else:
            prepared = Plan.load(plan)
            plan.unlink(missing_ok=True)
    if not elevate.is_root():
        path = plan_file(prepared.names)
        prepared.save(path)
        flags = [*(["--fresh"] if fresh else []), *(["--restart"] if restart else [])]
        elevate.run_as_root(
            ["up", "--plan", str(path), "--timeout", str(timeout), *flags],
            why,
        )
    os.umask(0o022)
    _end_in_order()
    with Progress() as progress:
        the_lab = Lab(prepared, progress)
        result = the_lab.up(fresh=fresh, restart=restart, timeout=timeout)
    show_up(the_lab.status(), result)


@app.command(name="prepare")
def prepare_only(site: Site = None, name: Name = DEFAULT_NAME) -> None:
    """Evaluate the site, get the parts and install the packages, without booting; needs no root.

    Example:

        fieldline lab prepare
    """
    with Progress() as progress:
        prepare(_names(site, name), progress.note)
    typer.echo("The lab is prepared; `fieldline lab up` boots it.")


@app.command()
def down(
    site: Site = None,
    name: Name = DEFAULT_NAME,
    purge: Annotated[bool, typer.Option("--purge", help="Remove the hosts' data too.")] = False,
) -> None:
    """Stop the lab; nothing of it stays but the hosts' data.

    Examples:

        fieldline lab down

        fieldline lab down --purge
    """
    elevate.find_tools()
    names = _names(site, name)
    if not elevate.is_root():
        flags = ["--purge"] if purge else []
        elevate.run_as_root(_again("down", names, *flags), "stop the hosts")
    _end_in_order()
    with Progress() as progress:
        found = lab.down(names, purge=purge, progress=progress)
    typer.echo("The lab is down." if found else "The lab was not up.")


@app.command()
def status(site: Site = None, name: Name = DEFAULT_NAME, as_json: AsJson = False) -> None:
    """Show hosts, units and forwarded ports.

    Exit code 0 if all is well, 1 if a host is off or a unit does not run, 3 if the lab is not up.

    Examples:

        fieldline lab status

        fieldline lab status --json
    """
    elevate.find_tools()
    names = _names(site, name)
    if not (names.runtime / "plan.json").exists():
        typer.echo(json.dumps({"up": False, "id": names.lab_id}) if as_json else "Not up.")
        raise typer.Exit(EXIT_NOT_UP)
    if not elevate.is_root():
        flags = ["--json"] if as_json else []
        elevate.run_as_root(_again("status", names, *flags), "look into the hosts")
    value = Lab.running(names).status()
    if as_json:
        typer.echo(json.dumps(value, indent=2))
    else:
        show_status(value)
    well = all(
        host["running"] and all(unit["well"] for unit in host["units"].values())
        for host in value["hosts"].values()
    )
    raise typer.Exit(0 if well else EXIT_NOT_WELL)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def exec(  # noqa: A001 - the command's name
    host: HostName,
    command: Annotated[list[str], typer.Argument(help="A command and its arguments.")],
    site: Site = None,
    name: Name = DEFAULT_NAME,
) -> None:
    """Run a command in a host, as its root; the exit code is the command's.

    Examples:

        fieldline lab exec db -- systemctl status apache-kafka

        fieldline lab exec collector -- fieldline where
    """
    # Everything behind the host is the command's own, so the parser leaves the separator in place.
    if command[0] == "--":
        command = command[1:]
    elevate.find_tools()
    names = _names(site, name)
    if not elevate.is_root():
        elevate.run_as_root(_again("exec", names, host, "--", *command), f"run in {host}")
    _replace(_host(names, host).command(command))


@app.command()
def shell(host: HostName, site: Site = None, name: Name = DEFAULT_NAME) -> None:
    """Open a shell in a host, as its root.

    Example:

        fieldline lab shell db
    """
    elevate.find_tools()
    names = _names(site, name)
    if not elevate.is_root():
        elevate.run_as_root(_again("shell", names, host), f"open a shell in {host}")
    prompt = f"PS1=[root@{host} \\W]# "
    _replace(_host(names, host).command(["env", prompt, "bash", "--norc", "-i"]))


@app.command()
def logs(
    host: HostName,
    unit: Annotated[str | None, typer.Argument(help="A unit; without it all.")] = None,
    site: Site = None,
    name: Name = DEFAULT_NAME,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.")] = 50,
) -> None:
    """Show a host's log, of one unit or of all; also of a host that is off.

    Examples:

        fieldline lab logs db

        fieldline lab logs collector telegraf -f
    """
    elevate.find_tools()
    names = _names(site, name)
    arguments = [f"--lines={lines}", *(["--follow"] if follow else [])]
    if not elevate.is_root():
        rest = [host, *([unit] if unit else []), *arguments]
        elevate.run_as_root(_again("logs", names, *rest), f"read the log of {host}")
    argv = ["journalctl", "--no-pager", *arguments, *([f"--unit={unit}"] if unit else [])]
    journal = Store(names.state).host(host) / "var" / "log" / "journal"
    if host in sweep.running(names) or not journal.is_dir():
        argv = _host(names, host).command(argv)
    else:
        argv.append(f"--directory={journal}")
    _replace(argv)


def _replace(argv: list[str]) -> Never:
    """Become the command: its terminal, signals and exit code are then the real ones."""
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        raise FieldlineError(f"`{shlex.join(argv)}` cannot be run.", str(error)) from error
