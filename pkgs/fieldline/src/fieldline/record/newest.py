"""The newest values of a record, without the hours before them."""

from __future__ import annotations

import http.client
import json
from typing import NamedTuple

from fieldline.errors import FieldlineError
from fieldline.record.client import opener
from fieldline.record.format import (
    ENTRY,
    MAGIC,
    SEGMENT_NAME,
    RecordTable,
    RecordVariable,
    decode_header,
)
from fieldline.record.reader import TableBuilder

# A list of 100,000 variables is some 10 MB; who has no end of it is no segment.
_LARGEST_HEADER = 32 * 1024 * 1024
_PIECE = 256 * 1024


class Newest(NamedTuple):
    """The end of a record.

    Attributes:
        table: its last entries, in the order of their writing.
        variables: those that the server has now, as its newest segment names them; in the table
            there may be others, which it had before.
    """

    table: RecordTable
    variables: tuple[RecordVariable, ...]


def fetch_newest(base_url: str, most: int, *, timeout_s: float = 5.0) -> Newest:
    """Read from an opc-server the end of its record.

    Args:
        base_url: such as `http://192.168.0.5:9101`.
        most: how many entries are enough.
        timeout_s: for each step of the network, in s.
    Raises:
        FieldlineError: the server does not answer, or not with a record.
    """
    base = base_url.rstrip("/") + "/record"
    url = base
    builder = TableBuilder()
    parts: list[bytes] = []
    variables: tuple[RecordVariable, ...] | None = None
    try:
        with opener.open(base, timeout=timeout_s) as answer:
            listed = [(str(item["name"]), int(item["size"])) for item in json.load(answer)]
        # Each hour begins a new segment: a young one does not hold what came a minute before.
        for name, size in sorted(listed, reverse=True):
            if not SEGMENT_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no segment's name")
            url = f"{base}/{name}"
            found = _header(url, timeout_s)
            if found is None:
                continue
            header, listed_there = found
            variables = listed_there if variables is None else variables
            count = (size - len(header)) // ENTRY.itemsize
            if count < 1:
                continue
            offset = len(header) + max(0, count - most) * ENTRY.itemsize
            with opener.open(f"{url}?offset={offset}", timeout=timeout_s) as answer:
                parts.append(header + answer.read())
            most -= count
            if most <= 0:
                break
        for part in reversed(parts):
            builder.add(part)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise FieldlineError(
            f"The record cannot be read from {base_url}. Check that opc-server runs there and that "
            "its metrics port can be reached from here.",
            f"{url}: {error!r}",
        ) from error
    return Newest(builder.table(), variables or ())


def _header(url: str, timeout_s: float) -> tuple[bytes, tuple[RecordVariable, ...]] | None:
    """A segment's bytes before its first entry, and its variables; None if it has just begun."""
    data = bytearray()
    with opener.open(url, timeout=timeout_s) as answer:
        while piece := answer.read(_PIECE):
            data += piece
            end = data.find(b"\n", len(MAGIC))
            if end >= 0 and (found := decode_header(bytes(data[: end + 1]))) is not None:
                return bytes(data[: found[1]]), found[0]
            if len(data) > _LARGEST_HEADER:
                raise ValueError("its list of variables has no end")
    return None
