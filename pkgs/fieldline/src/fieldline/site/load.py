"""Reads a site: text, TOML, shape, references; every mistake of a stage is reported together."""

from __future__ import annotations

import datetime as dt
import os
import tomllib
from pathlib import Path
from typing import Any

from fieldline.errors import FieldlineError
from fieldline.site.build import build
from fieldline.site.lines import Lines
from fieldline.site.mistakes import Finding, Mistake, SiteError, key_text, refuse
from fieldline.site.model import Site
from fieldline.site.shape import leaves, read_shape

SCHEMA = 1

USUAL_PLACES = (Path("site.toml"), Path("/etc/fieldline/site.toml"))

# A site is written by hand; more is a mistake, and would take a reader minutes.
LARGEST_FILE = 4 * 1024 * 1024


def find_site(named: Path | None = None) -> Path:
    """Give the site that is meant: the named one, $FIELDLINE_SITE, ./site.toml, or the host's own.

    Raises:
        FieldlineError: none is named, and there is none in the usual places.
    """
    variable = os.environ.get("FIELDLINE_SITE")
    if named is not None or variable:
        return named or Path(str(variable))
    for place in USUAL_PLACES:
        if place.is_file():
            return place
    places = " or ".join(map(str, USUAL_PLACES))
    raise FieldlineError(f"Name a site: there is no {places}, and FIELDLINE_SITE is not set.")


def load_site(path: Path) -> Site:
    """Read and check a site.

    Raises:
        SiteError: the site is refused, with all mistakes of the stage that refused it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise _unreadable(
            str(path), 1, "cannot be read", "name a readable file", str(error)
        ) from None
    return check_text(data, str(path))


def check_text(data: bytes, file: str) -> Site:
    """Check the bytes of a site; `file` is its name in messages, and becomes `Site.path`.

    Raises:
        SiteError: the site is refused.
    """
    text = _text(data, file)
    tables = _tables(text, file)
    schema = tables.get("schema")
    if isinstance(schema, int) and not isinstance(schema, bool) and schema != SCHEMA:
        raise refuse([_other_schema(schema)], file, Lines(text))
    shape = read_shape(tables)
    result = shape if isinstance(shape, list) else build(shape, Path(file))
    if isinstance(result, list):
        raise refuse(result, file, Lines(text))
    return result


def _other_schema(schema: int) -> Finding:
    if schema > SCHEMA:
        problem, remedy = "is newer than this Fieldline", "use the Fieldline that wrote the site"
    else:
        problem, remedy = "is older than any Fieldline", "follow docs/site.md and write schema = 1"
    return Finding(("schema",), "schema", problem, remedy)


def _unreadable(file: str, line: int, problem: str, remedy: str, cause: str = "") -> SiteError:
    return SiteError([Mistake("site.toml", "unreadable", problem, remedy, file, line)], cause)


def _text(data: bytes, file: str) -> str:
    if len(data) > LARGEST_FILE:
        raise _unreadable(file, 1, "is larger than 4 MiB", "name many assets by a range")
    try:
        # Some editors begin a file with a byte order mark.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _unreadable(file, line, "is not UTF-8", "save it as UTF-8", str(error)) from None
    # Nix cannot hold a NUL, and would cut the text off there.
    for nul in ("\0", "\\u0000", "\\U00000000"):
        if nul in text:
            line = text[: text.index(nul)].count("\n") + 1
            raise _unreadable(file, line, "holds a NUL character", "remove it")
    return text


def _tables(text: str, file: str) -> dict[str, Any]:
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        cause = str(error)
        _, _, after = cause.partition("(at line ")
        number = after.partition(",")[0]
        line = int(number) if number.isdigit() else 1
        raise _unreadable(file, line, "is no TOML", "correct its syntax there", cause) from None
    for key, value in leaves(tables):
        if isinstance(value, dt.date | dt.time):
            raise _unreadable(
                file,
                Lines(text)(key),
                f"has a date or time at {key_text(key)}, which Nix cannot read",
                "write it as a text in quotes",
            )
    return tables
