"""How many values InfluxDB holds: of all variables of an hour, or minute by minute of a few.

A value is counted by its `Quality`: Telegraf writes one with each value, also where there is no
value beside it (a Bad status, a number that JSON can't carry), and InfluxDB keeps one per series
and source time. So each source time counts once, whatever its quality, as the gap filler counts
what was produced.

Flux, not InfluxQL: of 36 million values in 10,000 series it takes a third of the server's time,
since the count is made where the values are read (bench/ledger_count.py). The minutes of a few
series are asked for by InfluxQL, which answers several series' windows in one go.

While InfluxDB counts, what comes meanwhile waits for it: an hour is counted by many short
questions, of some assets each, and whoever asks them leaves it time between two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from fieldline.influx import InfluxClient
from fieldline.influx.bulk import flux_one_of
from fieldline.influx.layout import OPC_MEASUREMENT, QUALITY_FIELD
from fieldline.influx.qualities import count_qualities, quality_filter
from fieldline.influx.series import literal, quoted, read_series
from fieldline.ledger import Ints
from fieldline.messages.ledger import HOUR_NS
from fieldline.site import Influxdb
from fieldline.verify.catalogue import Catalogue

from ledger.refills import MINUTES

MINUTE_NS = HOUR_NS // MINUTES
# Values that one question counts: about a tenth of a second of InfluxDB's time. A series that it
# looks at costs as much as so many values. bench/ledger_count.py.
_AT_ONCE = 500_000
_SERIES = 1_000


class Store(Protocol):
    """Where values are stored. Source times are ns; a count is shape (variables,)."""

    @property
    def parts(self) -> int:
        """Questions in which an hour is counted."""

    def hour(self, begin: int, part: int) -> Ints:
        """Values of each variable in a part of an hour; all parts' sum is the hour's.

        Raises:
            FieldlineError: it does not answer, or refuses.
        """

    def minutes(self, begin: int, indices: Sequence[int]) -> Ints:
        """Values of some variables in each minute of an hour, shape (len(indices), 60).

        Raises:
            FieldlineError: it does not answer, or refuses.
        """


@dataclass(frozen=True, slots=True)
class _Part:
    """Of an hour: the assets, all where there are none, and since and until when, ns."""

    assets: tuple[str, ...]
    since: int
    until: int


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
        self._parts = list(_parts(catalogue, at_once))

    @property
    def parts(self) -> int:
        """See `Store.parts`."""
        return len(self._parts)

    def hour(self, begin: int, part: int) -> Ints:
        """See `Store.hour`."""
        asked = self._parts[part]
        which = f" and {flux_one_of('asset', asked.assets)}" if asked.assets else ""
        return count_qualities(
            self._client,
            self._organization,
            quality_filter(self._bucket, begin + asked.since, begin + asked.until, which),
            self._by_node,
            len(self._variables),
        )

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


def _parts(catalogue: Catalogue, at_once: int) -> Iterator[_Part]:
    """Groups of assets that are counted at once; of one that is too large, a part of the hour."""
    costs: dict[str, float] = {}
    for variable in catalogue.variables:
        values = HOUR_NS / 1e6 / variable.period_ms
        costs[variable.asset] = costs.get(variable.asset, 0.0) + values + _SERIES
    groups: list[list[str]] = [[]]
    room = float(at_once)
    for asset, cost in costs.items():
        if groups[-1] and cost > room:
            groups.append([])
            room = float(at_once)
        groups[-1].append(asset)
        room -= cost
    for group in groups:
        times = min(MINUTES, max(1, round(sum(costs[asset] for asset in group) / at_once)))
        step = -(-HOUR_NS // times)
        assets = tuple(group) if len(groups) > 1 else ()
        for since in range(0, HOUR_NS, step):
            yield _Part(assets, since, min(since + step, HOUR_NS))
