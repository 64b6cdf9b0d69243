"""What is derived from a site, in short: as data, and as tables for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from fieldline.site.forms import duration_text
from fieldline.site.model import AssetType, Site

# What the tables show, narrow enough for a terminal of 80 columns.
COLUMNS = {
    "hosts": {
        "name": "host",
        "address": "address",
        "roles": "roles",
        "platforms": "platforms",
        "memory_mib": "MiB",
    },
    "servers": {
        "name": "server",
        "endpoint": "endpoint",
        "collector": "collector",
        "variables": "variables",
        "values_per_second": "values/s",
    },
    "types": {
        "name": "asset type",
        "assets": "assets",
        "variables": "variables",
        "models": "models",
        "values_per_second": "values/s",
    },
    "collectors": {
        "host": "collector",
        "values_per_second": "values/s",
        "outage_ms": "outage",
        "needed": "metrics needed",
        "buffer": "buffer",
        "memory_mib": "MiB",
    },
    "topics": {"name": "topic", "partitions": "partitions", "retention_ms": "retention"},
}


def values_per_second(asset_type: AssetType) -> float:
    """How many values one asset of a type gives in a second, if each changes at its period."""
    return sum(1000 / variable.period_ms for variable in asset_type.variables.values())


def summary(site: Site) -> dict[str, Any]:
    """What is derived from a site, in short, as JSON has it."""
    counts = Counter((asset.server, asset.type) for asset in site.assets)

    def load(chosen: Iterable[tuple[tuple[str, str], int]]) -> dict[str, Any]:
        pairs = [(site.types[kind], number) for (_, kind), number in chosen]
        return {
            "assets": sum(number for _, number in pairs),
            "variables": sum(number * len(kind.variables) for kind, number in pairs),
            "models": sum(number * len(kind.models) for kind, number in pairs),
            "values_per_second": round(
                sum(number * values_per_second(kind) for kind, number in pairs), 3
            ),
        }

    def where(position: int, name: str) -> list[tuple[tuple[str, str], int]]:
        return [item for item in counts.items() if item[0][position] == name]

    def collected_by(host: str) -> list[tuple[tuple[str, str], int]]:
        return [item for item in counts.items() if site.servers[item[0][0]].collector == host]

    return {
        "file": str(site.path),
        "network": f"{site.network.gateway}/{site.network.prefix}",
        "hosts": [
            {
                "name": host.name,
                "address": host.address,
                "platforms": list(host.platforms),
                "roles": list(host.roles),
                "memory_mib": host.memory,
            }
            for host in site.hosts.values()
        ],
        "servers": [
            {
                "name": server.name,
                "own": server.own,
                "endpoint": server.endpoint,
                "collector": server.collector,
                **load(where(0, server.name)),
            }
            for server in site.servers.values()
        ],
        "types": [{"name": name, **load(where(1, name))} for name in site.types],
        "collectors": [
            {
                "host": host,
                **load(collected_by(host)),
                "outage_ms": site.collection.outage_ms,
                "needed": collector.needed,
                "buffer": collector.buffer,
                "memory_mib": site.hosts[host].memory,
            }
            for host, collector in site.collectors.items()
        ],
        "topics": [
            {
                "name": topic.name,
                "partitions": topic.partitions,
                "retention_ms": topic.retention_ms,
            }
            for topic in site.topics.values()
        ],
        "total": load(counts.items()),
    }


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,.10g}" if isinstance(value, int | float) else str(value)


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=title.capitalize(), title_justify="left", title_style="bold")
    shown = COLUMNS[title]
    for name, heading in shown.items():
        number = isinstance(rows[0][name], int | float)
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(
            *(
                duration_text(row[name]) if name.endswith("_ms") else _cell(row[name])
                for name in shown
            )
        )
    return table


def show(site: Site, console: Console) -> None:
    """Show the summary as tables."""
    data = summary(site)
    console.print(f"{data['file']}: network {data['network']}", highlight=False)
    for title in COLUMNS:
        if data[title]:
            console.print(_table(title, data[title]))
    total = data["total"]
    parts = [f"{_cell(value)} {name.replace('_per_second', '/s')}" for name, value in total.items()]
    console.print(f"In all: {', '.join(parts)}", highlight=False)
