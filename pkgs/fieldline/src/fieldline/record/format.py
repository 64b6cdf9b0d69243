"""The record's format: segments of fixed-size entries behind a header.

A record is a directory of segments. A segment is named `%020d.rec` by the source time, in ns, of
the first entry it was begun for, and holds
- the line `FLREC1`,
- one line of JSON, the list of variables `[{"asset", "variable", "id"}, …]`,
- entries of 24 bytes (`ENTRY`, little-endian): index into that list, OPC UA status code, source
  time in ns, value (NaN where the status is Bad).

Entries are only ever appended. Within a segment each source time lies in
[name - LATENESS_NS, name + SEGMENT_SPAN_NS); nothing is promised across segments, since a host
without a clock of its own may start again in its past. A source time is above zero: after a power
cut a file system may show zeros where the last entries should be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fieldline.errors import FieldlineError

MAGIC = b"FLREC1\n"
ENTRY = np.dtype([("variable", "<u4"), ("status", "<u4"), ("time", "<i8"), ("value", "<f8")])
SEGMENT_SPAN_NS = 3_600_000_000_000
# A source may give a value after the tick that it belongs to (a slow sensor); it is given up
# after 30 s, so a minute is enough.
LATENESS_NS = 60_000_000_000
SEGMENT_NAME = re.compile(r"[0-9]{20}\.rec")


class RecordFormatError(FieldlineError):
    """A segment is not one, or of a version that is not known here."""


class RecordVariable(NamedTuple):
    """A recorded variable: its asset, its name and its OPC UA node id as text."""

    asset: str
    variable: str
    id: str


@dataclass(frozen=True, slots=True)
class RecordTable:
    """Entries in the order in which they were written, as columns of one length.

    Attributes:
        variables: what `variable` points into.
        variable: uint32, index into `variables`.
        status: uint32, OPC UA status code.
        time: int64, source time, ns since 1970 in UTC.
        value: float64, in the variable's unit; NaN where the status is Bad.
    """

    variables: tuple[RecordVariable, ...]
    variable: NDArray[np.uint32]
    status: NDArray[np.uint32]
    time: NDArray[np.int64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.time)


def segment_name(time_ns: int) -> str:
    """Name of the segment that begins with the source time `time_ns`."""
    return f"{time_ns:020d}.rec"


def segment_begin(name: str) -> int:
    """Source time, in ns, in a segment's name."""
    return int(name[:20])


def may_hold(name: str, since_ns: int | None, until_ns: int | None) -> bool:
    """Tell whether a segment of this name may hold source times in [since, until)."""
    begin = segment_begin(name)
    if until_ns is not None and begin - LATENESS_NS >= until_ns:
        return False
    return since_ns is None or begin + SEGMENT_SPAN_NS > since_ns


def is_entry(
    entries: NDArray[np.void], variables: int, begin_ns: int | None = None
) -> NDArray[np.bool_]:
    """Tell which of `entries` can be entries at all, and not what a damaged disk gives for them.

    Args:
        entries: of the type `ENTRY`, shape (n,).
        variables: how many the segment lists.
        begin_ns: the time in the segment's name, or None where it has none.
    Returns:
        shape (n,).
    """
    time = entries["time"]
    right: NDArray[np.bool_] = (time >= 1) & (entries["variable"] < variables)
    if begin_ns is not None:
        right &= (time >= begin_ns - LATENESS_NS) & (time < begin_ns + SEGMENT_SPAN_NS)
    return right


def encode_header(variables: Sequence[RecordVariable]) -> bytes:
    """The bytes a segment begins with."""
    listed = [variable._asdict() for variable in variables]
    text = json.dumps(listed, ensure_ascii=False, separators=(",", ":"))
    return MAGIC + text.encode() + b"\n"


def decode_header(data: bytes) -> tuple[tuple[RecordVariable, ...], int] | None:
    """Read a segment's header.

    Returns:
        The variables and the offset of the first entry; None where the header is cut short.
    Raises:
        RecordFormatError: this is no segment of this version.
    """
    if not data.startswith(MAGIC):
        if MAGIC.startswith(data):
            return None
        raise RecordFormatError(
            "This is no segment of a record that this version of Fieldline can read.",
            f"it begins with {data[:16]!r}, not with {MAGIC!r}",
        )
    end = data.find(b"\n", len(MAGIC))
    if end < 0:
        return None
    try:
        listed = json.loads(data[len(MAGIC) : end])
        variables = tuple(
            RecordVariable(str(item["asset"]), str(item["variable"]), str(item["id"]))
            for item in listed
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordFormatError(
            "The list of variables of a record's segment cannot be read; remove that segment.",
            repr(error),
        ) from error
    return variables, end + 1
