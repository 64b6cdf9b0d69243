"""What is wrong in a site: each mistake names its key, its code, and what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from fieldline.errors import FieldlineError

Part = str | int
"""One step of a key: the name in a table, or the index in a list."""

Key = tuple[Part, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
# Nix cannot match long texts with a pattern.
_LONGEST_BARE = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Finding(NamedTuple):
    """A mistake as the checks find it: the key in parts, file and line not known yet."""

    key: Key
    code: str
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake as it is shown: where it stands, what is wrong and what would be right."""

    key: str
    code: str
    problem: str
    remedy: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key}: {self.problem}; {self.remedy}"


class SiteError(FieldlineError):
    """A site that is refused, with all mistakes of the stage that refused it."""

    def __init__(self, mistakes: Iterable[Mistake], cause: str = "") -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes), cause)


def key_text(key: Key) -> str:
    """Write a key as docs/site.md does: `hosts.db.roles[0]`; the whole file is `site.toml`."""
    if not key:
        return "site.toml"
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + part_text(part)
    return text


def part_text(part: str) -> str:
    """Write one name of a key, quoted if it is more than letters, digits, `_` and `-`."""
    if len(part) <= _LONGEST_BARE and _BARE.fullmatch(part):
        return part
    escaped = part.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + _CONTROL.sub("?", escaped) + '"'


def refuse(
    findings: Iterable[Finding], file: str, line_of: Callable[[Key], int], cause: str = ""
) -> SiteError:
    """Make the error of some findings: each (key, code) once, in the order of the file."""
    first: dict[tuple[str, str], Mistake] = {}
    for key, code, problem, remedy in findings:
        text = key_text(key)
        if (text, code) not in first:
            first[text, code] = Mistake(text, code, problem, remedy, file, line_of(key))
    return SiteError(sorted(first.values(), key=lambda mistake: mistake.line), cause)
