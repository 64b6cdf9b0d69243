"""Stage 2 of asset types and assets: models, names, nodes, sources; the assets expanded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from fieldline.site.mistakes import Finding, Key
from fieldline.site.model import Asset, NodeId
from fieldline.site.names import MOST, Names, parse_names
from fieldline.site.tables import AssetTable, OwnServerTable, SiteTable

# asyncua gives a server's own nodes this namespace: 0 is the standard's, 1 the server's itself.
OWN_NAMESPACE = 2

# Beyond, a reader would take minutes or the memory of the machine.
MOST_VARIABLES = 1_000_000


class _Pattern(NamedTuple):
    """A node before `{asset}` is replaced; the namespace is filled in."""

    namespace: int | None
    namespace_uri: str | None
    kind: str
    identifier: str

    def of(self, asset: str) -> NodeId:
        return NodeId(
            self.namespace,
            self.namespace_uri,
            self.kind,
            self.identifier.replace("{asset}", asset),
        )


@dataclass(slots=True)
class Expansion:
    """The assets of a site, and what is wrong with them."""

    assets: list[Asset] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    complete: bool = True
    """False if there are too many to expand."""


def check_types(site: SiteTable) -> Iterator[Finding]:
    """Models: each input is a variable of the type."""
    for type_name, asset_type in site.asset_types.items():
        for model_name, model in asset_type.models.items():
            for index, name in enumerate(model.inputs):
                if name not in asset_type.variables:
                    yield Finding(
                        ("asset_types", type_name, "models", model_name, "inputs", index),
                        "unknown-reference",
                        f'"{name}" is no variable of "{type_name}"',
                        f"write one of {_some(asset_type.variables)}",
                    )


def expand(site: SiteTable) -> Expansion:
    """Expand the assets; entries with a mistake in their references are left out."""
    result = Expansion()
    entries = list(_entries(site, result))
    assets = sum(names.count for entry in entries for names in entry.names)
    variables = sum(
        sum(names.count for names in entry.names)
        * len(site.asset_types[entry.table.type].variables)
        for entry in entries
    )
    if assets > MOST or variables > MOST_VARIABLES:
        result.complete = False
        result.findings.append(
            Finding(
                ("assets",),
                "out-of-range",
                f"are {assets} assets with {variables} variables",
                f"at most {MOST} assets with {MOST_VARIABLES} variables are allowed",
            )
        )
        return result
    known: set[str] = set()
    nodes: dict[str, set[NodeId]] = {name: set() for name in site.servers}
    for entry in entries:
        _expand(entry, known, nodes[entry.table.server], result)
    return result


class _Entry(NamedTuple):
    position: int
    table: AssetTable
    names: list[Names]
    patterns: Mapping[str, _Pattern]


def _entries(site: SiteTable, result: Expansion) -> Iterator[_Entry]:
    for index, table in enumerate(site.assets):
        key = ("assets", index)
        declared = True
        for what, name, known in (
            ("type", table.type, list(site.asset_types)),
            ("server", table.server, list(site.servers)),
        ):
            if name not in known:
                declared = False
                result.findings.append(
                    Finding(
                        (*key, what),
                        "unknown-reference",
                        f'"{name}" is not declared',
                        f"write one of {_some(known)}",
                    )
                )
        if declared:
            names = [n for n in map(parse_names, table.names) if n is not None]
            yield _Entry(index, table, names, _patterns(site, (*key, "nodes"), table, result))


def _some(names: Mapping[str, object] | list[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed if len(listed) <= 8 else [*listed[:8], "..."])


def _patterns(
    site: SiteTable, key: Key, table: AssetTable, result: Expansion
) -> Mapping[str, _Pattern]:
    server = site.servers[table.server]
    variables = site.asset_types[table.type].variables
    own = isinstance(server, OwnServerTable)
    namespace: int | None = OWN_NAMESPACE
    uri: str | None = None
    if not isinstance(server, OwnServerTable):
        namespace, uri = server.namespace, server.namespace_uri
    if isinstance(table.nodes, str):
        texts = dict.fromkeys(variables, table.nodes)
    else:
        texts = {name: text for name, text in table.nodes.items() if name in variables}
        for name in table.nodes:
            if name not in variables:
                result.findings.append(
                    Finding(
                        (*key, name),
                        "unknown-reference",
                        f'"{name}" is no variable of "{table.type}"',
                        f"write one of {_some(variables)}",
                    )
                )
        for name in variables:
            if name not in texts:
                result.findings.append(
                    Finding((*key, name), "missing-key", "is missing", "add the node of it")
                )
    patterns = {name: _pattern(text, name, namespace, uri) for name, text in texts.items()}
    if own:
        for name, pattern in patterns.items():
            if pattern.namespace != OWN_NAMESPACE:
                result.findings.append(
                    Finding(
                        key,
                        "bad-value",
                        f'"{texts[name]}" is in another namespace than our servers have',
                        f'leave "ns=" out, or write "ns={OWN_NAMESPACE};"',
                    )
                )
        for name, variable in variables.items():
            if variable.source is None:
                result.findings.append(
                    Finding(
                        ("asset_types", table.type, "variables", name, "source"),
                        "missing-key",
                        f'is missing, and server "{table.server}" is ours',
                        "say where the values come from",
                    )
                )
    return patterns


def _pattern(text: str, variable: str, namespace: int | None, uri: str | None) -> _Pattern:
    if text.startswith("ns="):
        declared, _, text = text.partition(";")
        namespace, uri = int(declared[3:]), None
    kind, identifier = text[0], text[2:]
    if kind == "i":
        identifier = str(int(identifier))
    elif kind == "g":
        identifier = identifier.lower()
    else:
        identifier = identifier.replace("{variable}", variable)
    return _Pattern(namespace, uri, kind, identifier)


def _expand(entry: _Entry, known: set[str], taken: set[NodeId], result: Expansion) -> None:
    index, table, ranges, patterns = entry
    repeated: str | None = None
    twice: NodeId | None = None
    for names in ranges:
        for name in names:
            if name in known:
                repeated = repeated or name
                continue
            known.add(name)
            nodes = {variable: pattern.of(name) for variable, pattern in patterns.items()}
            distinct = set(nodes.values())
            if len(distinct) < len(nodes) or not taken.isdisjoint(distinct):
                twice = twice or _twice(nodes, taken)
            taken |= distinct
            result.assets.append(Asset(name, table.type, table.server, nodes))
    if repeated is not None:
        result.findings.append(
            Finding(
                ("assets", index, "names"),
                "duplicate",
                f'"{repeated}" is declared before',
                "give each asset a name of its own",
            )
        )
    if twice is not None:
        result.findings.append(
            Finding(
                ("assets", index, "nodes"),
                "duplicate",
                f'"{twice}" is the node of another variable on server "{table.server}"',
                "give each variable a node of its own",
            )
        )


def _twice(nodes: Mapping[str, NodeId], taken: set[NodeId]) -> NodeId | None:
    seen: set[NodeId] = set()
    for node in nodes.values():
        if node in taken or node in seen:
            return node
        seen.add(node)
    return None
