"""The ledger as InfluxDB has it."""

from __future__ import annotations

from collections.abc import Callable

from fieldline.influx import InfluxClient
from fieldline.influx.bulk import flux_range, flux_text, read_runs
from fieldline.ledger.counts import FIELDS, Counts
from fieldline.messages.ledger import HOUR_NS, MEASUREMENT, hour_of
from fieldline.site import Influxdb
from fieldline.verify.catalogue import Catalogue

_LABELS = ("_field", "asset", "variable")


def read_hours(
    client: InfluxClient,
    declared: Influxdb,
    catalogue: Catalogue,
    since: int,
    until: int,
    progress: Callable[[str], None] = lambda _text: None,
) -> dict[int, Counts]:
    """The hours of [since, until) of which something is told, by their begin, in their order.

    Args:
        since, until: ns since 1970 UTC; the hours in which they lie are among them.
    Raises:
        FieldlineError: InfluxDB does not answer, or refuses.
    """
    found: dict[int, Counts] = {}
    flux = (
        f"{flux_range(declared.bucket, hour_of(since), until)} "
        f"|> filter(fn: (r) => r._measurement == {flux_text(MEASUREMENT)}) "
        '|> keep(columns: ["_time", "_value", "_field", "asset", "variable"])'
    )
    rows = 0
    for run in read_runs(client, declared.organization, flux, _LABELS):
        field, asset, variable = run.labels
        index = catalogue.variable_index.get((asset, variable))
        # A variable that was renamed, a field of a later release: nothing to show.
        if index is None or field not in FIELDS:
            continue
        for hour, value in zip(run.time.tolist(), run.values.tolist(), strict=True):
            if hour % HOUR_NS == 0:
                if hour not in found:
                    found[hour] = Counts(len(catalogue.variables))
                found[hour].of(field)[index] = int(value)
        rows += len(run.time)
        progress(f"reading the ledger, {rows} counts")
    return dict(sorted(found.items()))
