"""What a replay takes: time, memory, and the same for the half of the time.

    python bench/replay.py [--minutes 10]

Prints one JSON object. A real InfluxDB holds 100 assets of three variables at 5 Hz (1,500 values
and 3,000 results a second, no two of an asset at one time); `fieldline replay` is run over it as a
process, comparing only and writing too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
for folder in ("pkgs/fieldline/src", "pkgs/fieldline/tests/servers"):
    sys.path.insert(0, str(ROOT / folder))

import numpy as np  # noqa: E402
from fieldline.influx import InfluxClient  # noqa: E402
from fieldline.influx.layout import GOOD_QUALITY  # noqa: E402
from fieldline.provision.influxdb import Secrets, ensure_influxdb  # noqa: E402
from fieldline.site import Site, load_site  # noqa: E402
from fieldline.verify.catalogue import Catalogue, catalogue_of  # noqa: E402
from fieldline.verify.points import Points, points  # noqa: E402
from fieldline.verify.reference import Reference  # noqa: E402

from conftest import start_influxdb  # noqa: E402

SECOND = 10**9
PERIOD = SECOND // 5
ASSETS = 100
# Seconds that are written at a time.
STRETCH = 20
BATCH = 10_000


def site_of(folder: Path, port: int) -> Site:
    """The demonstration plant's type, faster and a hundred times."""
    text = (ROOT / "site.toml").read_text()
    text = re.sub(r'period = "\d+m?s"', 'period = "200ms"', text)
    text = text.replace("memory = 2048", "memory = 8192")
    text = text.replace('names = ["Sensors"]', f'names = ["m{{1..{ASSETS}}}"]')
    text = text.replace("nodes = {", "# {").replace("[influxdb]", f"[influxdb]\nport = {port}")
    path = folder / "site.toml"
    path.write_text(text)
    return load_site(path)


def values(catalogue: Catalogue, begin: int, random: np.random.Generator) -> Points:
    """A stretch of values, each a little off its time, so that no two of an asset share one."""
    count, ticks = len(catalogue.variables), STRETCH * SECOND // PERIOD
    base = begin + np.arange(ticks, dtype=np.int64) * PERIOD
    at = base[None, :] + random.integers(0, PERIOD, (count, ticks))
    series = np.repeat(np.arange(count), ticks)
    return points(series, at.ravel(), random.normal(20, 5, count * ticks), None)


class Filler:
    """Writes values and results as Telegraf does."""

    def __init__(self, site: Site, catalogue: Catalogue, client: InfluxClient) -> None:
        self._client = client
        self._query = {"org": site.influxdb.organization, "bucket": site.influxdb.bucket}
        self._values = []
        for v in catalogue.variables:
            node = v.id.replace("=", "\\=")
            self._values.append(
                f'opc_server,asset={v.asset},id={node} Quality="{GOOD_QUALITY}",{v.variable}='
            )
        self._results = [
            f"model,asset={m.asset},name={m.name} revision=0i,value=" for m in catalogue.models
        ]

    def write(self, found: Points, *, results: bool) -> None:
        heads = self._results if results else self._values
        rows = zip(found.series.tolist(), found.value.tolist(), found.time.tolist(), strict=True)
        lines = [f"{heads[i]}{value!r} {at}" for i, value, at in rows]
        for first in range(0, len(lines), BATCH):
            body = "\n".join(lines[first : first + BATCH]).encode()
            path = "/api/v2/write"
            status, data = self._client.request("POST", path, query=self._query, body=body)
            if status != 204:
                sys.exit(f"InfluxDB refused to be filled: {data.decode()[:300]}")


def run(site: Site, tokens: Path, begin: int, end: int, *options: str) -> dict[str, Any]:
    """One replay as a process of its own: its report, time and largest memory."""
    argv = [sys.executable, "-m", "fieldline.cli", "replay", "--json", "--site", str(site.path)]
    argv += ["--from", str(begin), "--to", str(end), *options]
    argv += ["--token-file", str(tokens / "influxdb-reader-token")]
    argv += ["--writer-token-file", str(tokens / "influxdb-writer-token")]
    reader, writer = os.pipe()
    started = time.monotonic()
    process = os.posix_spawn(
        sys.executable,
        argv,
        {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_CLOSE, reader)],
    )
    os.close(writer)
    with os.fdopen(reader) as answer:
        report = json.load(answer)
    _pid, status, used = os.wait4(process, 0)
    seconds = time.monotonic() - started
    if status or not report["equal"]:
        sys.exit(f"the replay does not give what is stored: {str(report)[:1000]}")
    return {
        "values": report["inputs"],
        "results": report["results"],
        "seconds": round(seconds, 1),
        "values_per_s": round(report["inputs"] / seconds),
        "times_faster_than_it_was_recorded": round((end - begin) / SECOND / seconds, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss / 1024, 1),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="What a replay takes.")
    parser.add_argument("--minutes", type=int, default=10)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load = os.getloadavg()[0]
        server = start_influxdb(folder / "influxdb")
        try:
            site = site_of(folder, server.port)
            catalogue = catalogue_of(site)
            secrets = Secrets("a-password", "operator-token-of-the-bench")
            ensure_influxdb(server.url, site.influxdb, secrets, folder / "tokens")
            token = (folder / "tokens/influxdb-writer-token").read_text()
            filler = Filler(site, catalogue, InfluxClient(server.url, token))
            random = np.random.default_rng(1)
            end = time.time_ns() // SECOND * SECOND
            begin = end - minutes * 60 * SECOND
            reference = Reference(catalogue, np.full(len(catalogue.variables), np.nan))
            for at in range(begin, end, STRETCH * SECOND):
                found = values(catalogue, at, random)
                filler.write(found, results=False)
                filler.write(reference.add(found), results=True)
            tokens, half = folder / "tokens", begin + (end - begin) // 2
            result = {
                "machine": {
                    "cpus": os.cpu_count(),
                    "python": sys.version.split()[0],
                    "load before": round(load, 1),
                },
                "minutes": minutes,
                "half": run(site, tokens, begin, half, "--dry-run"),
                "whole": run(site, tokens, begin, end, "--dry-run"),
                "written": run(site, tokens, begin, end),
            }
        finally:
            server.process.stop()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
