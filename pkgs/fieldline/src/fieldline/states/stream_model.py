"""The state of `stream-model`: what it waits for, which models fail, why records are refused.

    {"version": "0.1.0", "partitions": [0, 1], "waiting": "", "waiting_since_ns": null,
     "failing": [{"model": "sensors.model1", "error": "ZeroDivisionError: ...",
       "last_ns": 1700000000000000000}],
     "refused": [{"reason": "bad-quality", "records": 12, "last_ns": 1700000000000000000}]}

All times are this service's wall clock, ns since 1970 UTC.
"""

from __future__ import annotations

import msgspec


class FailingModel(msgspec.Struct, frozen=True):
    """A model whose function fails, so that results are left out.

    model: TYPE.MODEL, as in the metrics; error: as the function raised it, for the last time then.
    """

    model: str
    error: str
    last_ns: int


class RefusedRecords(msgspec.Struct, frozen=True):
    """Records that were put into the dead-letter topic for one reason, since the start."""

    reason: str
    records: int
    last_ns: int


class StreamModelState(msgspec.Struct, frozen=True):
    """Everything that one stream model tells.

    partitions: of the input that it works on. waiting: what it cannot go on without, and what to
        do, in plain words; empty while it works.
    """

    version: str
    partitions: list[int] = []
    waiting: str = ""
    waiting_since_ns: int | None = None
    failing: list[FailingModel] = []
    refused: list[RefusedRecords] = []
