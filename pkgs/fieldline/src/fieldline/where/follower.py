"""Snapshots of a site, one after the other."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

from fieldline.errors import FieldlineError
from fieldline.remote.endpoint import reach_of_text
from fieldline.site import Site
from fieldline.where.diagnosis import Diagnosis
from fieldline.where.hops import HopTable
from fieldline.where.looking import Looker, Store
from fieldline.where.probes import Probes, Readings
from fieldline.where.rate import LatencyHistogram
from fieldline.where.state import OK, Hop, Latency, SeriesState, Snapshot
from fieldline.where.watch import Watch, Watched

# Series that are watched in InfluxDB: more than fit on a screen, few enough for a poll of some ms.
MOST_WATCHED = 200

# A diagnosis may take a fifth of the time, and is made every two seconds at most.
_SHARE = 0.2
_LEAST_SECONDS = 2.0
# How long a single snapshot waits for its diagnosis, s.
_PATIENCE = 12.0


def series_of(site: Site, wanted: str = "", most: int = MOST_WATCHED) -> list[Watched]:
    """The series to watch: of a large plant those of some assets, evenly spread.

    Args:
        wanted: `VARIABLE`, `MODEL`, `ASSET` or `ASSET/NAME`; all if empty.
    Raises:
        FieldlineError: nothing is named so.
    """
    variables: list[Watched] = []
    models: list[Watched] = []
    for asset in site.assets:
        kind = site.types[asset.type]
        for variable in kind.variables.values():
            period = variable.period_ms * 10**6
            node = str(asset.nodes[variable.name])
            variables.append(
                Watched("variable", asset.name, variable.name, variable.unit, period, node)
            )
        for model in kind.models.values():
            # A model gives a result as often as its fastest input changes.
            period = min(kind.variables[name].period_ms for name in model.inputs) * 10**6
            models.append(Watched("model", asset.name, model.name, model.unit, period))
    chosen = [
        s for s in variables + models if wanted in ("", s.name, s.asset, f"{s.asset}/{s.name}")
    ]
    if not chosen:
        raise FieldlineError(
            f'"{wanted}" is no variable, model or asset of the site; `fieldline site show` lists '
            "them. Write for example Temperature or Sensors/Temperature."
        )
    if len(chosen) <= most:
        return chosen
    assets = list(dict.fromkeys(s.asset for s in chosen))
    kept = set(assets[:: math.ceil(len(chosen) / most)])
    return [s for s in chosen if s.asset in kept][:most]


class Follower:
    """Takes snapshots; a context manager that polls InfluxDB meanwhile, and makes diagnoses.

    Args:
        store: where InfluxDB is asked, if it can be from here.
        wanted: see `series_of`; poll_seconds: how often InfluxDB is asked for new points.
    """

    def __init__(
        self, site: Site, store: Store, *, wanted: str = "", poll_seconds: float = 0.1
    ) -> None:
        self._series = series_of(site, wanted)
        self._declared = sum(
            len(site.types[a.type].variables) + len(site.types[a.type].models) for a in site.assets
        )
        self._unseen = store.unseen
        self._watch: Watch | None = None
        if store.client is not None:
            self._watch = Watch(store.client, site.influxdb.bucket, self._series, poll_seconds)
        self._probes = Probes(site)
        self._table = HopTable(site)
        self._looker = Looker(site, store, wanted)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="diagnosis")
        self._looking: Future[Diagnosis] | None = None
        self._began = 0.0
        self._pause = self._took = 0.0
        self._diagnosis: Diagnosis | None = None

    def __enter__(self) -> Self:
        if self._watch is not None:
            self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._watch is not None:
            self._watch.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._probes.close()

    def snapshot(self, *, complete: bool = False) -> Snapshot:
        """How it is now; takes as long as the slowest hop, a few seconds at most.

        Args:
            complete: wait for a diagnosis of this very moment.
        """
        readings = self._probes.read()
        if self._watch is not None:
            self._watch.read_qualities()
        at, now_ns = time.monotonic(), time.time_ns()
        hops = self._table.hops(readings, at, now_ns)
        self._diagnose(readings, at, complete=complete)
        # Points have come meanwhile.
        now_ns = time.time_ns()
        watch = self._watch
        if watch is None:
            hops.append(Hop("store", "InfluxDB", self._unseen))
            return self._seen(now_ns, hops, _latency(LatencyHistogram(), None))
        with watch.lock:
            hops.append(self._stored(watch, now_ns))
            values = _latency(watch.latency["variable"], watch.interval)
            results = _latency(watch.latency["model"], watch.interval)
            return self._seen(now_ns, hops, values, results)

    def measure(self) -> None:
        """Take the counters for the rates, and nothing else."""
        readings = self._probes.read()
        self._table.hops(readings, time.monotonic(), time.time_ns())

    def _seen(
        self, now_ns: int, hops: list[Hop], values: Latency, results: Latency | None = None
    ) -> Snapshot:
        return Snapshot(
            now_ns,
            hops,
            [_state(watched, now_ns) for watched in self._series],
            len(self._series),
            self._declared,
            values,
            results or values,
            self._diagnosis,
        )

    def _diagnose(self, readings: Readings, at: float, *, complete: bool) -> None:
        """Take the diagnosis that is ready, and begin the next one when it is due."""
        if self._looking is not None and self._looking.done():
            self._diagnosis = self._looking.result()
            self._looking = None
            self._pause = max(_LEAST_SECONDS, self._took / _SHARE)
        due = at - self._began >= self._pause
        if self._looking is None and (due or complete):
            self._began = at
            self._looking = self._pool.submit(self._look, readings)
        if complete and self._looking is not None:
            wait([self._looking], _PATIENCE)
            if self._looking.done():
                self._diagnosis = self._looking.result()
                self._looking = None

    def _look(self, readings: Readings) -> Diagnosis:
        begin = time.monotonic()
        try:
            return self._looker.look(readings)
        finally:
            self._took = time.monotonic() - begin

    def _stored(self, watch: Watch, now_ns: int) -> Hop:
        if watch.problem:
            reach, words = reach_of_text(watch.problem)
            known = watch.problem if reach == "odd" else f"unreachable: {words}"
            return Hop("store", "InfluxDB", known)
        newest = max((s.times[-1] for s in self._series if s.times), default=None)
        partly = len(self._series) < self._declared
        return Hop(
            "store",
            "InfluxDB",
            OK,
            rate=watch.rate(),
            newest_ns=newest,
            age_s=None if newest is None else (now_ns - newest) / 1e9,
            detail=f"{len(self._series)} of {self._declared} series watched" if partly else "",
        )


def snapshot(site: Site, store: Store, *, wanted: str = "", seconds: float = 1.0) -> Snapshot:
    """One snapshot, with rates over `seconds`; Telegraf's, renewed every 5 s, may be missing."""
    with Follower(site, store, wanted=wanted) as follower:
        follower.measure()
        time.sleep(seconds)
        return follower.snapshot(complete=True)


def _state(watched: Watched, now_ns: int) -> SeriesState:
    times: Sequence[int] = watched.times
    last = times[-1] if times else None
    return SeriesState(
        watched.kind,
        watched.asset,
        watched.name,
        watched.unit,
        watched.values[-1] if watched.values else None,
        watched.status,
        last,
        None if last is None else (now_ns - last) / 1e9,
        list(times),
        list(watched.values),
    )


def _latency(histogram: LatencyHistogram, interval: float | None) -> Latency:
    return Latency(
        histogram.count,
        histogram.percentile(0.5),
        histogram.percentile(0.99),
        histogram.largest,
        histogram.ahead,
        None if interval is None else interval * 1e3,
    )
