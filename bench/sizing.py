"""What each host needs: the table of `docs/sizing.md`, from the last results that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from page import number
from results import FOLDER, kept

PAGE = FOLDER.parent.parent / "docs/sizing.md"

_DAY_S = 86_400
_MB = 1e6
_BEGIN, _END = "<!-- begin: bench/sizing.py -->\n", "<!-- end -->\n"


def write(folder: Path = FOLDER, page: Path = PAGE) -> None:
    """Write the page's table anew; nothing where the chain was not measured yet."""
    results = kept("chain", folder)
    if not results:
        return
    last = results[-1]
    content: Mapping[str, Any] = last.content
    record = _record_bytes(folder)
    lines = [
        f"Measured on {last.date}, {content['machine']['cpu']}.\n\n",
        "| plant | host | CPU, % of a thread | memory of its units, MiB | disk per day |\n",
        "|---|---|---|---|---|\n",
    ]
    for name, size in content["sizes"].items():
        if not size["lags"]:
            plant = name if name == "demonstration" else f"{size['variables']:,} variables"
            lines += [f"| {plant} | {row} |\n" for row in _hosts(size, record)]
    before, _, rest = page.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    page.write_text("".join([before, _BEGIN, *lines, _END, after]))


def _record_bytes(folder: Path) -> float:
    """Of a value in the OPC UA server's record."""
    last: Mapping[str, Any] = kept("opc-server-history", folder)[-1].content
    return float(last["recording"]["bytes_per_value"])


def _hosts(size: Mapping[str, Any], record: float) -> list[str]:
    """The rest of a line for each host."""
    values, results = size["values_per_s"] * _DAY_S, size["results_per_s"] * _DAY_S
    log = values * size["kafka_bytes"]["per_value"] + results * size["kafka_bytes"]["per_result"]
    disk = {
        "opc": _mb(values * record),
        "collector": "–",
        "db": f"{_mb(log)} Kafka, {_mb(values * size['influxdb_bytes']['per_value'])} InfluxDB",
    }
    found = []
    for host, words in disk.items():
        units = [usage for unit, usage in size["units"].items() if unit.split()[0] == host]
        cpu, memory = (sum(one[of] for one in units) for of in ("cpu_percent", "memory_mib"))
        found.append(f"`{host}` | {number(cpu)} | {number(memory)} | {words}")
    return found


def _mb(count: float) -> str:
    megabytes = count / _MB
    return f"{number(megabytes / 1000)} GB" if megabytes >= 1000 else f"{number(megabytes)} MB"
