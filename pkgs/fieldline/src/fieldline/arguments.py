"""What several commands take as an argument: durations, instants, the place of InfluxDB."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_SITE = Path("/etc/fieldline/site.toml")
READER_TOKEN = Path("/var/lib/influxdb-provision/influxdb-reader-token")

_UNITS = {"ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|min|h|d)")
_FRACTION = re.compile(r"\.([0-9]{1,9})(?=$|[Z+-])")


def duration_ns(text: str) -> int:
    """A duration such as `120s`, `1.5s`, `200ms` or `5min` in ns.

    Raises:
        typer.BadParameter: it is none.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text!r}: write a number and ms, s, min, h or d, such as 30s")
    return round(float(match[1]) * _UNITS[match[2]])


def instant_ns(text: str, now_ns: int | None = None) -> int:
    """An instant in ns since 1970 UTC: ns, ISO 8601, `now`, or relative to now such as `-30s`.

    ISO 8601 keeps nine digits after the point; a time without a zone is UTC.

    Raises:
        typer.BadParameter: it is none of them.
    """
    now = time.time_ns() if now_ns is None else now_ns
    if text == "now":
        return now
    if text.startswith("-") and _DURATION.fullmatch(text[1:]):
        return now - duration_ns(text[1:])
    if re.fullmatch(r"[0-9]{1,19}", text):
        return int(text)
    fraction = _FRACTION.search(text)
    whole = _FRACTION.sub("", text)
    try:
        moment = datetime.fromisoformat(whole)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: write ns, ISO 8601 such as 2026-03-01T12:00:00Z, or -30s"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    # Without a fraction this is a whole number, so that no digit is lost in the float.
    seconds = round(moment.timestamp())
    return seconds * 10**9 + (int(fraction[1].ljust(9, "0")) if fraction else 0)


def iso(time_ns: int) -> str:
    """An instant as ISO 8601 in UTC with all nine digits, as InfluxDB writes it."""
    seconds, rest = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


Site = Annotated[Path, typer.Option("--site", help="The declaration, site.toml.")]
Url = Annotated[
    str,
    typer.Option("--url", help="InfluxDB; default: http://127.0.0.1 with the site's port."),
]
TokenFile = Annotated[
    Path, typer.Option("--token-file", help="A file with a token that may read the bucket.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]
