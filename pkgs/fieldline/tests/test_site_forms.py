"""The forms of single values, and the JSON Schema made of them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from fieldline.site import texts
from fieldline.site.forms import UNITS, Duration, duration_text
from fieldline.site.names import MOST, parse_names
from fieldline.site.schema import site_schema
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

ROOT = Path(__file__).resolve().parents[3]
RIGHT = [ROOT / "site.toml", *sorted((ROOT / "tests/sites/right").glob("*.toml"))]


def accepts(form: Any, value: object) -> bool:
    try:
        TypeAdapter(form).validate_python(value)
    except ValidationError:
        return False
    return True


@given(st.integers(1, 10**9 - 1), st.sampled_from(sorted(UNITS)))
def test_duration_is_resolved_to_milliseconds(number: int, unit: str) -> None:
    resolved = Duration(1, 10**18).check(f"{number}{unit}")
    assert resolved == number * UNITS[unit]
    assert Duration(1, 10**18).check(duration_text(number)) == number


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    # Any other exception than a refusal would fail this.
    if accepts(Annotated[int, Duration(0, 10**18)], text):
        assert text[0] in "0123456789"


@given(st.integers(0, 999_999), st.integers(0, 300), st.booleans())
def test_range_of_names_counts(first: int, more: int, filled: bool) -> None:
    last = min(first + more, 999_999)
    names = parse_names(f"a{{{first:06d}..{last}}}z" if filled else f"a{{{first}..{last}}}z")
    assert names is not None
    expanded = list(names)
    assert len(expanded) == len(set(expanded)) == names.count == last - first + 1
    assert expanded[0] == (f"a{first:06d}z" if filled else f"a{first}z")
    assert [int(name[1:-1]) for name in expanded] == list(range(first, last + 1))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("press", ["press"]),
        ("p{8..11}", ["p8", "p9", "p10", "p11"]),
        ("p{08..11}x", ["p08x", "p09x", "p10x", "p11x"]),
        ("p{0..1}", ["p0", "p1"]),
        ("p{00..1}", ["p00", "p01"]),
        ("p{099..100}", ["p099", "p100"]),
        ("p{5..5}", ["p5"]),
    ],
)
def test_names_expand(text: str, expanded: list[str]) -> None:
    names = parse_names(text)
    assert names is not None
    assert list(names) == expanded


def test_names_are_counted_without_expanding() -> None:
    assert accepts(texts.AssetNames, f"a{{1..{MOST}}}")
    assert not accepts(texts.AssetNames, f"a{{0..{MOST}}}")


@pytest.mark.parametrize(
    "text",
    [
        "opc.tcp://plc",
        "opc.tcp://plc-1.example.org:4840/UA/Server",
        "opc.tcp://192.168.0.20:1/",
        "opc.tcp://[fd00::20]:65535/a~b",
    ],
)
def test_endpoint(text: str) -> None:
    assert accepts(texts.Endpoint, text)


@pytest.mark.parametrize(
    "text",
    ["", "plc", "opc.tcp://", "opc.tcp://plc:", "opc.tcp://plc:0", "opc.tcp://[plc]",
     "opc.tcp://a b", "opc.tcp://fd00::1", "opc.tcp://[fd00::1", "opc.tcp://u:p@plc", "opc.tcp://plc/a?b",
     "opc.tcp://plc\n"],
)  # fmt: skip
def test_no_endpoint(text: str) -> None:
    assert not accepts(texts.Endpoint, text)


@pytest.mark.parametrize(
    "text",
    ["i=0", "ns=0;i=4294967295", "s={asset}", "ns=65535;s=|var|PLC.x[1]:y", "s=" + "x" * 200,
     "g=09087e75-8e5e-499b-954f-f2a9603db28a"],
)  # fmt: skip
def test_node(text: str) -> None:
    assert accepts(texts.Node, text)


@pytest.mark.parametrize(
    "text",
    ["", "i=", "i=-1", "i=4294967296", "s=", "s=a b", "s={x}", "s={asset", "s=a$b",
     "s=" + "x" * 201, "ns=2", "ns=;i=1", "ns=65536;i=1", "nsu=urn:x;i=1", "g=1", "b=AA", "I=1",
     "i=1 ", "s=é", "i=٣"],
)  # fmt: skip
def test_no_node(text: str) -> None:
    assert not accepts(texts.Node, text)


def test_schema_holds_for_every_right_site() -> None:
    schema = site_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for path in RIGHT:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        errors = [f"{error.json_path} {error.message}" for error in validator.iter_errors(data)]
        assert not errors, path.name


@pytest.mark.parametrize(
    "name",
    ["missing-gateway", "unknown-host-key", "type-port-boolean", "host-name-python",
     "period-negative", "prefix-7", "empty-roles", "duplicate-role", "source-kind-unknown",
     "server-host-and-endpoint", "server-neither", "namespace-both", "missing-topic",
     "topic-name-capital", "unit-brace", "asset-name-two-ranges", "range-three", "node-kind"],
)  # fmt: skip
def test_schema_refuses_wrong_shapes(name: str) -> None:
    data = tomllib.loads((ROOT / f"tests/sites/wrong/{name}.toml").read_text())
    assert not jsonschema.Draft202012Validator(site_schema()).is_valid(data)


def test_schema_describes_every_key() -> None:
    schema = site_schema()
    undescribed = [
        f"{table}.{name}"
        for table, content in schema["$defs"].items()
        for name, field in content.get("properties", {}).items()
        if "description" not in field and "$ref" not in field
    ]
    assert not undescribed
    text = json.dumps(schema)
    assert "\\u0000" not in text
    assert '"null"' not in text
