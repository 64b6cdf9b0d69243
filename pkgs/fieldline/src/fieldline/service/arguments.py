"""What several services take on their command line: addresses, Kafka's servers, durations.

A wrong one is an error that names its option.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic_core import PydanticCustomError

from fieldline.errors import FieldlineError
from fieldline.site.forms import DAY, SECOND, Duration

# Kafka's rule for it is that for names of topics.
_INSTANCE = re.compile(r"[A-Za-z0-9._-]{1,249}")
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]*)):([0-9]{1,5})")


def parse_address(option: str, text: str) -> tuple[str, int]:
    """Read `ADDRESS:PORT`; an IPv6 address stands in brackets.

    Raises:
        FieldlineError: it has not the form.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or not int(match[3]) <= 65535:
        raise FieldlineError(
            f'{option} "{text}" is no address with a port; write 127.0.0.1:9102 or [::1]:9102.'
        )
    return match[1] or match[2], int(match[3])


def check_bootstrap_servers(option: str, text: str) -> str:
    """Check a list of `ADDRESS:PORT`, separated by commas.

    Raises:
        FieldlineError: one of them has not the form.
    """
    for server in text.split(","):
        address, port = parse_address(option, server.strip())
        if not address or not port:
            raise FieldlineError(f'{option} "{text}" lacks an address or a port; write A:P.')
    return text


def check_instance(option: str, text: str | None) -> str | None:
    """Check a member's own name in its consumer group (`group.instance.id`), if it has one.

    Raises:
        FieldlineError: Kafka takes no such name.
    """
    if text is not None and (not _INSTANCE.fullmatch(text) or text in (".", "..")):
        raise FieldlineError(
            f'{option} "{text}" is no name for a member of a consumer group; write at most 249 '
            "letters, digits, dots, dashes and underscores, such as the host's name."
        )
    return text


def parse_duration(option: str, text: str, least: int = SECOND, most: int = DAY) -> int:
    """Read a duration such as `60s`, in ms.

    Args:
        least, most: its bounds, ms.
    Raises:
        FieldlineError: it has not the form.
    """
    try:
        return Duration(least, most).check(text)
    except PydanticCustomError as error:
        context = error.context or {}
        problem, remedy = context.get("problem"), context.get("remedy")
        raise FieldlineError(f"{option} {problem}; {remedy}.") from error


def parse_files(
    option: str, texts: Sequence[str], names: Collection[str] | None = None
) -> dict[str, Path]:
    """Read `NAME=FILE`, several times.

    Args:
        names: those that there are; None takes any.
    Raises:
        FieldlineError: one has not the form, or another name.
    """
    found: dict[str, Path] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not name or not path or (names is not None and name not in names):
            known = " or ".join(f"{known}=FILE" for known in names or ["NAME"])
            raise FieldlineError(f'{option} "{text}" is not known; write {known}.')
        found[name] = Path(path)
    return found
