"""Files of a host in each format."""

import configparser
import json
import tomllib
from typing import Any

import pytest
from fieldline.errors import FieldlineError
from fieldline_lab.declaration import File
from fieldline_lab.formats import render
from hypothesis import given
from hypothesis import strategies as st


def test_toml_comes_back() -> None:
    value = {
        "agent": {"interval": "1s", "n": 3, "on": True},
        "inputs": {"opcua_listener": [{"nodes": [{"name": "Ä b", "id": "i=2"}]}, {"nodes": []}]},
    }
    assert tomllib.loads(render(File("toml", value), "/x")) == value


def test_toml_has_a_header_for_each_table_however_short() -> None:
    value = {
        "inputs": {"internal": [{"a": 1, "tags": {"x.y": "z"}}, {}]},
        "secretstores": {"s": [{}]},
    }
    text = render(File("toml", value), "/x")
    assert tomllib.loads(text) == value
    assert text.count("[[inputs.internal]]") == 2
    assert "[[secretstores.s]]" in text
    assert "{" not in text


TOML = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), TOML))
def test_any_toml_comes_back(value: dict[str, Any]) -> None:
    assert tomllib.loads(render(File("toml", value), "/x")) == value


@pytest.mark.parametrize("kind", ["json", "yaml"])
def test_json_and_yaml_come_back(kind: str) -> None:
    value = {"a": [1, "°C", None, True], "b": {"c": "x: y"}}
    assert json.loads(render(File(kind, value), "/x")) == value


def test_text_is_as_it_is() -> None:
    assert render(File("text", "a\n$b %c"), "/x") == "a\n$b %c"


def test_properties() -> None:
    value = {
        "node.id": 1,
        "auto.create": False,
        "list": ["a", 2],
        "listeners": "PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093",
        "pattern": "%p %c{1} %m%n",
        "a key:b=c": " leading # and !",
        "path": "C:\\x",
        "lines": "a\nb",
        "unit": "°C 😀",
    }
    assert render(File("properties", value), "/x") == (
        "a\\ key\\:b\\=c=\\ leading # and !\n"
        "auto.create=false\n"
        "lines=a\\nb\n"
        "list=a,2\n"
        "listeners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093\n"
        "node.id=1\n"
        "path=C:\\\\x\n"
        "pattern=%p %c{1} %m%n\n"
        "unit=\\u00b0C \\ud83d\\ude00\n"
    )


def test_ini_comes_back() -> None:
    value = {
        "app_mode": "production",
        "server": {"http_port": 3000, "on": True},
        "a.b": {"x": "$__file{/y}"},
    }
    text = render(File("ini", value), "/x")
    assert text.startswith("app_mode = production\n")
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string("[loose]\n" + text)
    assert dict(parser["server"]) == {"http_port": "3000", "on": "true"}
    assert parser["a.b"]["x"] == "$__file{/y}"


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("toml", {"a": None}, "cannot be written as toml"),
        ("ini", {"s": {"a": "b\nc"}}, "line break"),
        ("properties", {"a": {"b": 1}}, "no text, number"),
        ("xml", {}, "does not know"),
    ],
)
def test_what_cannot_be_written_is_refused(kind: str, value: Any, message: str) -> None:
    with pytest.raises(FieldlineError) as caught:
        render(File(kind, value), "/etc/x")
    assert "/etc/x" in str(caught.value)
    assert message in str(caught.value)
