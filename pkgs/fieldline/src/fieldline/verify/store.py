"""The stored side: points of InfluxDB as columns, by the catalogue's indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fieldline.influx import InfluxClient
from fieldline.influx.bulk import Run, flux_one_of, flux_range, flux_text, read_runs
from fieldline.influx.layout import (
    BAD_QUALITY,
    GOOD_QUALITY,
    MODEL_FIELD,
    MODEL_MEASUREMENT,
    OPC_MEASUREMENT,
    OTHER_FIELDS,
    QUALITY_FIELD,
    UNKNOWN_STATUS,
    status_of_quality,
)
from fieldline.influx.qualities import count_qualities, quality_filter
from fieldline.influx.series import quoted, read_series
from fieldline.site import Influxdb
from fieldline.verify.catalogue import Catalogue
from fieldline.verify.points import (
    Floats,
    Ints,
    Points,
    joined,
    no_points,
    points,
    positions,
    settled,
)

_OPC_LABELS = ("_field", "asset", "id")
_MODEL_LABELS = ("name", "asset")


@dataclass(frozen=True, slots=True)
class Unknown:
    """Stored points of a series that is not declared; `time` is that of the first."""

    asset: str
    name: str
    time: int
    count: int
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """The points of a span of time, and what else lies there."""

    points: Points
    unknown: list[Unknown]


class Store(Protocol):
    """Where values and results are stored; a span is [since, until) in ns."""

    def values(self, since: int, until: int) -> Stored:
        """All values, with their statuses."""

    def results(self, since: int, until: int) -> Stored:
        """All results of models."""

    def latest_before(self, until: int) -> Floats:
        """The last usable value of each variable before `until`; NaN where there is none."""

    def newest(self, since: int, until: int) -> tuple[Ints, Ints]:
        """The newest time of each variable and of each model; 0 where there is none."""


class InfluxStore:
    """`Store` of a real InfluxDB.

    Args:
        narrow: read just what the catalogue has, where it is a part of what is declared; what else
            lies there is not told then.
    """

    def __init__(
        self,
        client: InfluxClient,
        declared: Influxdb,
        catalogue: Catalogue,
        *,
        narrow: bool = False,
    ) -> None:
        self._client = client
        self._organization = declared.organization
        self._bucket = declared.bucket
        self._catalogue = catalogue
        # A variable's series is told by its name, asset and node id; its quality, in the same
        # measurement, by asset and node id.
        self._by_name = {(v.variable, v.asset, v.id): i for i, v in enumerate(catalogue.variables)}
        self._by_node = {(v.asset, v.id): i for i, v in enumerate(catalogue.variables)}
        self._fields = self._assets = self._models = ""
        if narrow:
            self._fields = _any_of("_field", catalogue.names())
            self._assets = _any_of("asset", [v.asset for v in catalogue.variables])
            self._models = _any_of("name", [m.name for m in catalogue.models])

    def values(self, since: int, until: int) -> Stored:
        """See `Store.values`.

        Good qualities are not read, only counted: the text is most of what a value takes. Where
        the count is not that of the values, all of them are read.
        """
        others = " and ".join(f"r._field != {flux_text(field)}" for field in OTHER_FIELDS)
        others += self._fields
        parts: list[tuple[int, Run]] = []
        unknown: dict[tuple[str, ...], Unknown] = {}
        for run in self._runs(OPC_MEASUREMENT, since, until, others, _OPC_LABELS):
            index = self._by_name.get((run.labels[0], run.labels[1], run.labels[2]))
            if index is None:
                _note(unknown, run, run.labels[1], run.labels[0], f"node {run.labels[2]}")
            else:
                parts.append((index, run))
        found = _of_runs(parts)
        special = self._qualities(since, until, f" and r._value != {flux_text(GOOD_QUALITY)}")
        result = _with_status(found, special, 0)
        count = np.bincount(result.series, minlength=len(self._catalogue.variables))
        if not np.array_equal(count, self._quality_counts(since, until)):
            every = self._qualities(since, until, "")
            result = _with_status(found, every, UNKNOWN_STATUS)
        return Stored(result, list(unknown.values()))

    def results(self, since: int, until: int) -> Stored:
        """See `Store.results`."""
        parts: list[tuple[int, Run]] = []
        unknown: dict[tuple[str, ...], Unknown] = {}
        condition = f"r._field == {flux_text(MODEL_FIELD)}{self._models}"
        for run in self._runs(MODEL_MEASUREMENT, since, until, condition, _MODEL_LABELS):
            name, asset = run.labels
            index = self._catalogue.model_index.get((asset, name))
            if index is None:
                _note(unknown, run, asset, name, "")
            else:
                parts.append((index, run))
        return Stored(_of_runs(parts), list(unknown.values()))

    def latest_before(self, until: int) -> Floats:
        """See `Store.latest_before`."""
        latest = np.full(len(self._catalogue.variables), np.nan)
        names = self._catalogue.names()
        condition = f'time < {until} AND "{QUALITY_FIELD}" !~ {BAD_QUALITY}'
        statements = [self._last(name, OPC_MEASUREMENT, condition, "asset", "id") for name in names]
        for series in read_series(self._client, self._bucket, statements):
            key = (names[series.statement], series.tags["asset"], series.tags["id"])
            if key in self._by_name and len(series.values):
                latest[self._by_name[key]] = series.values[-1]
        return latest

    def newest(self, since: int, until: int) -> tuple[Ints, Ints]:
        """See `Store.newest`."""
        names = self._catalogue.names()
        span = f"time >= {since} AND time < {until}"
        statements = [self._last(name, OPC_MEASUREMENT, span, "asset", "id") for name in names]
        statements.append(self._last(MODEL_FIELD, MODEL_MEASUREMENT, span, "name", "asset"))
        values = np.zeros(len(self._catalogue.variables), np.int64)
        results = np.zeros(len(self._catalogue.models), np.int64)
        for series in read_series(self._client, self._bucket, statements):
            tags = series.tags
            if series.statement < len(names):
                key = (names[series.statement], tags["asset"], tags["id"])
                if key in self._by_name:
                    values[self._by_name[key]] = series.time[-1]
            elif (tags["asset"], tags["name"]) in self._catalogue.model_index:
                index = self._catalogue.model_index[tags["asset"], tags["name"]]
                results[index] = series.time[-1]
        return values, results

    def _runs(
        self, measurement: str, since: int, until: int, condition: str, labels: tuple[str, ...]
    ) -> list[Run]:
        kept = ", ".join(flux_text(column) for column in ("_time", "_value", *labels))
        flux = (
            f"{flux_range(self._bucket, since, until)} "
            f"|> filter(fn: (r) => r._measurement == {flux_text(measurement)} and {condition}"
            f"{self._assets}) "
            f"|> keep(columns: [{kept}])"
        )
        return list(read_runs(self._client, self._organization, flux, labels))

    def _qualities(self, since: int, until: int, condition: str) -> Points:
        """Stored qualities as points without a value."""
        kept = '"_time", "_value", "asset", "id"'
        qualities = quality_filter(self._bucket, since, until, condition + self._assets)
        flux = f"{qualities} |> keep(columns: [{kept}])"
        parts = []
        for run in read_runs(self._client, self._organization, flux, ("asset", "id"), texts=True):
            index = self._by_node.get((run.labels[0], run.labels[1]))
            if index is not None:
                status = np.array([status_of_quality(text) for text in run.texts], np.uint32)
                none = np.full(len(run.time), np.nan)
                parts.append(points(np.full(len(run.time), index), run.time, none, status))
        return joined(parts)

    def _quality_counts(self, since: int, until: int) -> NDArray[np.int64]:
        return count_qualities(
            self._client,
            self._organization,
            quality_filter(self._bucket, since, until, self._assets),
            self._by_node,
            len(self._catalogue.variables),
        )

    def _last(self, field: str, measurement: str, condition: str, *tags: str) -> str:
        groups = ", ".join(quoted(tag) for tag in tags)
        return (
            f"SELECT last({quoted(field)}) FROM {quoted(measurement)} "
            f"WHERE {condition} GROUP BY {groups}"
        )


# A condition of more names takes longer than the points that it leaves out.
_MOST_NAMES = 100


def _any_of(column: str, names: Sequence[str]) -> str:
    """A further condition for a filter: the column is one of the names; empty if they are many."""
    different = sorted(set(names))
    if len(different) > _MOST_NAMES:
        return ""
    return f" and {flux_one_of(column, different)}"


def _of_runs(parts: Sequence[tuple[int, Run]]) -> Points:
    """The points of runs, each with the index of its series."""
    if not parts:
        return no_points()
    index = np.array([index for index, _ in parts], np.int64)
    lengths = np.array([len(run.time) for _, run in parts])
    return points(
        np.repeat(index, lengths),
        np.concatenate([run.time for _, run in parts]),
        np.concatenate([run.values for _, run in parts]),
        None,
    )


def _with_status(found: Points, qualities: Points, default: int) -> Points:
    """Values with their statuses, and qualities without a value as points of their own."""
    sorted_qualities, _twice = settled(qualities)
    place = positions(found, sorted_qualities)
    status = np.full(len(found), default, np.uint32)
    status[place >= 0] = sorted_qualities.status[place[place >= 0]]
    given = Points(found.series, found.time, found.value, status)
    sorted_found, _twice = settled(found)
    return joined([given, qualities.where(positions(qualities, sorted_found) < 0)])


def _note(
    unknown: dict[tuple[str, ...], Unknown], run: Run, asset: str, name: str, detail: str
) -> None:
    """Count a series that is not declared."""
    before = unknown.get(run.labels)
    count = len(run.time) + (before.count if before else 0)
    time = before.time if before else int(run.time[0])
    unknown[run.labels] = Unknown(asset, name, time, count, f"{detail} is not declared".strip())
