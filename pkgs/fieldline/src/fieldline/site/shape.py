"""Stage 1: the shape of a site. Pydantic checks the tables; its errors become findings."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from fieldline.site.mistakes import Finding, Key
from fieldline.site.table import TAG
from fieldline.site.tables import SettingsTable, SiteTable

# The largest integers of 64 bits are refused too: Nix shows greater ones as these.
_LARGEST = 2**63 - 2


def read_shape(data: Mapping[str, Any]) -> SiteTable | list[Finding]:
    """Give the tables of a site, or what is wrong in their shape."""
    findings = [*_choices(data), *_fixed_topics(data), *_ranges(data), *_settings(data)]
    try:
        table = SiteTable.model_validate(data)
    except ValidationError as error:
        findings += map(_finding, error.errors(include_url=False))
        return findings
    return findings or table


def _finding(error: ErrorDetails) -> Finding:
    loc = error["loc"]
    key = tuple(part for part in loc if not (isinstance(part, str) and part.startswith(TAG)))
    kind = error["type"]
    if kind == "mistake":
        context = error["ctx"]
        if key[-1] == "[key]":
            key = key[:-1]
        return Finding(key, context["code"], context["problem"], context["remedy"])
    if kind == "missing":
        return Finding(key, "missing-key", "is missing", f"add {_what(loc)}")
    if kind == "extra_forbidden":
        return Finding(key, "unknown-key", "is not known here", _known(loc))
    # What remains are values that are no list, no table or neither text nor table.
    return Finding(key, "wrong-type", "has the wrong type", f"write {_expected(kind)}")


def _expected(kind: str) -> str:
    if kind == "list_type":
        return "a list"
    return "a text or a table" if kind == "union_tag_not_found" else "a table"


def _what(loc: tuple[int | str, ...]) -> str:
    known = _field_description(loc).rstrip(".")
    return f'"{loc[-1]}"' + (f" ({known})" if known else "")


def _field_description(loc: tuple[int | str, ...]) -> str:
    model = _model_at(loc[:-1])
    if model is not None:
        for name, info in model.model_fields.items():
            if (info.alias or name) == loc[-1]:
                return info.description or ""
    return ""


def _known(loc: tuple[int | str, ...]) -> str:
    model = _model_at(loc[:-1])
    if model is None:
        return "remove it"
    known = sorted(info.alias or name for name, info in model.model_fields.items())
    close = difflib.get_close_matches(str(loc[-1]), known, n=1)
    if close:
        return f'did you mean "{close[0]}"?'
    return "known are " + ", ".join(known)


def _model_at(loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The table's model at a location of pydantic, tags included."""
    current: Any = SiteTable
    for part in loc:
        current = _step(current, part)
    current = _bare(current)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _step(annotation: Any, part: int | str) -> Any:
    if isinstance(part, str) and part.startswith(TAG):
        return _choice(annotation, part)
    annotation = _bare(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, info in annotation.model_fields.items():
            if (info.alias or name) == part:
                # Pydantic keeps the metadata of a field beside its annotation.
                return info.annotation
        return None
    arguments = get_args(annotation)
    return arguments[-1] if get_origin(annotation) in (list, dict) else None


def _bare(annotation: Any) -> Any:
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    return annotation


def _choice(annotation: Any, tag: str) -> Any:
    if any(isinstance(data, Tag) and data.tag == tag for data in _metadata(annotation)):
        return _bare(annotation)
    for argument in get_args(_bare(annotation)):
        found = _choice(argument, tag)
        if found is not None:
            return found
    return None


def _metadata(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__metadata__", ())


def _tables(data: Mapping[str, Any], *path: str) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """The tables at a path of keys, `*` for any; what is no table there is left out."""
    found: list[tuple[Key, Any]] = [((), data)]
    for step in path:
        found = [
            ((*key, name), value[name])
            for key, value in found
            if isinstance(value, dict)
            for name in (value if step == "*" else [step] if step in value else [])
        ]
    return ((key, value) for key, value in found if isinstance(value, dict))


def _choices(data: Mapping[str, Any]) -> Iterator[Finding]:
    for key, server in _tables(data, "servers", "*"):
        if ("host" in server) == ("endpoint" in server):
            yield Finding(
                key,
                "one-of",
                f"has {'both' if 'host' in server else 'neither'} of host and endpoint",
                'write "host" for a server of ours, "endpoint" for an existing one',
            )
        elif "endpoint" in server and ("namespace" in server) == ("namespace_uri" in server):
            yield Finding(
                key,
                "one-of",
                f"has {'both' if 'namespace' in server else 'neither'} of namespace"
                " and namespace_uri",
                "write the one that the server is known by",
            )


def _fixed_topics(data: Mapping[str, Any]) -> Iterator[Finding]:
    for key, topics in _tables(data, "topics"):
        for name in ("opc", "model"):
            if name not in topics:
                yield Finding((*key, name), "missing-key", "is missing", f"add [topics.{name}]")


def _ranges(data: Mapping[str, Any]) -> Iterator[Finding]:
    for key, variable in _tables(data, "asset_types", "*", "variables", "*"):
        limits = variable.get("range")
        if not isinstance(limits, list):
            continue
        where = (*key, "range")
        remedy = "write the low and the high end, such as [0, 400]"
        if len(limits) != 2:
            yield Finding(where, "bad-value", f"has {len(limits)} items", remedy)
        elif all(type(item) in (int, float) and abs(item) <= 1e15 for item in limits):
            low, high = limits
            if not low < high:
                yield Finding(where, "out-of-range", f"{low} is not below {high}", remedy)


def leaves(value: object) -> Iterator[tuple[Key, object]]:
    """Every value in tables and lists with its key; a stack, since dotted keys nest deeply."""
    stack: list[tuple[Key, object]] = [((), value)]
    while stack:
        key, current = stack.pop()
        if isinstance(current, dict):
            stack += [((*key, name), item) for name, item in current.items()]
        elif isinstance(current, list):
            stack += [((*key, index), item) for index, item in enumerate(current)]
        else:
            yield key, current


def _settings(data: Mapping[str, Any]) -> Iterator[Finding]:
    parts = {info.alias or name for name, info in SettingsTable.model_fields.items()}
    for key, part in _tables(data, "hosts", "*", "settings", "*"):
        if key[-1] not in parts:
            continue
        for name, value in part.items():
            yield from _free((*key, name), value)


def _free(key: Key, value: object) -> Iterator[Finding]:
    for where, leaf in leaves(value):
        if isinstance(leaf, float):
            yield Finding(
                key + where,
                "wrong-type",
                "is a float, whose digits Nix would not keep",
                'write a whole number, or a text such as "0.5"',
            )
        elif isinstance(leaf, int) and not -_LARGEST <= leaf <= _LARGEST:
            yield Finding(
                key + where, "out-of-range", "has more than 64 bits", "write a smaller number"
            )
