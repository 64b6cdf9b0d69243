"""The service's settings, checked when it starts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fieldline.errors import FieldlineError
from fieldline.site.forms import DAY, SECOND, Duration
from fieldline.stream.broker import Topics
from pydantic_core import PydanticCustomError

_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]*)):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the service is started with.

    lookback_ms: how far back the log is read for the state; 0 takes it from the site.
    """

    site: Path
    bootstrap_servers: str
    input: str
    output: str
    dead_letter: str
    changelog: str
    group: str
    metrics_address: str
    metrics_port: int
    horizon_ms: int
    lookback_ms: int = 0

    @property
    def topics(self) -> Topics:
        """What the engine reads and writes."""
        outputs = (self.output, self.dead_letter)
        return Topics(self.group, self.input, self.changelog, outputs)


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


def parse_duration(option: str, text: str) -> int:
    """Read a duration of 1 s to 1 d, such as `60s`, in ms.

    Raises:
        FieldlineError: it has not the form.
    """
    try:
        return Duration(SECOND, DAY).check(text)
    except PydanticCustomError as error:
        context = error.context or {}
        problem, remedy = context.get("problem"), context.get("remedy")
        raise FieldlineError(f"{option} {problem}; {remedy}.") from error
