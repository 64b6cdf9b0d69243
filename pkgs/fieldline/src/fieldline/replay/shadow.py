"""Where results of a replay are kept: a measurement of their own, tagged with the run.

An analysis, not telemetry: it does not come through Kafka (docs/decisions/0018).
"""

from __future__ import annotations

import re
from typing import Final

from fieldline.errors import FieldlineError
from fieldline.influx import InfluxClient
from fieldline.influx.client import refused
from fieldline.influx.layout import MODEL_FIELD
from fieldline.site import Influxdb
from fieldline.verify.catalogue import Catalogue
from fieldline.verify.points import Points

REPLAY_MEASUREMENT: Final = "model_replay"

# Points per request: about a megabyte of line protocol, which InfluxDB takes at once.
_BATCH = 10_000
_RUN = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
# All that InfluxDB can hold.
_BEGIN, _END = "1677-09-21T00:12:44Z", "2262-04-11T23:47:16Z"


def check_run(name: str) -> None:
    """Refuse a run's name that would have to be escaped.

    Raises:
        FieldlineError: it is none.
    """
    if _RUN.fullmatch(name) is None:
        raise FieldlineError(f"--run {name!r}: write up to 64 letters, digits and any of _ . : -")


class Shadow:
    """The measurement of replayed results in a bucket; needs a token that may write there."""

    def __init__(self, client: InfluxClient, declared: Influxdb) -> None:
        self._client = client
        self._query = {"org": declared.organization, "bucket": declared.bucket}

    def write(self, results: Points, catalogue: Catalogue, run: str) -> None:
        """Write results; `series` is the model's index.

        Raises:
            FieldlineError: InfluxDB refuses or does not answer.
        """
        # A name is letters, digits, `_` and `-` (lib/names.nix): nothing has to be escaped.
        heads = [
            f"{REPLAY_MEASUREMENT},asset={model.asset},name={model.name},run={run} {MODEL_FIELD}="
            for model in catalogue.models
        ]
        columns = (results.series.tolist(), results.value.tolist(), results.time.tolist())
        lines = [f"{heads[i]}{value!r} {time}" for i, value, time in zip(*columns, strict=True)]
        query = {**self._query, "precision": "ns"}
        for begin in range(0, len(lines), _BATCH):
            body = "\n".join(lines[begin : begin + _BATCH]).encode()
            status, data = self._client.request("POST", "/api/v2/write", query=query, body=body)
            if status != 204:
                raise refused("take the replayed results", status, data)

    def delete(self, run: str | None) -> None:
        """Remove a run, or all of them.

        Raises:
            FieldlineError: InfluxDB refuses or does not answer.
        """
        predicate = f'_measurement="{REPLAY_MEASUREMENT}"'
        if run is not None:
            predicate += f' AND run="{run}"'
        body = {"start": _BEGIN, "stop": _END, "predicate": predicate}
        self._client.json(
            "POST",
            "/api/v2/delete",
            query=self._query,
            body=body,
            what="remove replayed results",
        )
