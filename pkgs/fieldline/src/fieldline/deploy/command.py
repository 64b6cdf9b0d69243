"""`fieldline deploy`: a host gets another system, and keeps it only if data flow again."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from fieldline.deploy import nix
from fieldline.deploy.facts import (
    GENERATION,
    Facts,
    cannot_go_back,
    check_backup,
    parse_facts,
)
from fieldline.deploy.remote import Ssh
from fieldline.deploy.run import Deployment, Outcome
from fieldline.deploy.target import Target, database, find_target
from fieldline.errors import FieldlineError
from fieldline.guard.command import LONGEST, SHORTEST, within_ns
from fieldline.site import Site, find_site, load_site

app = typer.Typer(add_completion=False)

# 128 + SIGINT.
EXIT_INTERRUPTED = 130


class Reporter:
    """Tells what happens: lines on a terminal, or one JSON object a line."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._begin = time.monotonic()
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)

    def __call__(self, event: str, text: str, **data: Any) -> None:
        """Tell an event: its name and data for programs, its text for people."""
        seconds = round(time.monotonic() - self._begin, 1)
        if self._json:
            print(
                json.dumps({"event": event, "after_s": seconds, "text": text, **data}), flush=True
            )
        else:
            self._console.print(f"{seconds:6.1f} s  {text}", markup=False)


@app.command()
def deploy(
    host: Annotated[str, typer.Argument(help="A host of the site: db, or opc@raspberry.")],
    address: Annotated[
        str | None, typer.Option(help="Where the host is reached now, if not as the site says.")
    ] = None,
    platform: Annotated[str | None, typer.Option(help="One of the host's platforms.")] = None,
    user: Annotated[
        str | None, typer.Option(help="An admin; without it the site's only one, or ssh's own.")
    ] = None,
    identity: Annotated[str | None, typer.Option(help="A private key.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="ssh's port.")] = None,
    within: Annotated[
        str | None,
        typer.Option(
            help=f"Time until the confirmation, {SHORTEST}..{LONGEST}; without it the site's."
        ),
    ] = None,
    flake: Annotated[str, typer.Option(help="The flake with the hosts' systems.")] = ".",
    system: Annotated[
        str | None, typer.Option(help="A system that is on the host already: nothing is built.")
    ] = None,
    backup: Annotated[
        Path | None, typer.Option(help="A fresh archive, for what cannot be gone back from.")
    ] = None,
    site: Annotated[
        Path | None, typer.Option(envvar="FIELDLINE_SITE", help="The declaration, site.toml.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build and ask, switch nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per event.")] = False,
) -> None:
    """Switch a host to another system; it goes back by itself unless data flow again in time.

    The host switches under its own guard. Once it answers and every variable and model has a new
    value in the database, the switch is confirmed. Otherwise, also if this machine or the network
    is gone, the host goes back when the time is over.

    Exit code 0: confirmed; 1: refused, nothing was changed; 3: the host went back; 4: it does not
    answer, so nobody knows; 130: Ctrl-C, and the host goes back by itself.

    Examples:

        fieldline deploy db

        fieldline deploy opc@raspberry --address 192.168.0.77 --within 5min
    """
    say = Reporter(as_json=as_json)
    declared = load_site(find_site(site))
    target = find_target(declared, host, platform)
    seconds = (within_ns(within) / 1e9) if within else declared.deploy.within_ms / 1000
    ssh = Ssh(
        address or target.host.address,
        user or declared.only_admin,
        identity,
        port,
    )
    deployment = _deployment(declared, target, ssh, say)
    deployment.check_idle()
    local = system is None
    if system is None:
        say("building", f"building {target.configuration}", configuration=target.configuration)
        system = nix.build(flake, target.configuration)
        if not dry_run:
            say("copying", f"copying to {ssh.destination}", system=system)
            nix.copy(ssh, system)
    new = _local_facts(system) if local else deployment.facts(system)
    why = cannot_go_back(deployment.facts(), new)
    if why:
        check_backup(backup, why, target.host.name)
    if dry_run:
        say("dry-run", f"{host} would switch to {system}, within {seconds:.0f} s", system=system)
        return
    deployment.start(system, seconds)
    try:
        outcome = deployment.watch()
    except KeyboardInterrupt:
        left = max(deployment.deadline - time.monotonic(), 0.0)
        say(
            "interrupted",
            f"{host} stays under guard and goes back by itself in {left:.0f} s. To go back now:"
            f" `sudo fieldline guard revert {deployment.id}` there; to keep it, `confirm`.",
            id=deployment.id,
            goes_back_in_s=round(left, 1),
        )
        sys.exit(EXIT_INTERRUPTED)
    _tell(outcome, target, deployment, say)
    raise typer.Exit(int(outcome))


def _deployment(site: Site, target: Target, ssh: Ssh, say: Reporter) -> Deployment:
    data = database(site)
    elsewhere = data is not None and data.name != target.host.name
    return Deployment(
        name=target.host.name,
        # After the switch the host may have the address that the site declares.
        ways=list(dict.fromkeys([ssh, ssh.at(target.host.address)])),
        database=replace(ssh, address=data.address) if data is not None and elsewhere else None,
        fresh=data is not None,
        say=say,
    )


def _local_facts(system: str) -> Facts:
    path = Path(system, GENERATION)
    try:
        text = path.read_text()
    except FileNotFoundError:
        text = ""
    except OSError as error:
        raise FieldlineError(f"{path} cannot be read.", str(error)) from error
    return parse_facts(text, str(path))


def _tell(outcome: Outcome, target: Target, deployment: Deployment, say: Reporter) -> None:
    name = target.host.name
    texts = {
        Outcome.CONFIRMED: f"{name} keeps the new system; it is what boots now",
        Outcome.WENT_BACK: f"{name} went back to the system from before",
        Outcome.UNKNOWN: (
            f"{name} does not answer. Its guard goes back by itself, at last by a restart; look at"
            " its screen or its cable, then ask `sudo fieldline guard status` there."
        ),
    }
    problems = deployment.problems
    reason = f" ({'; '.join(problems)})" if problems and outcome else ""
    say(
        "outcome",
        texts[outcome] + reason,
        outcome=outcome.name.lower().replace("_", "-"),
        code=int(outcome),
        id=deployment.id,
        problems=problems,
    )
