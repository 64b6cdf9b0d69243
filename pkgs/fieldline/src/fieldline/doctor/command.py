"""`fieldline doctor`: what is well, what is not, what could not be checked, and what to do."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from fieldline.arguments import DEFAULT_SITE, READER_TOKEN, Json, Site, TokenFile
from fieldline.doctor.context import Context
from fieldline.doctor.finding import Report, Verdict
from fieldline.doctor.registry import CHECKS
from fieldline.doctor.run import examine
from fieldline.site import load_site
from fieldline.verify.progress import TerminalProgress

app = typer.Typer(add_completion=False)

_SHOWN: dict[Verdict, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "warning": ("look", "yellow"),
    "failed": ("FAILED", "bold red"),
    "skipped": ("skipped", "dim"),
}


def _names() -> str:
    return ", ".join(check.name for check in CHECKS)


@app.command(
    epilog="Examples: fieldline doctor · fieldline doctor disk retention · fieldline doctor --json"
)
def doctor(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CHECK]...", help=f"Only these of: {_names()}."),
    ] = None,
    site: Site = DEFAULT_SITE,
    token_file: TokenFile = READER_TOKEN,
    as_json: Json = False,
) -> None:
    """Check this host, and of the others what can be seen from it, before and after a fault.

    Exit code 0 if nothing has failed, 1 if something has. What cannot be checked from here is
    shown as skipped: run it on each host, as root. It changes nothing.
    """
    known = {check.name: check for check in CHECKS}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise typer.BadParameter(f"there is no check {unknown[0]!r}, but: {_names()}")
    chosen = [known[name] for name in names] if names else list(CHECKS)
    with TerminalProgress() as progress:
        progress("asking the services")
        context = Context.gather(load_site(site), token_file)
        report = examine(context, chosen, progress=progress)
    if as_json:
        print(msgspec.json.encode(report).decode())
    else:
        console = Console(highlight=False)
        console.print(render(report))
        console.print(_summary(report))
    raise typer.Exit(0 if report.ok else 1)


def render(report: Report) -> RenderableType:
    """The findings as a table, what is to be done below each."""
    table = Table(box=None, pad_edge=False)
    for name in ("", "check", "subject", "found"):
        table.add_column(name)
    for checked in report.checks:
        for finding in checked.findings:
            word, style = _SHOWN[finding.verdict]
            text = Text(finding.text)
            if finding.what_to_do:
                text.append(f"\n{finding.what_to_do}", style="dim")
            table.add_row(Text(word, style=style), checked.check, Text(finding.subject), text)
    return table


def _summary(report: Report) -> Text:
    every = [finding.verdict for checked in report.checks for finding in checked.findings]
    counts = ", ".join(f"{every.count(verdict)} {word}" for verdict, (word, _) in _SHOWN.items())
    where = report.host or "this machine, which is none of the site's hosts"
    return Text(f"{where}: {counts}", style="green" if report.ok else "bold red")
