"""How many values InfluxDB holds: of all variables of an hour, or minute by minute of a few.

A value is counted by its `Quality`: Telegraf writes one with each value, also where there is no
value beside it (a Bad status, a number that JSON can't carry), and InfluxDB keeps one per series
and source time. So each source time counts once, whatever its quality, as the gap filler counts
what was produced.

Flux, not InfluxQL: of 36 million values in 10,000 series it takes a third of the server's time,
since the count is made where the values are read (bench/ledger_count.py). The minutes of a few
series are asked for by InfluxQL, which answers several series' windows in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from fieldline.influx import InfluxClient
from fieldline.influx.bulk import flux_range, flux_text, read_runs
from fieldline.influx.layout import OPC_MEASUREMENT, QUALITY_FIELD
from fieldline.influx.series import literal, quoted, read_series
from fieldline.ledger import Ints
from fieldline.messages.ledger import HOUR_NS
from fieldline.site import Influxdb
from fieldline.verify.catalogue import Catalogue

from ledger.refills import MINUTES

MINUTE_NS = HOUR_NS // MINUTES
# Values that one question counts: about a second of InfluxDB's time, so that no question is long
# against the time after which a service counts as hanging.
_AT_ONCE = 10_000_000


class Store(Protocol):
    """Where values are stored. Source times are ns; a count is shape (variables,)."""

    def hour(self, begin: int, beat: Callable[[], None]) -> Ints:
        """Values of each variable in an hour.

        Args:
            beat: called whenever the count has moved on.
        Raises:
            FieldlineError: it does not answer, or refuses.
        """

    def minutes(self, begin: int, indices: Sequence[int]) -> Ints:
        """Values of some variables in each minute of an hour, shape (len(indices), 60).

        Raises:
            FieldlineError: it does not answer, or refuses.
        """


class InfluxStore:
    """`Store` of a real InfluxDB.

    Args:
        at_once: values that one question counts, about.
    """

    def __init__(
        self,
        client: InfluxClient,
        declared: Influxdb,
        catalogue: Catalogue,
        *,
        at_once: int = _AT_ONCE,
    ) -> None:
        self._client = client
        self._organization = declared.organization
        self._bucket = declared.bucket
        self._variables = catalogue.variables
        self._by_node = {(v.asset, v.id): i for i, v in enumerate(catalogue.variables)}
        values = catalogue.values_per_second() * HOUR_NS / 1e9
        self._parts = min(MINUTES, max(1, round(values / at_once)))

    def hour(self, begin: int, beat: Callable[[], None]) -> Ints:
        """See `Store.hour`."""
        counts = np.zeros(len(self._variables), np.int64)
        step = -(-HOUR_NS // self._parts)
        for since in range(begin, begin + HOUR_NS, step):
            span = flux_range(self._bucket, since, min(since + step, begin + HOUR_NS))
            flux = (
                f"{span} |> filter(fn: (r) => r._measurement == {flux_text(OPC_MEASUREMENT)} "
                f"and r._field == {flux_text(QUALITY_FIELD)}) "
                '|> count() |> keep(columns: ["_value", "asset", "id"])'
            )
            runs = read_runs(self._client, self._organization, flux, ("asset", "id"))
            for run in runs:
                index = self._by_node.get((run.labels[0], run.labels[1]))
                if index is not None:
                    counts[index] += int(run.values.sum())
            beat()
        return counts

    def minutes(self, begin: int, indices: Sequence[int]) -> Ints:
        """See `Store.minutes`."""
        counts = np.zeros((len(indices), MINUTES), np.int64)
        statements = [
            f"SELECT count({quoted(QUALITY_FIELD)}) FROM {quoted(OPC_MEASUREMENT)} "
            f'WHERE "asset" = {literal(self._variables[index].asset)} '
            f'AND "id" = {literal(self._variables[index].id)} '
            f"AND time >= {begin} AND time < {begin + HOUR_NS} GROUP BY time(1m)"
            for index in indices
        ]
        for series in read_series(self._client, self._bucket, statements):
            places = (series.time - begin) // MINUTE_NS
            counts[series.statement, places] = np.nan_to_num(series.values).astype(np.int64)
        return counts
