"""The whole chain on lab hosts: latency, cost, start and completeness, at one or several sizes.

    python bench/chain.py [--variables 0,1000,10000] [--seconds 60] [--settle 20] [--defaults]

Prints one JSON object. 0 variables are the demonstration plant; other sizes are assets of ten
variables at 1 Hz with two models over three each. All hosts and what measures share this machine.
Each size is a lab of its own, without data before, as root. --defaults adds the demonstration
plant with Telegraf's own flush intervals.

Latency is from a value's source time to the first answer of InfluxDB that has it, asked over and
over for up to 20 series; the time between two questions is part of it and told beside it. How far
a value is after which time is told by Kafka's append times in the topics `opc` and `model`.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from chain_cost import between, log_bytes, store_bytes, usage
from chain_plant import Plant, Started, plant, site_text
from fieldline.errors import FieldlineError
from fieldline.influx import InfluxClient
from fieldline.verify.points import Points
from fieldline.verify.store import InfluxStore
from fieldline.where.follower import series_of
from fieldline.where.rate import LatencyHistogram
from fieldline.where.watch import Watch, Watched
from fieldline_faults.topics import MODEL, OPC, Topic
from fieldline_lab.plan import Plan
from stream_cluster import machine

_POLL_S = 0.02
_CALM_S = 5.0
# Of the topics, so much is looked at, at the window's end.
_READ_S = 10.0
# A plant whose values are older than this, and get older, is one that lags.
_BEHIND_S = 3.0
_EVER = 2**62
# A question for 100 took InfluxDB 40 ms of 1,000 variables, and with a fifth of the time for asking
# came every 200 ms: most of the latency that it was to show.
_MOST_WATCHED = 20
_DEFAULT_FLUSH = "10s"


def measure(running: Plant, seconds: float, settle: float) -> dict[str, Any]:
    """One window of a plant that runs."""
    client = running.client()
    if client is None:
        sys.exit("InfluxDB has no reader.")
    time.sleep(settle)
    # What these ask takes seconds of the machine's time at 10,000 variables: not within the window.
    behind = _behind(running, client)
    offsets = running.topics(lambda topics: topics.ends())
    watch = Watch(client, running.site.influxdb.bucket, watched(running), _POLL_S)
    watch.start()
    # Its first questions are for what is there already, and what waited for ours is worked off.
    time.sleep(_CALM_S)
    for histogram in watch.latency:
        watch.latency[histogram] = LatencyHistogram()
    before, begin, logs = usage(running), time.time(), log_bytes(running)
    time.sleep(max(0.0, seconds - _READ_S))
    late = time.time_ns()
    time.sleep(_READ_S)
    after, end, more = usage(running), time.time(), log_bytes(running)
    watch.stop()
    still_behind = _behind(running, client)
    latency = {
        "values": _shares(watch.latency["variable"]),
        "results": _shares(watch.latency["model"]),
        "poll_ms": round((watch.interval or 0.0) * 1e3),
        "problem": watch.problem,
    }
    records = running.topics(lambda topics: topics.read(offsets, late))
    lags = bool(still_behind > _BEHIND_S and still_behind > behind + 1)
    # What a plant that lags has not stored yet is under way, not lost: that is no verification's.
    report = None if lags else _verified(running, int(begin * 1e9), int(end * 1e9))
    # Last: it ends the writing.
    told = running.topics(lambda topics: topics.ends())
    stored = sum(offset for (topic, _), offset in told.items() if topic == OPC)
    store = store_bytes(running)
    values = report["values"]["recorded"] if report else round(_due(running) * (end - begin))
    results = report["models"]["required"] if report else 0
    return {
        "variables": len(running.catalogue.variables),
        "models": len(running.catalogue.models),
        "seconds": round(end - begin, 1),
        "values_per_s": round(values / (end - begin), 1),
        "results_per_s": round(results / (end - begin), 1),
        "latency": latency,
        "way": _way(records),
        "behind_s": {"begin": behind, "end": still_behind},
        "lags": lags,
        "units": between(before, after, end - begin, values),
        "cores": round(
            sum(now.cpu_s - before[unit].cpu_s for unit, now in after.items() if unit in before)
            / (end - begin),
            3,
        ),
        "kafka_bytes": {
            "per_value": round((more[OPC] - logs[OPC]) / max(values, 1), 1),
            "per_result": round((more[MODEL] - logs[MODEL]) / max(results, 1), 1),
        },
        # Of all since the start, the results of each value among them.
        "influxdb_bytes": {"all": store, "values": stored, "per_value": round(store / stored, 1)},
        "memory_declared_mib": _declared_memory(running),
        "verify": _told(report) if report else {"ok": None, "problem": "not asked: it lags"},
    }


def watched(running: Plant) -> list[Watched]:
    """The series whose latency is looked at: all of a small plant; of a large one the first
    variable and the first model of some assets, so that a question is quickly answered."""
    every = series_of(running.site, most=_EVER)
    if len(every) <= _MOST_WATCHED:
        return every
    names = {
        next(s.name for s in every if s.kind == "variable"),
        next(s.name for s in every if s.kind == "model"),
    }
    chosen = [s for s in every if s.name in names]
    assets = list(dict.fromkeys(s.asset for s in chosen))
    kept = set(assets[:: math.ceil(len(chosen) / _MOST_WATCHED)])
    return [s for s in chosen if s.asset in kept]


def _behind(running: Plant, client: InfluxClient) -> float:
    """How late the newest stored value is, beyond its period, of the variable that is latest, s."""
    now = time.time_ns()
    store = InfluxStore(client, running.site.influxdb, running.catalogue)
    newest, _results = store.newest(now - 600 * 10**9, _EVER)
    late = now - newest - np.array([v.period_ms * 10**6 for v in running.catalogue.variables])
    return round(min(float(late.max()) / 1e9, 600.0), 2)


def _due(running: Plant) -> float:
    """Values per second, as declared."""
    return sum(1000 / variable.period_ms for variable in running.catalogue.variables)


def _shares(histogram: LatencyHistogram) -> dict[str, float | int | None]:
    shares = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}
    found = {name: histogram.percentile(share) for name, share in shares.items()}
    rounded = {name: None if ms is None else round(ms, 1) for name, ms in found.items()}
    return {**rounded, "max_ms": histogram.largest, "count": histogram.count}


def _way(records: dict[str, Topic]) -> dict[str, dict[str, float]]:
    """From the source time to Kafka's append, of values and of results, ms."""
    found = {}
    for topic, name in ((OPC, "value_in_opc"), (MODEL, "result_in_model")):
        points: Points = records[topic].points
        took = records[topic].appended - points.time / 1e6
        if len(took):
            p50, p99 = np.percentile(took, [50, 99])
            found[name] = {"p50_ms": round(float(p50), 1), "p99_ms": round(float(p99), 1)}
    return found


def _verified(running: Plant, begin: int, end: int) -> dict[str, Any]:
    host = running.host("influxdb")
    argv = ["fieldline", "verify", "--json", "--since", str(begin), "--until", str(end)]
    done = host.exec([*argv, "--settle", "30s"], timeout=900)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _told(report: dict[str, Any]) -> dict[str, Any]:
    """What a verification found, without its examples."""
    values, models = report["values"], report["models"]

    def count(*names: str) -> int:
        return sum(part[n]["count"] for part in (values, models) for n in names if n in part)

    return {
        "ok": report["ok"],
        "values": values["recorded"],
        "results": models["required"],
        "lost": count("missing"),
        "doubled": count("stored_twice"),
        "wrong": count("wrong_value", "wrong_quality", "invented"),
        "lost_or_doubled": count("missing", "stored_twice"),
        "not_produced": count("not_produced"),
    }


def _declared_memory(running: Plant) -> dict[str, int]:
    return {name: host.memory for name, host in running.site.hosts.items()}


def _started(started: Started) -> dict[str, Any]:
    told: dict[str, Any] = asdict(started)
    return {k: round(v, 2) if isinstance(v, float) else v for k, v in told.items()}


def with_defaults(plan: Plan) -> Plan:
    """The same plant with Telegraf's own flush intervals."""
    raw = copy.deepcopy(plan.raw)
    for host in raw["hosts"].values():
        telegraf = host["files"].get("/etc/telegraf/telegraf.toml")
        if telegraf is None:
            continue
        telegraf["value"]["agent"]["flush_interval"] = _DEFAULT_FLUSH
        for outputs in telegraf["value"]["outputs"].values():
            for output in outputs:
                output.pop("flush_interval", None)
    return replace(plan, raw=raw)


@contextmanager
def _said(what: str) -> Iterator[None]:
    begun = time.monotonic()
    print(f"{what}: begins", file=sys.stderr, flush=True)
    yield
    print(f"{what}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="The whole chain on lab hosts.")
    parser.add_argument("--variables", default="0,1000", help="sizes, with commas between")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each window")
    parser.add_argument("--settle", type=float, default=20.0, help="s before it")
    parser.add_argument("--defaults", action="store_true", help="Telegraf's own intervals, too")
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "sizes": {}, "problems": {}}
    with tempfile.TemporaryDirectory() as folder:
        for variables in map(int, options.variables.split(",")):
            name = f"v{variables}" if variables else "demonstration"
            try:
                with (
                    _said(name),
                    plant(Path(folder), site_text(variables)) as (running, started),
                ):
                    found = measure(running, options.seconds, options.settle)
                    result["sizes"][name] = {"start": _started(started), **found}
            except (FieldlineError, OSError, ValueError, subprocess.SubprocessError) as error:
                # A size that cannot be had is a result as well, and takes no other's away.
                print(f"{name}: {error}", file=sys.stderr, flush=True)
                result["problems"][name] = f"{type(error).__name__}: {error}"
        if options.defaults:
            with (
                _said("Telegraf's defaults"),
                plant(Path(folder), site_text(0), with_defaults) as (running, _),
            ):
                found = measure(running, options.seconds, options.settle)
                result["telegraf_defaults"] = found
    json.dump(result, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
