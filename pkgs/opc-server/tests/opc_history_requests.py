"""Requests for history as a client makes them, and the earlier run whose record they ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from asyncua import Client, ua
from asyncua.ua.object_ids import ObjectIds
from fieldline.record import RecordVariable, RecordWriter
from opc_server.opcua import at, since_1970

NODES = ["ns=2;s=press1.T", "ns=2;s=press2.T", "ns=2;s=press3.T"]
SECOND = 1_000_000_000
# What an earlier run has recorded, each second, of two of the presses.
EARLIER = 1_700_000_000 * SECOND
COUNT = 700


def fill(directory: Path) -> None:
    variables = [RecordVariable(f"press{n}", "T", f"ns=2;i={n}") for n in (1, 2)]
    writer = RecordWriter(directory / "state" / "record", variables, 36_500 * 86_400_000)
    places = np.arange(2)
    for second in range(COUNT):
        values = second + places / 10
        writer.append(EARLIER + second * SECOND, places, places * 0, values)
    writer.close()


def time(second: float) -> Any:
    return at(EARLIER + round(second * SECOND))


def raw(begin: Any, end: Any, most: int = 0, bounds: bool = False) -> ua.ReadRawModifiedDetails:
    return ua.ReadRawModifiedDetails(False, begin, end, most, bounds)


def counting(begin: Any, end: Any, interval_ms: float, nodes: int = 1) -> ua.ReadProcessedDetails:
    kind = ua.NodeId(ObjectIds.AggregateFunction_Count)
    return ua.ReadProcessedDetails(begin, end, interval_ms, [kind] * nodes)


async def ask(
    client: Client,
    details: Any,
    nodes: list[str],
    points: list[bytes | None] | None = None,
    **changes: Any,
) -> list[ua.HistoryReadResult]:
    """One request, as asyncua's client makes it but for what is said."""
    parameters = ua.HistoryReadParameters()
    parameters.HistoryReadDetails = details
    parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
    parameters.ReleaseContinuationPoints = False
    for node, point in zip(nodes, points or [None] * len(nodes), strict=True):
        one = ua.HistoryReadValueId(ua.NodeId.from_string(node))
        one.ContinuationPoint = point
        parameters.NodesToRead.append(one)
    for name, value in changes.items():
        for changed in (parameters, *parameters.NodesToRead):
            if hasattr(changed, name):
                setattr(changed, name, value)
    if isinstance(details, ua.ReadRawModifiedDetails) and details.EndTime is None:
        details.EndTime = ua.get_win_epoch()
    found: list[ua.HistoryReadResult] = await client.uaclient.history_read(parameters)
    return found


def seen(value: ua.DataValue) -> tuple[Any, ...]:
    """What makes two values the same."""
    return value.SourceTimestamp, value.StatusCode.value, value.Value


def earlier(values: list[ua.DataValue]) -> list[tuple[float, float]]:
    """(seconds after the earlier run's begin, value)."""
    return [
        ((since_1970(value.SourceTimestamp) - EARLIER) / SECOND, value.Value.Value)
        for value in values
    ]
