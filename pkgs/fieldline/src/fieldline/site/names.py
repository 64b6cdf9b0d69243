"""Asset names: one name, or many by a range such as `press{001..120}`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fieldline.site.forms import Form, mistake, shown, type_name

NAME = "[A-Za-z][A-Za-z0-9_-]{0,63}"
LONGEST = 64
MOST = 100_000

_NAMES = re.compile(
    r"([A-Za-z0-9_-]*)(?:\{([0-9]{1,6})\.\.([0-9]{1,6})\}([A-Za-z0-9_-]*))?", re.ASCII
)
_REMEDY = 'write a name such as "press1", or names such as "press{001..120}"'


@dataclass(frozen=True, slots=True)
class Names:
    """A name, or a range of names; numbers are filled up with zeros to `width`."""

    prefix: str
    first: int
    last: int
    width: int
    suffix: str
    ranged: bool

    @property
    def count(self) -> int:
        """How many names these are."""
        return self.last - self.first + 1

    def __iter__(self) -> Iterator[str]:
        if not self.ranged:
            yield self.prefix
            return
        for number in range(self.first, self.last + 1):
            yield f"{self.prefix}{number:0{self.width}d}{self.suffix}"


def parse_names(text: str) -> Names | None:
    """Read a name or a range of names; None if it has not the form."""
    match = _NAMES.fullmatch(text)
    if match is None:
        return None
    prefix, first, last, suffix = match.groups()
    if first is None:
        return Names(prefix, 1, 1, 0, "", False)
    width = len(first) if first.startswith("0") else 0
    return Names(prefix, int(first), int(last), width, suffix, True)


@dataclass(frozen=True, slots=True)
class NamesForm(Form):
    """An item of `assets[i].names`."""

    def check(self, value: object) -> str:
        """See `Form.check`."""
        if not isinstance(value, str):
            raise mistake("wrong-type", f"is {type_name(value)}", _REMEDY)
        names = parse_names(value) if len(value) <= 255 else None
        if names is None:
            raise mistake("bad-value", f"{shown(value)} is not allowed", _REMEDY)
        if not 1 <= names.count <= MOST:
            raise mistake(
                "out-of-range",
                f"{shown(value)} has {max(names.count, 0)} names",
                f"write the lower number first, for at most {MOST} names",
            )
        longest = len(names.prefix) + len(names.suffix)
        if names.ranged:
            longest += max(names.width, len(str(names.last)))
        if not names.prefix[:1].isalpha() or longest > LONGEST:
            raise mistake(
                "bad-value",
                f"{shown(value)} gives no valid name",
                f"begin with a letter, at most {LONGEST} characters in all",
            )
        return value

    def json_schema(self) -> dict[str, Any]:
        """See `Form.json_schema`."""
        return {"type": "string", "pattern": f"^{_NAMES.pattern}$"}
