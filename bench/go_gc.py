"""What Go's garbage collector costs Telegraf and InfluxDB: how far a heap may grow before it works.

    python bench/go_gc.py [--variables 3000] [--rounds 2] [--seconds 30] [--settle 15]

Prints one JSON object. One plant on lab hosts, as in chain.py, in turns with GOGC 100 (Go's own),
200 and 400 for Telegraf on both hosts and for InfluxDB, each restarted for its turn: the share of a
core and the memory of each of them, while values come at their rate. GOMEMLIMIT stays as lib/ has
it. Needs root.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from chain_cost import between, usage
from chain_plant import Plant, plant, site_text
from stream_cluster import machine

PERCENT = (100, 200, 400)
UNITS = (("collector", "telegraf"), ("db", "telegraf"), ("db", "influxdb2"))


def set_percent(running: Plant, percent: int) -> None:
    """Have the units run with this GOGC."""
    for host, unit in UNITS:
        folder = f"/run/systemd/system/{unit}.service.d"
        text = f"[Service]\nEnvironment=GOGC={percent}\n"
        shell = f"mkdir -p {folder} && cat > {folder}/gogc.conf && systemctl daemon-reload"
        running.lab.hosts[host].exec(["sh", "-c", shell], input=text, check=True)
    for host, unit in UNITS:
        running.lab.hosts[host].exec(["systemctl", "restart", unit], check=True, timeout=120)


def window(running: Plant, seconds: float, settle: float) -> dict[str, Any]:
    """What the units need while values come."""
    time.sleep(settle)
    before, begin = usage(running), time.monotonic()
    time.sleep(seconds)
    after, took = usage(running), time.monotonic() - begin
    values = round(took * sum(1000 / v.period_ms for v in running.catalogue.variables))
    found = between(before, after, took, values)
    wanted = {f"{host} {unit}" for host, unit in UNITS}
    return {unit: figures for unit, figures in found.items() if unit in wanted}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Go's garbage collector in the chain.")
    parser.add_argument("--variables", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each window")
    parser.add_argument("--settle", type=float, default=15.0, help="s before it")
    options = parser.parse_args()
    found: dict[str, list[Any]] = {f"gogc_{percent}": [] for percent in PERCENT}
    with (
        tempfile.TemporaryDirectory() as folder,
        plant(Path(folder), site_text(options.variables)) as (running, _),
    ):
        for number in range(options.rounds):
            for percent in PERCENT:
                set_percent(running, percent)
                found[f"gogc_{percent}"].append(window(running, options.seconds, options.settle))
                print(f"round {number + 1}: GOGC {percent} done", file=sys.stderr, flush=True)
    told = {"machine": machine(), "variables": options.variables, **found}
    json.dump(told, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
