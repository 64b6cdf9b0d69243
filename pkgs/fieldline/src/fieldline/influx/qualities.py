"""The qualities of values: each value has one, also where there is no value beside it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fieldline.influx.bulk import flux_range, flux_text, read_runs
from fieldline.influx.client import InfluxClient
from fieldline.influx.layout import OPC_MEASUREMENT, QUALITY_FIELD


def quality_filter(bucket: str, since_ns: int, until_ns: int, condition: str = "") -> str:
    """The beginning of a query over the qualities in [since, until).

    Args:
        condition: a further one, which begins with ` and `.
    """
    which = (
        f"r._measurement == {flux_text(OPC_MEASUREMENT)} "
        f"and r._field == {flux_text(QUALITY_FIELD)}{condition}"
    )
    return f"{flux_range(bucket, since_ns, until_ns)} |> filter(fn: (r) => {which})"


def count_qualities(
    client: InfluxClient,
    organization: str,
    flux: str,
    by_node: Mapping[tuple[str, str], int],
    variables: int,
) -> NDArray[np.int64]:
    """How many qualities there are of each variable, shape (variables,).

    Args:
        flux: a `quality_filter`.
        by_node: the place of a variable by its asset and node id; others do not count.
    Raises:
        FieldlineError: InfluxDB refuses, breaks off or does not answer.
    """
    counts = np.zeros(variables, np.int64)
    counting = f'{flux} |> count() |> keep(columns: ["_value", "asset", "id"])'
    for run in read_runs(client, organization, counting, ("asset", "id")):
        index = by_node.get((run.labels[0], run.labels[1]))
        if index is not None:
            counts[index] += int(run.values.sum())
    return counts
