"""Series of InfluxDB as NumPy arrays, read through its InfluxQL endpoint.

InfluxQL rather than Flux: its JSON gives each series' tags once and the time as whole nanoseconds
(`epoch=ns`), where Flux's CSV repeats every tag in each row and writes the time as text. Both write
a float64 with the shortest text that reads back to the same bits. InfluxDB 2.7 answers /query for
every bucket by itself (a "virtual DBRP mapping": the database is the bucket), to a token that may
read the bucket. Source: dbrp/service.go of InfluxDB 2.7.12;
https://docs.influxdata.com/influxdb/v2/api/v1-compatibility/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fieldline.errors import FieldlineError
from fieldline.influx.client import InfluxClient

# Points per piece of an answer: a piece is what is held as Python objects at a time.
_CHUNK = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Some points of one series; a long series comes in several pieces.

    Attributes:
        statement: which statement of the query it answers, from 0.
        tags: the tags of GROUP BY.
        time: shape (points,), int64, ns.
        values: shape (points,), float64; for texts a list of the same length.
    """

    statement: int
    tags: Mapping[str, str]
    time: NDArray[np.int64]
    values: NDArray[np.float64]
    texts: Sequence[str] = ()


class _Numbers(msgspec.Struct):
    values: list[tuple[int, float | None]] = []
    tags: dict[str, str] = {}


class _Texts(msgspec.Struct):
    values: list[tuple[int, str | None]] = []
    tags: dict[str, str] = {}


class _Result(msgspec.Struct):
    series: list[_Numbers] = []
    statement_id: int = 0
    error: str = ""


class _TextResult(msgspec.Struct):
    series: list[_Texts] = []
    statement_id: int = 0
    error: str = ""


class _Answer(msgspec.Struct):
    results: list[_Result] = []
    error: str = ""


class _TextAnswer(msgspec.Struct):
    results: list[_TextResult] = []
    error: str = ""


_NUMBERS = msgspec.json.Decoder(_Answer)
_TEXTS = msgspec.json.Decoder(_TextAnswer)


def quoted(name: str) -> str:
    """An identifier (field, tag, measurement) as InfluxQL writes it."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def literal(text: str) -> str:
    """A text value as InfluxQL writes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def read_series(
    client: InfluxClient, bucket: str, statements: Sequence[str], *, texts: bool = False
) -> Iterator[Series]:
    """Run SELECTs of one field each, and give their series piece by piece, as they arrive.

    Args:
        statements: such as `SELECT "Temperature" FROM "opc_server" GROUP BY "asset", "id"`.
        texts: the field is a text.
    Raises:
        FieldlineError: InfluxDB refuses, breaks off or does not answer.
    """
    if not statements:
        return
    form = {"db": bucket, "q": "; ".join(statements), "epoch": "ns"}
    form |= {"chunked": "true", "chunk_size": str(_CHUNK)}
    with client.stream("POST", "/query", form=form, what="read points") as lines:
        for line in lines:
            if line.strip():
                yield from _decoded(line, texts)


def _decoded(line: bytes, texts: bool) -> Iterator[Series]:
    try:
        answer = (_TEXTS if texts else _NUMBERS).decode(line)
    except msgspec.DecodeError as error:
        raise FieldlineError(
            "InfluxDB answered a query with something else than its points; see its journal.",
            f"{error}: {line[:200].decode(errors='replace')}",
        ) from None
    problems = [answer.error, *(result.error for result in answer.results)]
    if any(problems):
        raise FieldlineError(
            "InfluxDB refused a query: see its journal.", "; ".join(p for p in problems if p)
        )
    for result in answer.results:
        for series in result.series:
            yield _arrays(result.statement_id, series, texts)


def _arrays(statement: int, series: Any, texts: bool) -> Series:
    rows = series.values
    time = np.fromiter((row[0] for row in rows), np.int64, len(rows))
    if texts:
        none = np.empty(0, np.float64)
        return Series(statement, series.tags, time, none, [row[1] or "" for row in rows])
    numbers = (np.nan if row[1] is None else row[1] for row in rows)
    return Series(statement, series.tags, time, np.fromiter(numbers, np.float64, len(rows)))
