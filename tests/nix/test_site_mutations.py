"""Both readers of a site, Python and Nix, against mutations of what is right, and each other.

All mutations go through one Nix evaluation: starting Nix takes longer than reading a site.
"""

from __future__ import annotations

import copy
import random
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w
from fieldline.site import load_site

from .both_readers import RIGHT, SEED, normalised, of_nix, of_python, read_all

MUTATIONS = 400

# No value here is a date, and no text holds a NUL: such a file is unreadable, which ends the
# evaluation of Nix for all the others.
JUNK: list[Any] = [
    0, 1, -1, 7, 22, 127, 4840, 65535, 65536, 2**31, 2**63 - 1, -(2**63), 10**20,
    0.0, -0.0, 1.0, 1.5, 1e300, float("inf"), float("-inf"), float("nan"),
    True, False,
    "", " ", "x", "X", "opc", "db", "None", "Sign", "time", "Quality", "localhost", "import",
    "0s", "1ms", "10ms", "1min", "24h", "999999999d", "1000000000s", "-1s", "1 s", "٣s",
    "i=1", "ns=2;i=2", "ns=3;s=x", "s={asset}", "s={variable}", "s=a\"b", "g=0", "i=4294967296",
    "192.168.0.1", "192.168.0.5", "192.168.0.0", "192.168.0.255", "10.0.0.1", "fd00::1", "::",
    "1::2::3", "a{1..3}", "a{3..1}", "a{01..10}b", "a{1..2}{1..2}", "{1..2}", "a{}",
    "a" * 33, "a" * 65, "a" * 300,
    "°C", "日本", "a\nb", "a\tb", "a\u007fb", "a\u0085b", "\\", "'", "`", "$", "{", "}",
    "replay", "sysfs", "random-walk", "../a.csv", "{asset}.csv", "/sys/{variable}", "/", "//",
    "opc.tcp://a", "opc.tcp://[::1]:1/a", "opc.tcp://[1::2::3]", "opc.tcp://a:0", "opc.tcp://a:65536",
    "kafka", "collector", "grafana", "writer", "influxdb", "opc-server", "stream-model", "vbox",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", "a.dead-letter", "a.changelog", "a.ledger",
    "pool.ntp.org",
    [], [1], ["x"], ["x", "x"], [[]], [{}], [0, 1], [1, 0], [0.5, 1.5], ["i=1"],
    {}, {"x": 1}, {"kind": "sysfs"}, {"kind": "x"}, {"host": "opc"}, {"endpoint": "opc.tcp://a"},
    {"": ""}, {"a b": 1.5}, {"é": []},
]  # fmt: skip

SERVICES = ["opc-server", "stream-model", "telegraf", "gap-filler", "ledger"]
NAMES = ["x", "opc", "db", "model", "port", "unit", "kind", "source", "namespace", "host",
         "endpoint", "collector", "buffer", "nodes", "memory", "A b", "", "é", "x.y", "a\\b",
         "tab\t", "q\"", "Quality", "else", "[key]", "a" * 70, "a" * 256]  # fmt: skip

LETTERS = ["", "0", "9", "a", "Z", "-", "_", ".", ":", ";", "/", "{", "}", "[", "]", " ", "=", ",",
           '"', "\\", "$", "é", "\n", "\x01"]  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a value in the tables and lists of a site: what holds it, and its key."""
    stack = [value]
    while stack:
        holder = stack.pop()
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        for key in keys:
            yield holder, key
            if isinstance(holder[key], dict | list):
                stack.append(holder[key])


def _delete(holder: Any, key: Any, _chooser: random.Random) -> None:
    del holder[key]


def _junk(holder: Any, key: Any, chooser: random.Random) -> None:
    holder[key] = copy.deepcopy(chooser.choice(JUNK))


def _add(holder: Any, key: Any, chooser: random.Random) -> None:
    if isinstance(holder, list):
        holder.append(copy.deepcopy(chooser.choice([*holder, *JUNK])))
    else:
        holder[chooser.choice(NAMES)] = copy.deepcopy(chooser.choice([holder[key], *JUNK]))


def _repeat(holder: Any, key: Any, _chooser: random.Random) -> None:
    if isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    else:
        holder[f"{key}2"[-30:]] = copy.deepcopy(holder[key])


def _rename(holder: Any, key: Any, chooser: random.Random) -> None:
    if isinstance(holder, dict):
        new = chooser.choice([*NAMES, key[:-1], key.upper(), key + "-"])
        holder[new] = holder.pop(key)


def _nudge(holder: Any, key: Any, chooser: random.Random) -> None:
    """One more or less; one letter added, removed or changed."""
    value = holder[key]
    if isinstance(value, bool):
        holder[key] = int(value)
    elif isinstance(value, int | float):
        holder[key] = chooser.choice([value + 1, value - 1, -value, float(value), value * 1000])
    elif isinstance(value, str):
        at = chooser.randint(0, len(value))
        holder[key] = value[:at] + chooser.choice(LETTERS) + value[at + chooser.choice([0, 1]) :]


def _likely(site: dict[str, Any], chooser: random.Random) -> None:
    """Values of the right form, which only the second stage may refuse."""
    hosts, servers = list(site["hosts"].values()), list(site["servers"].values())
    asset, server = chooser.choice(site["assets"]), chooser.choice(servers)
    port = chooser.choice([22, 3000, 4840, 8086, 9092, 9093, 9101, 9102, 9103, 9104, 9105])
    target, key, value = chooser.choice([
        (site, "collection", {"outage": "7d"}),
        (site, "collection", {"buffer": chooser.choice([1000, 4500, 10**6, 10**8])}),
        (site, "kafka", {"port": port}),
        (site, "metrics", {chooser.choice(SERVICES): port}),
        (site["influxdb"], "port", port),
        (site["network"], "prefix", chooser.choice([8, 28, 30, 31, 64, 126])),
        (site["network"], "gateway", chooser.choice(hosts)["address"]),
        (chooser.choice(hosts), "address", chooser.choice(hosts)["address"]),
        (chooser.choice(hosts), "roles", chooser.choice(hosts)["roles"]),
        (chooser.choice(hosts), "roles", chooser.choice(hosts)["roles"][:-1] or ["collector"]),
        (chooser.choice(hosts), "memory", 256),
        (server, "collector", chooser.choice(list(site["hosts"]))),
        (server, "host" if "host" in server else "security_mode", "None"),
        (server, "host" if "host" in server else "namespace", chooser.choice(list(site["hosts"]))),
        (asset, "server", chooser.choice(list(site["servers"]))),
        (asset, "type", chooser.choice(list(site["asset_types"]))),
        (asset, "names", chooser.choice(site["assets"])["names"]),
        (asset, "nodes", chooser.choice(["s={variable}", "i=1", "ns=3;s={asset}{variable}"])),
        (asset, "nodes", {"Force": "s={asset}", "Stroke": "ns=2;s={asset}"}),
    ])  # fmt: skip
    target[key] = copy.deepcopy(value)


CHANGES = [_delete, _junk, _junk, _add, _repeat, _rename, _nudge, _nudge]


def mutate(original: dict[str, Any], chooser: random.Random) -> dict[str, Any]:
    """Give a copy of a site with one to three random changes."""
    site = copy.deepcopy(original)
    if chooser.random() < 0.5:
        for _ in range(chooser.choice([1, 2, 3])):
            _likely(site, chooser)
        return site
    for _ in range(chooser.choice([1, 1, 1, 2, 3])):
        everywhere = list(places(site))
        if not everywhere:
            break
        holder, key = chooser.choice(everywhere)
        if chooser.random() < 0.1:
            # Another value of the site, of the same type.
            values = [place[name] for place, name in everywhere]
            alike = [value for value in values if type(value) is type(holder[key])]
            holder[key] = copy.deepcopy(chooser.choice(alike))
        else:
            chooser.choice(CHANGES)(holder, key, chooser)
    return site


def test_mutations_have_equal_mistakes(tmp_path: Path) -> None:
    chooser = random.Random(SEED)
    small = [path for path in RIGHT if path.stem not in ("thousand-assets", "byte-order-mark")]
    originals = [tomllib.loads(path.read_text()) for path in small]
    paths = []
    for number in range(MUTATIONS):
        path = tmp_path / f"mutation-{number:04}.toml"
        path.write_text(tomli_w.dumps(mutate(chooser.choice(originals), chooser)))
        paths.append(path)
    found = read_all(paths, tmp_path)
    differing = []
    wrong = 0
    for path in paths:
        python, by_nix = of_python(path), of_nix(found[str(path)])
        wrong += bool(python)
        if python != by_nix:
            differing.append(
                f"{path.name}: python {python - by_nix}, nix {by_nix - python}\n{path.read_text()}"
            )
        elif not python:
            assert found[str(path)]["site"] == normalised(load_site(path)), path.read_text()
    assert not differing, f"{len(differing)} differ\n" + "\n".join(differing[:3])
    # The mutations reach both sides: most are refused, some are still right.
    assert MUTATIONS // 2 < wrong < MUTATIONS
