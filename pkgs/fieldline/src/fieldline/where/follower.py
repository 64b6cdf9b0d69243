"""Snapshots of a site, one after the other."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from fieldline.errors import FieldlineError
from fieldline.influx import InfluxClient
from fieldline.site import Site
from fieldline.where.hops import HopTable
from fieldline.where.probes import Probes
from fieldline.where.rate import LatencyHistogram
from fieldline.where.state import OK, Hop, Latency, SeriesState, Snapshot
from fieldline.where.watch import Watch, Watched

# Series that are watched in InfluxDB: more than fit on a screen, few enough for a poll of some ms.
MOST_WATCHED = 200


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
    """Takes snapshots; a context manager that polls InfluxDB meanwhile.

    Args:
        wanted: see `series_of`; poll_seconds: how often InfluxDB is asked for new points.
    """

    def __init__(
        self, site: Site, client: InfluxClient, *, wanted: str = "", poll_seconds: float = 0.1
    ) -> None:
        self._series = series_of(site, wanted)
        self._declared = sum(
            len(site.types[a.type].variables) + len(site.types[a.type].models) for a in site.assets
        )
        self._watch = Watch(client, site.influxdb.bucket, self._series, poll_seconds)
        self._probes = Probes(site)
        self._table = HopTable(site)

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watch.stop()
        self._probes.close()

    def snapshot(self) -> Snapshot:
        """How it is now; takes as long as the slowest hop, a few seconds at most."""
        readings = self._probes.read()
        self._watch.read_qualities()
        at, now_ns = time.monotonic(), time.time_ns()
        hops = self._table.hops(readings, at, now_ns)
        watch = self._watch
        with watch.lock:
            hops.append(self._store(now_ns))
            return Snapshot(
                now_ns,
                hops,
                [_state(watched, now_ns) for watched in self._series],
                len(self._series),
                self._declared,
                _latency(watch.latency["variable"], watch.interval),
                _latency(watch.latency["model"], watch.interval),
            )

    def _store(self, now_ns: int) -> Hop:
        watch = self._watch
        if watch.problem:
            return Hop("store", "InfluxDB", watch.problem)
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


def snapshot(
    site: Site, client: InfluxClient, *, wanted: str = "", seconds: float = 1.0
) -> Snapshot:
    """One snapshot, with rates over `seconds`; Telegraf's, renewed every 5 s, may be missing."""
    with Follower(site, client, wanted=wanted) as follower:
        follower.snapshot()
        time.sleep(seconds)
        return follower.snapshot()


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
