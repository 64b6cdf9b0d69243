"""Many points of many series as NumPy arrays, read through Flux.

Measured on InfluxDB 2.7.12, 10,000 series of 100 points: one million values cost the server 2.6 s
of CPU through Flux and 8 s through InfluxQL, so whole windows are read here and small things (the
last value of each series) with `fieldline.influx.series`. Flux writes a float64 with the shortest
text that reads back to the same bits, and the time as text with up to nine digits.
Source: https://docs.influxdata.com/influxdb/v2/reference/syntax/annotated-csv/
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fieldline.errors import FieldlineError
from fieldline.influx.client import InfluxClient


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Some points of one series, in a row; a series comes in several runs.

    Attributes:
        labels: the values of the columns that were asked for.
        time: shape (points,), int64, ns.
        values: shape (points,), float64, NaN where one is no number; empty for texts.
        texts: texts, of the same length, where they were asked for.
    """

    labels: tuple[str, ...]
    time: NDArray[np.int64]
    values: NDArray[np.float64]
    texts: Sequence[str] = ()


def flux_text(text: str) -> str:
    """A text as Flux writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${") + '"'


def flux_one_of(tag: str, names: Sequence[str]) -> str:
    """A condition: a tag is one of these. (A row of `or` is too deep for Flux from 200 on.)"""
    # Go refuses an escape of what means nothing, so that re.escape does not do.
    patterns = "|".join(re.sub(r"[\\.+*?()|\[\]{}^$/]", r"\\\g<0>", name) for name in names)
    return f"r.{tag} =~ /^(?:{patterns})$/"


def flux_range(bucket: str, since_ns: int, until_ns: int) -> str:
    """The beginning of a query over [since, until)."""
    span = f"start: time(v: {since_ns}), stop: time(v: {until_ns})"
    return f"from(bucket: {flux_text(bucket)}) |> range({span})"


def read_runs(
    client: InfluxClient,
    organization: str,
    flux: str,
    labels: Sequence[str],
    *,
    texts: bool = False,
) -> Iterator[Run]:
    """Run a query and give its points piece by piece, as they arrive.

    Args:
        flux: ends with a stream of tables that have `_value`, the labels, and `_time`, or no time
            where it is an aggregate; the time is 0 then.
        labels: columns that tell the series apart, such as `_field`, `asset`, `id`.
        texts: the values are texts, not numbers.
    Raises:
        FieldlineError: InfluxDB refuses, breaks off or does not answer.
    """
    columns = ["_value", *labels]
    dialect = {"annotations": [], "header": True}
    body = {"query": flux, "type": "flux", "dialect": dialect}
    header: list[str] = []
    with client.pieces("/api/v2/query", {"org": organization}, body, "read points") as pieces:
        for piece in pieces:
            # An empty line ends the tables of one schema; a header comes next. A piece that
            # begins in the middle of a schema goes on with the header of the piece before.
            text = piece.decode()
            for number, block in enumerate(f"\r\n{text}\r\n".split("\r\n\r\n")):
                if number:
                    header = []
                lines = block.strip("\r\n")
                if lines and not header:
                    first, _, lines = lines.partition("\r\n")
                    header = first.split(",")
                    _check(header, lines, columns)
                if lines:
                    yield from _runs(header, _columns(lines, len(header)), labels, texts)


def _columns(lines: str, width: int) -> list[Sequence[str]]:
    """The columns of CSV rows of the same width."""
    if '"' in lines:
        return list(zip(*csv.reader(lines.split("\r\n")), strict=True))
    # Without quotes a row ends where its last field ends, so that one split does for all rows:
    # three times as fast as a list per row.
    fields = lines.replace("\r\n", ",").split(",")
    return [fields[column::width] for column in range(width)]


def _check(header: Sequence[str], lines: str, columns: Sequence[str]) -> None:
    if "error" in header:
        raise FieldlineError("InfluxDB broke off a query: see its journal.", lines[:500])
    missing = [column for column in columns if column not in header]
    if missing:
        raise FieldlineError(
            "Points in InfluxDB lack a tag that Telegraf gives each value: something else writes "
            "into the bucket; see docs on the layout.",
            f"no column {missing[0]} among {', '.join(header)}",
        )


def _runs(
    header: list[str], columns: list[Sequence[str]], labels: Sequence[str], as_texts: bool
) -> Iterator[Run]:
    """Cut rows of one schema where the table changes; within a table the labels are constant."""
    table = np.array(columns[header.index("table")], np.int64)
    if "_time" in header:
        time = _nanoseconds(columns[header.index("_time")])
    else:
        time = np.zeros(len(table), np.int64)
    texts = columns[header.index("_value")]
    values = np.empty(0) if as_texts else _numbers(texts)
    tags = [columns[header.index(label)] for label in labels]
    edges = [0, *(np.flatnonzero(np.diff(table)) + 1).tolist(), len(table)]
    for begin, end in pairwise(edges):
        labelled = tuple(tag[begin] for tag in tags)
        if as_texts:
            yield Run(labelled, time[begin:end], values, texts[begin:end])
        else:
            yield Run(labelled, time[begin:end], values[begin:end])


def _nanoseconds(texts: Sequence[str]) -> NDArray[np.int64]:
    """RFC 3339 in UTC to ns; NumPy reads up to nine digits exactly, and knows no zone."""
    return np.array([text[:-1] for text in texts], "datetime64[ns]").astype(np.int64)


def _numbers(texts: Sequence[str]) -> NDArray[np.float64]:
    try:
        return np.array(texts, np.float64)
    except ValueError:
        return np.array([_number(text) for text in texts], np.float64)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return {"true": 1.0, "false": 0.0}.get(text, float("nan"))
