"""History as OPC UA's binary encoding (OPC 10000-6), many values at once.

asyncua would make four Python objects of each value and encode them one by one. With this, all of a
read costs the server 2.9 µs a value (`bench/opc_server_history.py`).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from asyncua import ua
from numpy.typing import NDArray

from opc_server.opcua import ObjectIds, node_id
from opc_server.status import BAD, GOOD, SEVERITY

# Of an encoded DataValue's mask: which fields are there, in this order.
VALUE, STATUS, SOURCE_TIMESTAMP = 0x01, 0x02, 0x04
# A Variant's kinds.
DOUBLE, INT32 = 11, 6
# OPC UA counts from 1601, in 100 ns.
TICK_NS = 100
TICKS_TO_1970 = 116_444_736_000_000_000

TYPE = node_id(int(ObjectIds.HistoryData_Encoding_DefaultBinary), 0)


def _row(value: str) -> np.dtype[np.void]:
    """A DataValue with all fields; the ones that are not there are left out later."""
    return np.dtype(
        [("mask", "u1"), ("kind", "u1"), ("value", value), ("status", "<u4"), ("time", "<i8")]
    )


_DOUBLES, _INT32S = _row("<f8"), _row("<i4")


def doubles(
    times: NDArray[np.int64], statuses: NDArray[np.uint32], values: NDArray[np.float64]
) -> bytes:
    """Encode values as they were published: a Bad one has no value.

    Args:
        times: source times, ns since 1970; shape (n,).
        statuses: OPC UA status codes, shape (n,).
        values: shape (n,).
    Returns:
        The DataValues, without their number.
    """
    there = statuses & SEVERITY < BAD
    return _encode(_DOUBLES, DOUBLE, times, statuses, values, there)[0]


def int32s(
    times: NDArray[np.int64],
    statuses: NDArray[np.uint32],
    values: NDArray[np.int64],
    there: NDArray[np.bool_],
) -> list[bytes]:
    """Encode whole numbers of several variables, where they are `there`; else as `doubles`.

    Args:
        times, there: shape (n,). statuses, values: shape (variables, n).
    Returns:
        Of each variable, as of `doubles`.
    """
    at, given = np.tile(times, len(values)), np.tile(there, len(values))
    data, keep = _encode(_INT32S, INT32, at, statuses.ravel(), values.ravel(), given)
    ends = keep.reshape(*values.shape, keep.shape[1]).sum(axis=(1, 2)).cumsum().tolist()
    return [data[begin:end] for begin, end in pairwise([0, *ends])]


def _encode(
    row: np.dtype[np.void],
    kind: int,
    times: NDArray[np.int64],
    statuses: NDArray[np.uint32],
    values: NDArray[Any],
    there: NDArray[np.bool_],
) -> tuple[bytes, NDArray[np.bool_]]:
    """The rows, and which of all their bytes are there, shape (n, bytes of a whole row)."""
    coded = statuses != GOOD
    rows = np.empty(len(times), row)
    rows["mask"] = SOURCE_TIMESTAMP + VALUE * there + STATUS * coded
    rows["kind"] = kind
    rows["value"] = values
    rows["status"] = statuses
    rows["time"] = times // TICK_NS + TICKS_TO_1970
    keep = np.ones((len(rows), row.itemsize), np.bool_)
    fields = row.fields
    assert fields is not None, "a row has fields"
    value, status, time = (fields[name][1] for name in ("value", "status", "time"))
    keep[:, value - 1 : status] = there[:, None]
    keep[:, status:time] = coded[:, None]
    data: bytes = rows.view(np.uint8).reshape(keep.shape)[keep].tobytes()
    return data, keep


def history_data(count: int, values: bytes) -> Any:
    """`count` encoded DataValues as the HistoryData that asyncua sends."""
    body: Any = count.to_bytes(4, "little") + values
    return ua.ExtensionObject(TYPE, body)
