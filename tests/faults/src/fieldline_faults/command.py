"""`make faults`: run the matrix, or what of it is not done yet, and write docs/faults.md."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from typing import Annotated, Any, Never

import typer
from fieldline.arguments import duration_ns
from fieldline.errors import FieldlineError
from fieldline.evaluate import evaluate
from fieldline_lab import declaration as declared
from fieldline_lab import elevate
from fieldline_lab.progress import Progress

from . import record, table
from .campaign import HASTE, Campaign
from .cell import Timing
from .deeds import FULL, SHORT
from .matrix import Cell, cells, choose, short
from .plant import SITE, Plant
from .record import ROOT, Origin

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

EXAMPLES = """
Examples:

  make faults

  make faults ARGS="--only 'kill*opc-server' --only 'cut*'"

  make faults ARGS="--for 8min"

Exit codes: 0 every chosen cell holds, 1 one does not or an error, 130 Ctrl-C.
"""
EXIT_MISSED = 1


@app.command(epilog=EXAMPLES)
def faults(
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only cells whose name is like this, * and ? allowed.", metavar="NAME"),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--fresh",
            help="Leave out the cells that were run with the same code before; or run all again.",
        ),
    ] = True,
    at_most: Annotated[
        str, typer.Option("--for", help="Begin no cell after this time.", metavar="DURATION")
    ] = "",
    short_form: Annotated[
        bool, typer.Option("--short", help="Each kind once, shorter; nothing is recorded.")
    ] = False,
    list_only: Annotated[
        bool, typer.Option("--list", help="Show the cells and what is known of each; run none.")
    ] = False,
    table_only: Annotated[
        bool, typer.Option("--table", help="Write docs/faults.md from the results; run none.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, for programs.")] = False,
) -> None:
    """Hurt a plant in every declared way, and check that every value is accounted for.

    Each result is kept in tests/faults/results as soon as it is there, and docs/faults.md is made
    of them at the end. Ctrl-C ends the lab; what was done before stays.
    """
    if table_only:
        table.write()
        return
    declaration = declared.parse(evaluate(ROOT / "lib", SITE))
    chosen = choose(short(declaration) if short_form else cells(declaration), only or [])
    known = record.read()
    if list_only:
        _list(chosen, known, as_json)
        return
    if resume and not short_form:
        code = Origin.here().code
        chosen = [cell for cell in chosen if known.get(cell.name, {}).get("code") != code]
    end = time.monotonic() + (duration_ns(at_most) / 1e9 if at_most else float("inf"))
    done = _run(chosen, end, short_form, as_json)
    if not short_form:
        table.write()
    failed = [entry for entry in done if not entry["held"]]
    if not as_json:
        typer.echo(f"{len(done) - len(failed)} of {len(done)} cells hold")
    raise typer.Exit(EXIT_MISSED if failed else 0)


def _list(chosen: Sequence[Cell], known: dict[str, dict[str, Any]], as_json: bool) -> None:
    rows = [
        {
            "cell": cell.name,
            "fault": cell.text(FULL),
            "held": known.get(cell.name, {}).get("held"),
            "commit": known.get(cell.name, {}).get("commit"),
        }
        for cell in chosen
    ]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        state = "not run" if row["held"] is None else "held" if row["held"] else "missed"
        typer.echo(f"{row['cell']:<42} {state:<8} {row['commit'] or ''}".rstrip())


def _run(
    chosen: Sequence[Cell], end: float, short_form: bool, as_json: bool
) -> list[dict[str, Any]]:
    """Run cells until `end`; their records.

    Raises:
        FieldlineError: at the end, some could not be done; at once, if two in a row could not.
    """
    elevate.find_tools()
    if not elevate.is_root():
        raise FieldlineError("The plant's hosts need root: run `make faults`, which asks for it.")
    os.umask(0o022)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _interrupt)
    done: list[dict[str, Any]] = []
    failed: list[int] = []
    if not chosen:
        return done
    with Progress() as progress:
        plant = Plant.of_worktree(progress)
        spans, timing = (SHORT, HASTE) if short_form else (FULL, Timing())
        campaign = Campaign(plant, spans, timing, progress.now, thrifty=short_form)
        # Outside the clean-up: a run that is refused must not end the one that runs.
        with plant.lab.claim():
            try:
                for number, cell in enumerate(chosen, 1):
                    if time.monotonic() > end:
                        progress.note(f"{len(chosen) - number + 1} cells are left for the next run")
                        break
                    began = time.monotonic()
                    try:
                        entry = campaign.one(cell)
                    except FieldlineError as error:
                        # One that cannot be done is no reason to leave out the others; two in a row
                        # are a plant that does not come up.
                        if failed and failed[-1] == number - 1:
                            raise
                        failed.append(number)
                        progress.note(f"[{number}/{len(chosen)}] {cell.name}: NOT DONE: {error}")
                        continue
                    done.append(entry)
                    if not short_form:
                        record.append(entry)
                    seconds = time.monotonic() - began
                    progress.note(f"[{number}/{len(chosen)}] {_told(entry)} ({seconds:.0f} s)")
                    if as_json:
                        typer.echo(json.dumps(entry, ensure_ascii=False))
            finally:
                plant.down()
    if failed:
        if not short_form:
            table.write()
        names = ", ".join(chosen[number - 1].name for number in failed)
        raise FieldlineError(f"These could not be done, see above: {names}. The others are kept.")
    return done


def _told(entry: dict[str, Any]) -> str:
    if not entry["held"]:
        return f"{entry['cell']}: MISSED: {'; '.join(entry['missed'])}"
    times = f"flows after {entry['flowing_s']} s, complete after {entry['complete_s']} s"
    return f"{entry['cell']}: held, {times}; {', '.join(entry['mechanisms']) or 'nothing to heal'}"


def _interrupt(*_: object) -> Never:
    raise KeyboardInterrupt
