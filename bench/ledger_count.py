"""What it costs InfluxDB to count an hour, by several questions; and to read a day of the ledger.

    python bench/ledger_count.py [--assets 1000] [--seconds 3600]

Prints one JSON object. A real InfluxDB is given an hour of `--assets` times 10 variables at 1 Hz
with their qualities, and a day of the ledger of as many variables. CPU is InfluxDB's own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from fieldline.evaluate import evaluate
from fieldline.influx import InfluxClient
from fieldline.influx.bulk import flux_range, read_runs
from fieldline.influx.layout import GOOD_QUALITY
from fieldline.influx.series import read_series
from fieldline.ledger.stored import read_hours
from fieldline.messages.ledger import HOUR_NS, LedgerRecord, LedgerTags, hour_of
from fieldline.provision.influxdb import Secrets, ensure_influxdb
from fieldline.verify.catalogue import Catalogue, DeclaredVariable
from ledger.book import Book
from ledger.store import InfluxStore

ROOT = Path(__file__).resolve().parent.parent
SECOND = 10**9
VARIABLES = [f"v{number}" for number in range(10)]
HOURS = 24

Figures = dict[str, object]


def servers() -> Any:
    """The tests' own way to start the lab's InfluxDB."""
    path = ROOT / "pkgs/fieldline/tests/servers/conftest.py"
    spec = importlib.util.spec_from_file_location("fieldline_servers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fieldline_servers"] = module
    spec.loader.exec_module(module)
    return module


def catalogue_of(assets: int) -> Catalogue:
    """As many assets, 10 variables each."""
    variables = tuple(
        DeclaredVariable(f"a{n}", name, f"ns=2;s=a{n}.{name}", "opc", True, 1000)
        for n in range(assets)
        for name in VARIABLES
    )
    return Catalogue(variables, (), {(v.asset, v.variable): i for i, v in enumerate(variables)}, {})


class Server:
    """A provisioned InfluxDB."""

    def __init__(self, folder: Path) -> None:
        module = servers()
        self._running = module.start_influxdb(folder / "influxdb")
        self.site = module.loopback_site(folder, influxdb=self._running.port)
        secrets = Secrets("a-password", "operator-token-of-the-bench")
        ensure_influxdb(self._running.url, self.site.influxdb, secrets, folder / "tokens")
        self.client = InfluxClient(self._running.url, "operator-token-of-the-bench")

    def stop(self) -> None:
        self._running.process.stop()

    def write(self, lines: Iterable[str]) -> None:
        influxdb = self.site.influxdb
        query = {"org": influxdb.organization, "bucket": influxdb.bucket}
        body = "\n".join(lines).encode()
        status, data = self.client.request("POST", "/api/v2/write", query=query, body=body)
        assert status == 204, data

    def cpu(self) -> float:
        text = Path(f"/proc/{self._running.process.process.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def measure(self, ask: Callable[[], int]) -> Figures:
        """Ask twice; the better one, since other work disturbs only one way."""
        found = []
        for _ in range(2):
            begin, cpu = time.perf_counter(), self.cpu()
            values = ask()
            found.append((self.cpu() - cpu, time.perf_counter() - begin))
        cpu, seconds = min(found)
        return {"values": values, "server_cpu_s": round(cpu, 2), "seconds": round(seconds, 2)}


def fill(server: Server, of: Catalogue, hour: int, seconds: int) -> None:
    """Values of an hour, as Telegraf writes them."""
    heads = [f"opc_server,asset={v.asset},id={v.id} {v.variable}=" for v in of.variables]
    heads = [head.replace("ns=2;s=", "ns\\=2;s\\=") for head in heads]
    for second in range(seconds):
        base = hour + second * SECOND
        server.write(
            f'{head}{20 + (place + second) % 97 / 7},Quality="{GOOD_QUALITY}" {base + place * 1000}'
            for place, head in enumerate(heads)
        )
        if second % 300 == 0:
            print(f"{second} of {seconds} s written", file=sys.stderr, flush=True)


def counting(server: Server, of: Catalogue, hour: int) -> Figures:
    """The hour by several questions, and its last three minutes."""
    influxdb = server.site.influxdb
    store = InfluxStore(server.client, influxdb, of)

    def flux(condition: str, since: int, labels: tuple[str, ...]) -> Callable[[], int]:
        kept = ", ".join(f'"{label}"' for label in ("_value", *labels))
        text = (
            f"{flux_range(influxdb.bucket, since, hour + HOUR_NS)} |> filter(fn: (r) => "
            f'r._measurement == "opc_server" and {condition}) |> count() |> keep(columns: [{kept}])'
        )
        return lambda: sum(
            int(run.values.sum())
            for run in read_runs(server.client, influxdb.organization, text, labels)
        )

    def influxql(group: str) -> Callable[[], int]:
        text = (
            f'SELECT count("Quality") FROM "opc_server" WHERE time >= {hour} '
            f'AND time < {hour + HOUR_NS} GROUP BY {group}"asset", "id"'
        )
        return lambda: sum(
            int(np.nansum(series.values))
            for series in read_series(server.client, influxdb.bucket, [text])
        )

    questions: list[float] = []

    def ours() -> int:
        values = 0
        for part in range(store.parts):
            begin = time.perf_counter()
            values += int(store.hour(hour, part).sum())
            questions.append(time.perf_counter() - begin)
        return values

    quality, value = 'r._field == "Quality"', 'r._field != "Quality"'
    late = hour + HOUR_NS - 180 * SECOND
    return {
        "ours_hour": {
            **server.measure(ours),
            "questions": store.parts,
            "question_seconds": {
                "median": round(float(np.median(questions)), 3),
                "longest": round(max(questions), 3),
            },
        },
        "flux_quality": server.measure(flux(quality, hour, ("asset", "id"))),
        "flux_values": server.measure(flux(value, hour, ("asset", "id", "_field"))),
        "flux_quality_last_3_minutes": server.measure(flux(quality, late, ("asset", "id"))),
        "influxql_quality": server.measure(influxql("")),
        "influxql_quality_by_minute": server.measure(influxql("time(1m), ")),
        "ours_minutes_of_200": server.measure(
            lambda: int(store.minutes(hour, range(min(200, len(of.variables)))).sum())
        ),
    }


def reading(server: Server, of: Catalogue, now: int) -> Figures:
    """A day of the ledger: each query of the dashboard, and what `fieldline ledger` reads."""
    begin = hour_of(now) - (HOURS - 1) * HOUR_NS
    for number in range(HOURS):
        server.write(
            f"ledger,asset={v.asset},variable={v.variable} produced=3600i,received=3600i,"
            f"missing=0i,filled=0i,late=0i,doubled=1i,stored=3600i,settled=1i,lacking=0i "
            f"{begin + number * HOUR_NS}"
            for v in of.variables
        )
    board = evaluate(ROOT / "lib", ROOT / "site.toml")["dashboards"]["completeness"]
    figures: Figures = {}
    for panel in board["panels"]:
        text = panel["targets"][0]["query"].replace("${asset:regex}", ".*")
        lines = text.splitlines()
        imports = [line for line in lines if line.startswith("import ")]
        rest = [line for line in lines if not line.startswith("import ")]
        option = "option v = {timeRangeStart: -24h, timeRangeStop: now()}"
        body = {"query": "\n".join([*imports, option, *rest]), "type": "flux"}

        def ask(body: Figures = body) -> int:
            query = {"org": server.site.influxdb.organization}
            status, data = server.client.request("POST", "/api/v2/query", query=query, body=body)
            assert status == 200, data
            return data.count(b"\n")

        figures[str(panel["title"])] = server.measure(ask)
    figures["fieldline ledger"] = server.measure(
        lambda: len(read_hours(server.client, server.site.influxdb, of, begin, now))
    )
    return figures


def book_of(of: Catalogue, now: int) -> Figures:
    """The service's book of a day in memory, and the time to take its records."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    book = Book(of, HOURS * HOUR_NS)
    counts = {"produced": 3600, "received": 3600, "missing": 0, "filled": 0}
    counts |= {"late": 0, "doubled": 1}
    begin = time.perf_counter()
    for number in range(HOURS):
        hour = hour_of(now) - number * HOUR_NS
        for v in of.variables:
            record = LedgerRecord(LedgerTags(v.asset, v.variable), counts, hour)
            book.add(record, now, ours=False)
    took = time.perf_counter() - begin
    begin = time.perf_counter()
    book.mark(now)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "records_per_s": round(HOURS * len(of.variables) / took),
        "mark_ms": round(1000 * (time.perf_counter() - begin), 1),
        "grown_mib": round(grown / 1024),
    }


def main(options: argparse.Namespace, folder: Path) -> Figures:
    """Everything, one after the other."""
    of, now = catalogue_of(options.assets), time.time_ns()
    figures: Figures = {
        "machine": {
            "cores": os.cpu_count(),
            "python": sys.version.split()[0],
            "load_average_before": round(os.getloadavg()[0], 1),
        },
        "variables": len(of.variables),
        "seconds": options.seconds,
        "book": book_of(of, now),
    }
    server = Server(folder)
    try:
        figures["day"] = reading(server, of, now)
        hour = hour_of(now) - HOUR_NS
        fill(server, of, hour, options.seconds)
        figures["count"] = counting(server, of, hour)
    finally:
        server.stop()
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=3600)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(main(asked, Path(scratch)), indent=1))
