"""The forms of single values: texts, whole numbers, numbers, durations, lists.

Each is the metadata of an `Annotated` type. It checks the type first, then the form, then the
bounds, so that a value has at most one mistake; docs/site.md has the forms in words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, get_origin

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from fieldline.site.address import parse_address

UNITS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|min|h|d)")

SECOND, MINUTE, HOUR, DAY = UNITS["s"], UNITS["min"], UNITS["h"], UNITS["d"]


def mistake(code: str, problem: str, remedy: str) -> PydanticCustomError:
    """The error a form raises; `fieldline.site.shape` turns it into a finding."""
    return PydanticCustomError(
        "mistake", "{problem}", {"code": code, "problem": problem, "remedy": remedy}
    )


def shown(value: object) -> str:
    """A value as a message shows it: short, on one line."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 60 else text[:57] + "..."


def type_name(value: object) -> str:
    """The TOML name of a value's type."""
    names = {bool: "a boolean", int: "an integer", float: "a float", str: "a text"}
    return names.get(type(value), "a list" if isinstance(value, list) else "a table")


@dataclass(frozen=True, slots=True)
class Form:
    """A single value with a check of its own and a JSON schema."""

    def check(self, value: object) -> Any:
        """Give the value in its resolved form, or raise a `mistake`."""
        raise NotImplementedError

    def json_schema(self) -> dict[str, Any]:
        """The form in JSON Schema, for editors."""
        raise NotImplementedError

    def __get_pydantic_core_schema__(
        self, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return self.json_schema()


@dataclass(frozen=True, slots=True)
class Text(Form):
    """A text of a pattern, at most so many bytes of UTF-8, and none of the refused words."""

    pattern: str
    remedy: str
    at_most: int = 255
    refused: Collection[str] = ()
    also: Callable[[str], bool] | None = None

    def check(self, value: object) -> str:
        """See `Form.check`."""
        if not isinstance(value, str):
            raise mistake("wrong-type", f"is {type_name(value)}", f"write {self.remedy}")
        if (
            len(value.encode()) > self.at_most
            or not re.fullmatch(self.pattern, value)
            or value in self.refused
            or (self.also is not None and not self.also(value))
        ):
            raise mistake("bad-value", f"{shown(value)} is not allowed", f"write {self.remedy}")
        return value

    def json_schema(self) -> dict[str, Any]:
        """See `Form.json_schema`."""
        schema: dict[str, Any] = {
            "type": "string",
            "pattern": f"^(?:{self.pattern})$",
            "maxLength": self.at_most,
        }
        if self.refused:
            schema["not"] = {"enum": sorted(self.refused)}
        return schema


@dataclass(frozen=True, slots=True)
class Word(Form):
    """One of some known words."""

    words: Sequence[str]

    def check(self, value: object) -> str:
        """See `Form.check`."""
        remedy = "write one of " + ", ".join(f'"{word}"' for word in self.words)
        if not isinstance(value, str):
            raise mistake("wrong-type", f"is {type_name(value)}", remedy)
        if value not in self.words:
            raise mistake("bad-value", f"{shown(value)} is not known", remedy)
        return value

    def json_schema(self) -> dict[str, Any]:
        """See `Form.json_schema`."""
        return {"type": "string", "enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Address(Form):
    """An IPv4 or IPv6 address; `or_text` is what else may stand there."""

    or_text: Text | None = None

    def check(self, value: object) -> str:
        """See `Form.check`."""
        remedy = 'write an address such as "192.168.0.5" or "fd00::5"'
        if self.or_text is not None:
            remedy = f"write {self.or_text.remedy}, or an address"
        if not isinstance(value, str):
            raise mistake("wrong-type", f"is {type_name(value)}", remedy)
        if parse_address(value) is None:
            if self.or_text is not None:
                return self.or_text.check(value)
            raise mistake("bad-value", f"{shown(value)} is no address", remedy)
        return value

    def json_schema(self) -> dict[str, Any]:
        """See `Form.json_schema`."""
        either: list[dict[str, Any]] = [{"format": "ipv4"}, {"format": "ipv6"}]
        if self.or_text is not None:
            either.append(self.or_text.json_schema())
        return {"type": "string", "anyOf": either}


@dataclass(frozen=True, slots=True)
class Whole(Form):
    """A whole number within bounds."""

    low: int
    high: int

    def check(self, value: object) -> int:
        """See `Form.check`."""
        remedy = f"write a whole number from {self.low} to {self.high}"
        if self.low == self.high:
            remedy = f"write {self.low}"
        if not isinstance(value, int) or isinstance(value, bool):
            raise mistake("wrong-type", f"is {type_name(value)}", remedy)
        if not self.low <= value <= self.high:
            raise mistake("out-of-range", f"{shown(value)} is out of range", remedy)
        return value

    def json_schema(self) -> dict[str, Any]:
        """See `Form.json_schema`."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Number(Form):
    """A finite number within bounds, whole or not; `refused` is one number that is not allowed."""

    low: float
    high: float
    refused: float | None = None

    def check(self, value: object) -> float:
        """See `Form.check`."""
        remedy = f"write a number from {self.low:g} to {self.high:g}"
        if self.refused is not None:
            remedy += f", other than {self.refused:g}"
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise mistake("wrong-type", f"is {type_name(value)}", remedy)
        # Not a number fails every comparison.
        if not self.low <= value <= self.high or value == self.refused:
            raise mistake("out-of-range", f"{shown(value)} is out of range", remedy)
        return float(value)

    def json_schema(self) -> dict[str, Any]:
        """See `Form.json_schema`."""
        schema: dict[str, Any] = {"type": "number", "minimum": self.low, "maximum": self.high}
        if self.refused is not None:
            schema["not"] = {"const": self.refused}
        return schema


@dataclass(frozen=True, slots=True)
class Boolean(Form):
    """True or false."""

    def check(self, value: object) -> bool:
        """See `Form.check`."""
        if not isinstance(value, bool):
            raise mistake("wrong-type", f"is {type_name(value)}", "write true or false")
        return value

    def json_schema(self) -> dict[str, Any]:
        """See `Form.json_schema`."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Duration(Form):
    """A duration such as "200ms", resolved to whole milliseconds within bounds."""

    low: int
    high: int

    def check(self, value: object) -> int:
        """See `Form.check`."""
        form = 'write a whole number and ms, s, min, h or d, such as "200ms"'
        if not isinstance(value, str):
            raise mistake("wrong-type", f"is {type_name(value)}", form)
        match = _DURATION.fullmatch(value)
        if match is None:
            raise mistake("bad-value", f"{shown(value)} is no duration", form)
        resolved = int(match[1]) * UNITS[match[2]]
        if not self.low <= resolved <= self.high:
            bounds = f"write a duration from {duration_text(self.low)} to "
            raise mistake(
                "out-of-range", f"{shown(value)} is out of range", bounds + duration_text(self.high)
            )
        return resolved

    def json_schema(self) -> dict[str, Any]:
        """See `Form.json_schema`."""
        return {"type": "string", "pattern": f"^{_DURATION.pattern}$"}


def duration_text(milliseconds: int) -> str:
    """Write a duration in the largest unit that holds it whole."""
    if milliseconds == 0:
        return "0s"
    for unit, size in reversed(UNITS.items()):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    raise AssertionError("milliseconds hold every whole number")


@dataclass(frozen=True, slots=True)
class Items:
    """The length of a list or table, and whether its items may repeat."""

    at_least: int = 1
    at_most: int | None = None
    repeats: bool = True

    def _length(self, value: object, kind: object) -> object:
        if isinstance(value, list | dict) and type(value) is kind:
            if len(value) < self.at_least:
                raise mistake("empty", "is empty", "declare at least one")
            if self.at_most is not None and len(value) > self.at_most:
                raise mistake(
                    "out-of-range", f"has {len(value)} items", f"at most {self.at_most} are allowed"
                )
        return value

    def _distinct(self, value: list[Any]) -> list[Any]:
        repeated = sorted({item for item in value if value.count(item) > 1})
        if repeated:
            raise mistake("duplicate", f"{shown(repeated[0])} is repeated", "write each item once")
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(source)
        if not self.repeats:
            schema = core_schema.no_info_after_validator_function(self._distinct, schema)
        kind = get_origin(source)
        return core_schema.no_info_before_validator_function(
            lambda value: self._length(value, kind), schema
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        result: dict[str, Any] = handler(schema)
        kind = "Items" if result.get("type") == "array" else "Properties"
        if self.at_least:
            result[f"min{kind}"] = self.at_least
        if self.at_most is not None:
            result[f"max{kind}"] = self.at_most
        if not self.repeats:
            result["uniqueItems"] = True
        return result
