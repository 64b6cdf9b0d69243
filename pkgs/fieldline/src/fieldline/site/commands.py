"""`fieldline site`: check a site, show what is derived from it, and its schema for editors."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fieldline.site.load import find_site, load_site
from fieldline.site.mistakes import SiteError
from fieldline.site.schema import site_schema
from fieldline.site.summary import show as show_tables
from fieldline.site.summary import summary

app = typer.Typer(no_args_is_help=True, help="The plant's declaration, site.toml.")

File = Annotated[
    Path | None,
    typer.Argument(
        envvar="FIELDLINE_SITE",
        help="The site; without it ./site.toml, else /etc/fieldline/site.toml.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]


def _print_json(data: object) -> None:
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


@app.command()
def check(file: File = None, as_json: Json = False) -> None:
    """Check a site: every mistake with its line, key, and what would be right.

    Exit code 0 if the site is right, 1 if it is not.

    Examples:

        fieldline site check

        fieldline site check plant/site.toml --json
    """
    path = find_site(file)
    try:
        site = load_site(path)
    except SiteError as error:
        if not as_json:
            raise
        mistakes = [asdict(mistake) for mistake in error.mistakes]
        _print_json({"file": str(path), "right": False, "mistakes": mistakes})
        raise typer.Exit(1) from None
    if as_json:
        _print_json({"file": str(path), "right": True, "mistakes": []})
        return
    counts = {
        "host": len(site.hosts),
        "server": len(site.servers),
        "asset": len(site.assets),
        "variable": sum(len(asset.nodes) for asset in site.assets),
    }
    parts = (f"{number:,} {what}{'' if number == 1 else 's'}" for what, number in counts.items())
    typer.echo(f"{path} is right: {', '.join(parts)}")


@app.command()
def schema() -> None:
    """Write the JSON Schema of site.toml, for editors.

    It knows the shape of a site; references, ports and addresses are checked by "site check".

    Examples:

        fieldline site schema > site.schema.json

    Then write "#:schema ./site.schema.json" in the first line of site.toml.
    """
    _print_json(site_schema())


@app.command()
def show(file: File = None, as_json: Json = False) -> None:
    """Show what is derived from a site: hosts, servers, assets, rates, buffers.

    Examples:

        fieldline site show

        fieldline site show --json | jq .total.values_per_second
    """
    site = load_site(find_site(file))
    if as_json:
        _print_json(summary(site))
        return
    from rich.console import Console

    show_tables(site, Console())
