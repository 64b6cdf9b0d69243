"""What is in InfluxDB, read without the short cuts of `fieldline verify`.

Each quality is read as it is stored. A series or a tag that nobody declared is counted, and each
row is kept: two rows of one identity are two points.
"""

from dataclasses import dataclass

import numpy as np
from fieldline.influx import InfluxClient
from fieldline.influx.bulk import Run, flux_range, flux_text, read_runs
from fieldline.influx.layout import (
    MODEL_FIELD,
    MODEL_MEASUREMENT,
    OPC_MEASUREMENT,
    QUALITY_FIELD,
    UNKNOWN_STATUS,
    status_of_quality,
)
from fieldline.site import Influxdb
from fieldline.verify.catalogue import Catalogue
from fieldline.verify.points import Ints, Points, joined, points, positions, settled
from fieldline.verify.store import InfluxStore

from .check import with_statuses

_REVISION_FIELD = "revision"
# The revision of a result that is stored without one.
NO_REVISION = -1


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Points of a place, and how many there are of series that nobody declared."""

    points: Points
    undeclared: int = 0


class Database:
    """The plant's InfluxDB; `client` reads it."""

    def __init__(self, client: InfluxClient, declared: Influxdb, catalogue: Catalogue) -> None:
        self.client = client
        self._declared = declared
        self._store = InfluxStore(client, declared, catalogue)
        self._by_name = {(v.variable, v.asset, v.id): i for i, v in enumerate(catalogue.variables)}
        self._by_node = {(v.asset, v.id): i for i, v in enumerate(catalogue.variables)}
        self._models = catalogue.model_index

    def newest(self, since: int, until: int) -> tuple[Ints, Ints]:
        """The newest time of each variable and of each model in [since, until); 0 where none is."""
        return self._store.newest(since, until)

    def values(self, since: int, until: int) -> Found:
        """All values with source times in [since, until), each with its quality."""
        labels = ("_field", "asset", "id")
        others = f" and r._field != {flux_text(QUALITY_FIELD)}"
        parts, undeclared = [], 0
        for run in self._runs(OPC_MEASUREMENT, since, until, others, labels):
            index = self._by_name.get((run.labels[0], run.labels[1], run.labels[2]))
            undeclared += len(run.time) if index is None else 0
            if index is not None:
                parts.append(_points(index, run))
        values = joined(parts)
        qualities, strange = self._qualities(since, until)
        return Found(_with(values, qualities, UNKNOWN_STATUS), undeclared + strange)

    def results(self, since: int, until: int) -> Found:
        """All results in [since, until); `status` is the revision."""
        labels = ("name", "asset")
        columns = []
        undeclared = 0
        for field in (MODEL_FIELD, _REVISION_FIELD):
            parts = []
            condition = f" and r._field == {flux_text(field)}"
            for run in self._runs(MODEL_MEASUREMENT, since, until, condition, labels):
                index = self._models.get((run.labels[1], run.labels[0]))
                undeclared += len(run.time) if index is None else 0
                if index is not None:
                    parts.append(_points(index, run))
            columns.append(joined(parts))
        values, revisions = columns
        number = np.nan_to_num(revisions.value, nan=NO_REVISION).astype(np.int64)
        given = with_statuses(revisions.series, revisions.time, revisions.value, number)
        return Found(_with(values, given, NO_REVISION), undeclared)

    def _qualities(self, since: int, until: int) -> tuple[Points, int]:
        parts, strange = [], 0
        condition = f" and r._field == {flux_text(QUALITY_FIELD)}"
        for run in self._runs(
            OPC_MEASUREMENT, since, until, condition, ("asset", "id"), texts=True
        ):
            index = self._by_node.get((run.labels[0], run.labels[1]))
            strange += len(run.time) if index is None else 0
            if index is not None:
                status = np.array([status_of_quality(text) for text in run.texts], np.uint32)
                none = np.full(len(run.time), np.nan)
                parts.append(points(np.full(len(run.time), index), run.time, none, status))
        return joined(parts), strange

    def _runs(
        self,
        measurement: str,
        since: int,
        until: int,
        condition: str,
        labels: tuple[str, ...],
        *,
        texts: bool = False,
    ) -> list[Run]:
        kept = ", ".join(flux_text(column) for column in ("_time", "_value", *labels))
        flux = (
            f"{flux_range(self._declared.bucket, since, until)} "
            f"|> filter(fn: (r) => r._measurement == {flux_text(measurement)}{condition}) "
            f"|> keep(columns: [{kept}])"
        )
        organization = self._declared.organization
        return list(read_runs(self.client, organization, flux, labels, texts=texts))


def _points(index: int, run: Run) -> Points:
    return points(np.full(len(run.time), index, np.int64), run.time, run.values, None)


def _with(values: Points, statuses: Points, none: int) -> Points:
    """Values with the status of the same series and time, or `none`; and statuses without a value
    as points of their own, whose value is NaN."""
    sorted_statuses, _twice = settled(statuses)
    place = positions(values, sorted_statuses)
    status = np.full(len(values), none, np.int64)
    status[place >= 0] = sorted_statuses.status[place[place >= 0]]
    sorted_values, _twice = settled(values)
    alone = statuses.where(positions(statuses, sorted_values) < 0)
    lonely = points(alone.series, alone.time, np.full(len(alone), np.nan), alone.status)
    return joined([with_statuses(values.series, values.time, values.value, status), lonely])
