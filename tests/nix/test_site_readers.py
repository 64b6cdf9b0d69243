"""Both readers of a site, Python and Nix, against one corpus, against mutations, and each other.

All sites of a kind go through one Nix evaluation: starting Nix takes longer than reading a site.
"""

from __future__ import annotations

import copy
import json
import random
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from fieldline.site import Site, SiteError, load_site
from fieldline.site.address import Subnet, parse_address

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/sites"
WRONG = sorted((CORPUS / "wrong").glob("*.toml"))
RIGHT = [ROOT / "site.toml", *sorted((CORPUS / "right").glob("*.toml"))]
UNREADABLE = sorted((CORPUS / "unreadable").glob("*.toml"))

CODES = ["schema", "missing-key", "unknown-key", "wrong-type", "bad-value", "out-of-range", "empty",
         "duplicate", "unknown-reference", "role-needs", "outside-network", "port-taken", "buffer",
         "memory", "one-of", "security"]  # fmt: skip

SEED = 20261122
MUTATIONS = 400
ADDRESSES = 400

Mistakes = set[tuple[str, str]]


def nix(expression: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Evaluate an expression; it goes through a file, since long arguments are refused."""
    file = folder / "expression.nix"
    file.write_text(expression)
    return subprocess.run(
        [
            *("nix-instantiate", "--store", "dummy://"),  # any user may evaluate
            "--eval",
            "--strict",
            "--json",
            str(file),
        ],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=120,
    )


def nix_json(expression: str, folder: Path) -> Any:
    """Evaluate an expression to JSON, in which there is no float."""
    result = nix(expression, folder)
    assert result.returncode == 0, result.stderr[-4000:]

    def no_float(text: str) -> float:
        raise AssertionError(f"a float in the output of lib/: {text}")

    return json.loads(result.stdout, parse_float=no_float, parse_constant=no_float)


def read_all(paths: list[Path], folder: Path) -> dict[str, Any]:
    """Read sites with Nix: the mistakes of each, and the resolved site if there are none."""
    texts = " ".join(json.dumps(str(path)) for path in paths)
    result = nix_json(f"import {ROOT}/tests/nix/readers.nix [ {texts} ]", folder)
    assert isinstance(result, dict)
    return result


def of_nix(found: dict[str, Any]) -> Mistakes:
    return {(mistake["key"], mistake["code"]) for mistake in found["mistakes"]}


def of_python(path: Path) -> Mistakes:
    try:
        load_site(path)
    except SiteError as error:
        return {(mistake.key, mistake.code) for mistake in error.mistakes}
    return set()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readers")


@pytest.fixture(scope="module")
def by_nix(folder: Path) -> dict[str, Any]:
    return read_all(WRONG + RIGHT, folder)


def header(path: Path) -> Mistakes:
    text = path.read_text()
    keys = re.findall(r"^# key: (.+)$", text, re.MULTILINE)
    codes = re.findall(r"^# code: (.+)$", text, re.MULTILINE)
    assert len(keys) == len(codes) >= 1
    assert re.search(r"^# why: .", text, re.MULTILINE)
    return set(zip(keys, codes, strict=True))


def named(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", WRONG, ids=named)
def test_wrong_site_has_the_mistakes_of_its_header(path: Path, by_nix: dict[str, Any]) -> None:
    assert of_python(path) == header(path)
    assert of_nix(by_nix[str(path)]) == header(path)


def test_corpus_has_every_code() -> None:
    assert {code for path in WRONG for _, code in header(path)} == set(CODES)
    assert len(WRONG) >= 60
    assert len(RIGHT) > 12


def normalised(site: Site) -> dict[str, Any]:
    """A site of Python in the form of `lib/site.nix`."""
    data = asdict(site)
    del data["path"], data["collection"]["buffer"]
    for asset_type in data["types"].values():
        del asset_type["name"]
        for variable in asset_type["variables"].values():
            del variable["range"], variable["source"]
    for topic in data["topics"].values():
        del topic["name"]
    for asset, original in zip(data["assets"], site.assets, strict=True):
        asset["nodes"] = {name: str(node) for name, node in original.nodes.items()}
    return json.loads(json.dumps(data))  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", RIGHT, ids=named)
def test_right_site_is_equal_in_both(path: Path, by_nix: dict[str, Any]) -> None:
    assert by_nix[str(path)]["mistakes"] == []
    assert by_nix[str(path)]["site"] == normalised(load_site(path))


def refused_by_both(path: Path, folder: Path) -> None:
    assert of_python(path) == {("site.toml", "unreadable")}
    result = nix(f"import {ROOT}/lib/site.nix {path}", folder)
    assert result.returncode != 0
    assert "error:" in result.stderr


@pytest.mark.parametrize("path", UNREADABLE, ids=named)
def test_unreadable_site_is_refused(path: Path, folder: Path) -> None:
    refused_by_both(path, folder)


@pytest.mark.parametrize(
    "junk",
    [
        lambda: random.Random(SEED).randbytes(10_000_000),
        lambda: b"# padding\n" * 1_000_000,
        lambda: b"schema = 1\n" + b"#" * (4 * 1024 * 1024 - 10),
    ],
    ids=["junk", "comments", "one-byte-more"],
)
def test_large_file_is_refused(junk: Callable[[], bytes], folder: Path) -> None:
    path = folder / "large.toml"
    path.write_bytes(junk())
    refused_by_both(path, folder)


def test_largest_file_is_read(folder: Path) -> None:
    text = (ROOT / "site.toml").read_bytes() + b"\n#"
    path = folder / "largest.toml"
    path.write_bytes(text + b"x" * (4 * 1024 * 1024 - len(text)))
    assert of_python(path) == of_nix(read_all([path], folder)[str(path)]) == set()


def test_refusal_lists_all_mistakes(folder: Path) -> None:
    path = CORPUS / "wrong/many-references.toml"
    result = nix(f"import {ROOT}/lib/site.nix {path}", folder)
    assert result.returncode != 0
    for key, code in header(path):
        assert re.search(
            rf"site\.toml: {re.escape(key)}: {re.escape(code)}: .+; .+", result.stderr
        ), result.stderr


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


def test_mutations_have_equal_mistakes(folder: Path) -> None:
    chooser = random.Random(SEED)
    small = [path for path in RIGHT if path.stem not in ("thousand-assets", "byte-order-mark")]
    originals = [tomllib.loads(path.read_text()) for path in small]
    paths = []
    for number in range(MUTATIONS):
        path = folder / f"mutation-{number:04}.toml"
        path.write_text(tomli_w.dumps(mutate(chooser.choice(originals), chooser)))
        paths.append(path)
    found = read_all(paths, folder)
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


def address_text(chooser: random.Random) -> str:
    """An address, or what looks like one."""
    if chooser.random() < 0.4:
        text = ".".join(str(chooser.choice([0, 1, 9, 10, 99, 127, 255])) for _ in range(4))
    else:
        groups = [
            chooser.choice(["0", "00", "1", "fd00", "FFFF", "a0b", "0db8"])
            for _ in range(chooser.randint(1, 8))
        ]
        text = ":".join(groups)
        if len(groups) < 8:
            at = chooser.randint(0, len(groups))
            text = ":".join(groups[:at]) + "::" + ":".join(groups[at:])
    for _ in range(chooser.choice([0, 0, 0, 1, 2])):
        at = chooser.randint(0, len(text))
        text = (
            text[:at]
            + chooser.choice(["", ":", "::", ".", "0", "g", "f", "256", "%", "/"])
            + (text[at + chooser.choice([0, 1]) :])
        )
    return text


def test_addresses_are_read_alike(folder: Path) -> None:
    chooser = random.Random(SEED)
    texts = sorted({address_text(chooser) for _ in range(ADDRESSES)})
    found = nix_json(
        f"map (import {ROOT}/lib/net.nix).parse (builtins.fromJSON ''{json.dumps(texts)}'')",
        folder,
    )
    valid = 0
    for text, by_nix in zip(texts, found, strict=True):
        address = parse_address(text)
        if address is None:
            assert by_nix is None, text
            continue
        valid += 1
        width = 8 if address.version == 4 else 16
        value = sum(group << (width * n) for n, group in enumerate(reversed(by_nix["groups"])))
        assert (by_nix["family"], value) == (address.version, int(address)), text
    assert ADDRESSES // 4 < valid < len(texts)


def written(address: IPv4Address | IPv6Address) -> str:
    """An address as a site may have it; Python 3.13 puts an IPv4 address into some IPv6 ones."""
    if address.version == 4:
        return str(address)
    return ":".join(f"{int(address) >> shift & 0xFFFF:x}" for shift in range(112, -1, -16))


def test_networks_are_held_alike(folder: Path) -> None:
    chooser = random.Random(SEED)
    cases: list[tuple[str, int, str]] = []
    while len(cases) < ADDRESSES:
        gateway = parse_address(address_text(chooser))
        if gateway is None:
            continue
        size = gateway.max_prefixlen
        prefix = chooser.randint(8, 30) if gateway.version == 4 else chooser.randint(16, 126)
        # The gateway with one bit flipped, or with all bits behind the prefix alike.
        value = int(gateway) ^ (1 << chooser.randrange(size))
        behind = (1 << (size - prefix)) - 1
        value = chooser.choice([value, value & ~behind, value | behind, int(gateway)])
        cases.append((written(gateway), prefix, written(type(gateway)(value))))
    found = nix_json(
        f"let net = import {ROOT}/lib/net.nix; read = case: rec {{"
        " gateway = net.parse (builtins.elemAt case 0);"
        " prefix = builtins.elemAt case 1;"
        " address = net.parse (builtins.elemAt case 2);"
        " result = [ (net.contains gateway prefix address) (net.reserves prefix address) ];"
        f" }}; in map (case: (read case).result) (builtins.fromJSON ''{json.dumps(cases)}'')",
        folder,
    )
    for (gateway_text, prefix, address_of), by_nix in zip(cases, found, strict=True):
        gateway, address = parse_address(gateway_text), parse_address(address_of)
        assert gateway is not None
        assert address is not None
        subnet = Subnet(gateway, prefix)
        assert [subnet.contains(address), subnet.reserves(address)] == by_nix, cases
        network = ip_network(f"{gateway}/{prefix}", strict=False)
        assert subnet.contains(address) == (address in network)
