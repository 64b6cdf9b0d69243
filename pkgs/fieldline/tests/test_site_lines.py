"""The line of a key in a text of TOML."""

from __future__ import annotations

import tomllib

import pytest
from fieldline.site.lines import Lines
from fieldline.site.mistakes import Key, key_text

TEXT = '''\
# [not.a.table]
schema = 1
a.b = "x # no comment"
"q.r" = 'it''s'

[hosts.db] # a comment
roles = [
  "kafka", # the first
  { x = 1, y.z = [1, 2] },
]
text = """
[hosts.fake]
key = 1
"""
after = 3.14

[[assets]]
names = ["a"]

[[assets]] # the second
names = ["b", "c"]
[assets.nodes]
V = "i=1"

[[assets.list]]
x = 1
[[assets.list]]
x = 2

[asset_types."odd name".variables.V]
source = { kind = "sysfs", path = "/{a}", scale = 1.5 }
'''.replace("'it''s'", "'its'")


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("schema",), 2),
        (("a",), 3),
        (("a", "b"), 3),
        (("q.r",), 4),
        (("hosts",), 6),
        (("hosts", "db"), 6),
        (("hosts", "db", "roles"), 7),
        (("hosts", "db", "roles", 0), 8),
        (("hosts", "db", "roles", 1), 9),
        (("hosts", "db", "roles", 1, "y", "z", 1), 9),
        (("hosts", "db", "text"), 11),
        (("hosts", "db", "after"), 15),
        (("assets", 0, "names"), 18),
        (("assets", 1), 20),
        (("assets", 1, "names", 1), 21),
        (("assets", 1, "nodes", "V"), 23),
        (("assets", 1, "list", 1, "x"), 28),
        (("asset_types", "odd name", "variables", "V", "source", "scale"), 31),
        # Where a key is not there, the nearest that holds it.
        (("hosts", "db", "address"), 6),
        (("assets", 1, "nodes", "W"), 22),
        (("hosts", "fake"), 6),
        (("network", "gateway"), 1),
        ((), 1),
    ],
    ids=lambda value: key_text(value) if isinstance(value, tuple) else str(value),
)
def test_line_of_key(key: Key, line: int) -> None:
    assert tomllib.loads(TEXT)
    assert Lines(TEXT)(key) == line


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (("hosts", "db", "address"), "hosts.db.address"),
        (("assets", 0, "names", 1), "assets[0].names[1]"),
        (("hosts", "db", "log.retention.ms"), 'hosts.db."log.retention.ms"'),
        (("a", 'q"\\', "tab\t"), 'a."q\\"\\\\"."tab?"'),
        (("", "é"), '""."é"'),
        (("k" * 255, "k" * 256), "k" * 255 + '."' + "k" * 256 + '"'),
        ((), "site.toml"),
    ],
)
def test_text_of_key(key: Key, text: str) -> None:
    assert key_text(key) == text
