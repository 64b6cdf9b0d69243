"""`fieldline guard`: what a host does about its own switch to another system."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from fieldline.arguments import duration_ns
from fieldline.errors import FieldlineError
from fieldline.guard.runner import Runner
from fieldline.guard.state import (
    ATTEMPTS,
    ConfirmAsked,
    Event,
    Phase,
    Record,
    RevertAsked,
)
from fieldline.guard.store import Store, moment
from fieldline.guard.system import SWITCH, Machine, boot_default, running_system
from fieldline.service import EXIT_CONFIGURATION, ServiceError, configure_logging

app = typer.Typer(
    no_args_is_help=True,
    help="A host's switch to another system, confirmed in time or gone back from by itself.",
)

UNIT = "deploy-guard.service"
# Less is no time for a switch; in more somebody would rather have gone back by hand.
SHORTEST, LONGEST = "5s", "1h"
POLL_SECONDS = 0.1

Json = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]
Id = Annotated[str, typer.Argument(help="The switch, as `guard start` named it.")]


def within_ns(text: str) -> int:
    """The time for a confirmation in ns.

    Raises:
        typer.BadParameter: it is none, or out of bounds.
    """
    value = duration_ns(text)
    if not duration_ns(SHORTEST) <= value <= duration_ns(LONGEST):
        raise typer.BadParameter(f"{text}: write a duration from {SHORTEST} to {LONGEST}")
    return value


def described(record: Record | None) -> dict[str, Any]:
    """A record for people and programs, with the time that is left."""
    if record is None:
        return {"armed": False, "phase": None, "running": running_system()}
    now = moment()
    left = (record.deadline - now.ns) / 1e9 if now.boot == record.boot else 0.0
    return {
        **asdict(record),
        "armed": not record.final,
        "running": running_system(),
        "remaining_s": 0.0 if record.final else round(max(left, 0.0), 3),
    }


@app.command()
def start(
    system: Annotated[Path, typer.Argument(help="The system to switch to, on this host.")],
    within: Annotated[
        str, typer.Option(help=f"Time for the switch and its confirmation: {SHORTEST}..{LONGEST}.")
    ] = "3min",
    as_json: Json = False,
) -> None:
    """Switch to a system; without `guard confirm` in time the host goes back by itself.

    Returns at once: the switch is done by deploy-guard.service, so that it does not end with the
    session it was begun in. Exit code 1 if another switch is under guard, or nothing could begin.

    Example:

        fieldline guard start /nix/store/…-nixos-system-db --within 3min
    """
    length = within_ns(within)
    new = str(system.resolve())
    store = Store()
    with store.locked():
        _refuse(store.read(), new)
        now = moment()
        record = Record(
            id=secrets.token_hex(4),
            old=running_system(),
            new=new,
            boot=now.boot,
            deadline=now.ns + length,
        )
        store.write(record)
    cause = _start_unit()
    if cause:
        # Nobody would end it: it must not stand in the way of the next one.
        with store.locked():
            reason = "the guard could not be started"
            store.write(replace(record, phase=Phase.REVERTED, reason=reason))
        raise FieldlineError(
            f"Nothing was switched: the guard cannot be started. See `systemctl status {UNIT}`.",
            cause,
        )
    _show(record, as_json=as_json)


def _start_unit() -> str:
    """Have systemd run the guard, wherever this command came from; the cause of a failure."""
    # Not `start`: after an earlier switch the unit counts as active.
    argv = ["systemctl", "restart", "--no-block", UNIT]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stderr.strip() or "systemctl failed" if done.returncode else ""


def _wake() -> None:
    """Start the guard of an undecided switch if nobody has: `guard start` may have been killed."""
    argv = ["systemctl", "show", "--value", "--property=SubState", UNIT]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.stdout.strip() in ("exited", "dead", "failed"):
        _start_unit()


def _refuse(record: Record | None, new: str) -> None:
    if record is not None and not record.final:
        # Only then: a guard that is just being started is not to be disturbed.
        if described(record)["remaining_s"] == 0:
            _wake()
        raise FieldlineError(
            f"Another switch is under guard: {record.id}, {record.phase}. Confirm it, or go back"
            f" with `fieldline guard revert {record.id}`."
        )
    if not Path(new, SWITCH).is_file():
        raise FieldlineError(
            f"{new} is no system of this host; copy it here first (`fieldline deploy` does).",
            f"there is no {SWITCH}",
        )
    old = running_system()
    if not old:
        raise FieldlineError("It is not known which system runs, so there is no way back.")
    if boot_default() != old:
        # A restart within the window must lead to the old system.
        raise FieldlineError(
            "What would boot is not what runs, so a restart would not lead back. Make what runs"
            f" the boot default first: `{old}/{SWITCH} boot` after `nix-env -p"
            " /nix/var/nix/profiles/system --set` of it.",
            f"runs: {old}; boots: {boot_default() or 'nothing known'}",
        )


@app.command()
def run(
    attempts: Annotated[
        int, typer.Option(min=1, help="How often a failing way back is tried before a restart.")
    ] = ATTEMPTS,
    attempt_within: Annotated[str, typer.Option(help="How long one attempt may take.")] = "5min",
) -> None:
    """Guard the recorded switch to its end; run by deploy-guard.service, by nobody else."""
    log = configure_logging("deploy-guard")

    def say(record: Record) -> None:
        log.info("switch", id=record.id, phase=str(record.phase), reason=record.reason)

    runner = Runner(
        Store(),
        Machine(duration_ns(attempt_within) / 1e9),
        now=moment,
        running=running_system,
        say=say,
        attempts=attempts,
    )
    try:
        runner.run()
    except FieldlineError as error:
        # A record that is none does not mend itself: systemd shows the unit as failed.
        raise ServiceError(error.what_to_do, error.cause, code=EXIT_CONFIGURATION) from None


@app.command()
def confirm(switch: Id, as_json: Json = False) -> None:
    """Keep the new system: it becomes the boot default. Waits for that.

    Exit code 0 when it is kept, 1 when it is not.

    Example:

        fieldline guard confirm 3f9a01c7
    """
    _ask(ConfirmAsked(moment(), switch), Phase.CONFIRMED, as_json=as_json)


@app.command()
def revert(
    switch: Annotated[
        str | None, typer.Argument(help="The switch; without it the one now.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Go back to the old system now. Waits for that.

    Exit code 0 when the host is back, 1 when it is not.

    Example:

        fieldline guard revert
    """
    _ask(RevertAsked(moment(), switch), Phase.REVERTED, as_json=as_json)


def _ask(event: Event, wanted: Phase, *, as_json: bool) -> None:
    store = Store()
    result = store.apply(event)
    if result is None:
        raise FieldlineError("No switch is under guard on this host.")
    if result.refused:
        raise FieldlineError(result.refused)
    record = result.record
    if not record.final:
        _wake()
    while not record.final:
        time.sleep(POLL_SECONDS)
        record = store.read() or record
    _show(record, as_json=as_json)
    raise typer.Exit(0 if record.phase is wanted else 1)


@app.command()
def status(as_json: Json = False) -> None:
    """Show the switch under guard, or the last one.

    Example:

        sudo fieldline guard status
    """
    _show(Store().read(), as_json=as_json)


def _show(record: Record | None, *, as_json: bool) -> None:
    value = described(record)
    if as_json:
        typer.echo(json.dumps(value))
    elif record is None:
        typer.echo("No switch was guarded on this host yet.")
    else:
        left = f", {value['remaining_s']:.0f} s left" if value["armed"] else ""
        reason = f": {record.reason}" if record.reason else ""
        typer.echo(f"switch {record.id}: {record.phase}{left}{reason}")
        typer.echo(f"  from {record.old}\n  to   {record.new}")
