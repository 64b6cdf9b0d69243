"""Watching InfluxDB: the last values of some series, and when each new point is first seen."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from fieldline.errors import FieldlineError
from fieldline.influx import InfluxClient
from fieldline.influx.layout import (
    MODEL_FIELD,
    MODEL_MEASUREMENT,
    OPC_MEASUREMENT,
    QUALITY_FIELD,
    status_of_quality,
)
from fieldline.influx.series import literal, quoted, read_series
from fieldline.where.rate import LatencyHistogram, RateMeter
from fieldline.where.state import SeriesKind

# How many points of a series are kept for a sparkline.
RECENT = 60

# A series that is so far behind the newest of its name, beyond three of its periods, is left
# behind: its next point is still seen, but what it delivers late is not counted.
_BEHIND_NS = 2_000_000_000

# A poll may take a fifth of the time: the watching must not become the load that it shows.
_SHARE = 0.2


@dataclass(slots=True)
class Watched:
    """A series that is watched; `times` and `values` are its last points, oldest first.

    Attributes:
        id: the node id of a variable.
    """

    kind: SeriesKind
    asset: str
    name: str
    unit: str
    period_ns: int
    id: str = ""
    times: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT))
    values: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    status: int | None = None


class Watch:
    """Polls InfluxDB in a thread and keeps what it has seen; every method may be called from any.

    Args:
        series: what to watch; poll_seconds: the least time between two polls.
    """

    def __init__(
        self,
        client: InfluxClient,
        bucket: str,
        series: Sequence[Watched],
        poll_seconds: float = 0.1,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._series = {(s.kind, s.asset, s.name): s for s in series}
        self._poll_seconds = poll_seconds
        # Names of variables, and one for all models: a statement each.
        self._names = sorted({s.name for s in series if s.kind == "variable"})
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.lock = threading.Lock()
        self.latency = {"variable": LatencyHistogram(), "model": LatencyHistogram()}
        self.problem = "not asked yet"
        self.interval: float | None = None
        self._meter = RateMeter()
        self._seen = 0
        self._begun = False

    def start(self) -> None:
        """Poll in the background until `stop`."""
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the polling; a poll under way is waited for at most 2 s."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def rate(self) -> float | None:
        """New points per second of the watched series."""
        return self._meter.add(time.monotonic(), self._seen)

    def poll(self) -> None:
        """Ask once."""
        try:
            if not self._begun:
                self._first()
                self._begun = True
            else:
                self._next()
            self.problem = ""
        except FieldlineError as error:
            self.problem = error.cause or error.what_to_do

    def read_qualities(self) -> None:
        """Ask for the quality of each variable's last value."""
        statement = (
            f"SELECT last({quoted(QUALITY_FIELD)}) FROM {quoted(OPC_MEASUREMENT)} "
            f'WHERE {self._assets()} GROUP BY "asset", "id"'
        )
        try:
            found = list(read_series(self._client, self._bucket, [statement], texts=True))
        except FieldlineError as error:
            self.problem = error.cause or error.what_to_do
            return
        by_node = {(w.asset, w.id): w for w in self._series.values() if w.kind == "variable"}
        with self.lock:
            for series in found:
                watched = by_node.get((series.tags["asset"], series.tags["id"]))
                if watched is not None:
                    watched.status = status_of_quality(series.texts[-1])

    def _run(self) -> None:
        while not self._stop.is_set():
            begin = time.monotonic()
            self.poll()
            taken = time.monotonic() - begin
            pause = max(self._poll_seconds, taken / _SHARE)
            self.interval = pause if self.interval is None else 0.9 * self.interval + 0.1 * pause
            self._stop.wait(pause - taken)

    def _assets(self) -> str:
        names = sorted({s.asset for s in self._series.values()})
        return "(" + " OR ".join(f'"asset" = {literal(name)}' for name in names) + ")"

    def _ask(
        self, conditions: Sequence[str], ending: str = ""
    ) -> list[tuple[Watched, list[int], list[float]]]:
        """Run a statement per name, and one for the models; gives times and values per series."""
        fields = [(name, OPC_MEASUREMENT, '"asset", "id"') for name in self._names]
        fields.append((MODEL_FIELD, MODEL_MEASUREMENT, '"name", "asset"'))
        statements = [
            f"SELECT {quoted(name)} FROM {quoted(measurement)} "
            f"WHERE {self._assets()} AND {condition} GROUP BY {tags}{ending}"
            for (name, measurement, tags), condition in zip(fields, conditions, strict=True)
        ]
        found = []
        for series in read_series(self._client, self._bucket, statements):
            asset = series.tags["asset"]
            key: tuple[SeriesKind, str, str] = ("model", asset, series.tags.get("name", ""))
            if series.statement < len(self._names):
                key = ("variable", asset, self._names[series.statement])
            watched = self._series.get(key)
            if watched is not None:
                found.append((watched, series.time.tolist(), series.values.tolist()))
        return found

    def _first(self) -> None:
        """What is there already: for the sparkline, not for the latency."""
        everything = ["time > 0"] * (len(self._names) + 1)
        found = self._ask(everything, f" ORDER BY time DESC LIMIT {RECENT}")
        with self.lock:
            for watched, times, values in found:
                watched.times.extend(reversed(times))
                watched.values.extend(reversed(values))

    def _next(self) -> None:
        conditions = [f"time > {self._after('variable', name)}" for name in self._names]
        conditions.append(f"time > {self._after('model', None)}")
        found = self._ask(conditions)
        now = time.time_ns()
        with self.lock:
            for watched, times, values in found:
                histogram = self.latency[watched.kind]
                for at, value in zip(times, values, strict=True):
                    if watched.times and at <= watched.times[-1]:
                        continue
                    watched.times.append(at)
                    watched.values.append(value)
                    histogram.add((now - at) / 1e6)
                    self._seen += 1

    def _after(self, kind: SeriesKind, name: str | None) -> int:
        """The time from which on a statement has to look for new points."""
        newest = [
            (s.times[-1], s.period_ns)
            for s in self._series.values()
            if s.kind == kind and s.times and name in (None, s.name)
        ]
        if not newest:
            return time.time_ns() - 60 * 10**9
        latest = max(at for at, _ in newest)
        return min(at for at, period in newest if at >= latest - 3 * period - _BEHIND_NS)
