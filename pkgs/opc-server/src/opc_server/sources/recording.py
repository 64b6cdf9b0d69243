"""Recordings in CSV or Parquet, as NumPy columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from fieldline.service import EXIT_CONFIGURATION, ServiceError
from numpy.typing import NDArray

# The unit of an integer time by its size: 1e16 ns is April 1970, 1e16 µs the year 2286, and so on.
_UNITS = ((10**16, 1), (10**14, 1_000), (10**11, 1_000_000), (0, 1_000_000_000))


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording; each column holds its last known value down to the next one.

    Attributes:
        time_ns: int64, shape (rows,), ascending from 0.
        values: float64, shape (rows, columns); NaN before a column's first value.
    """

    time_ns: NDArray[np.int64]
    values: NDArray[np.float64]


def _error(what: str, path: Path, cause: str = "") -> ServiceError:
    return ServiceError(f"The recording {path} {what}", cause, code=EXIT_CONFIGURATION)


def _read(path: Path, columns: list[str]) -> Any:
    """The wanted columns of the file, with the types found in it."""
    try:
        if path.suffix == ".parquet":
            names = pyarrow.parquet.read_schema(path).names
            _need(path, columns, names)
            return pyarrow.parquet.read_table(path, columns=columns)
        table = pyarrow.csv.read_csv(path)
    except FileNotFoundError as error:
        raise _error("is not there. It is looked for beside site.toml.", path) from error
    except (OSError, pa.ArrowException) as error:
        kind = "Parquet" if path.suffix == ".parquet" else "CSV"
        raise _error(f"cannot be read as {kind}.", path, str(error)) from error
    _need(path, columns, table.column_names)
    return table.select(columns)


def _need(path: Path, columns: list[str], names: list[str]) -> None:
    for column in columns:
        if column not in names:
            known = ", ".join(sorted(names)[:20]) or "none"
            raise _error(f"has no column {column!r}. Its columns: {known}.", path)
        if names.count(column) > 1:
            raise _error(f"has more than one column {column!r}.", path)


def _times(path: Path, name: str, column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Times in ns since 1970; a text or integer column is taken as `Recording` documents it."""
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise _error(f"has no time in row {row + 1} of column {name!r}.", path)
    try:
        if pa.types.is_integer(column.type):
            numbers = np.asarray(column.cast(pa.int64()).to_numpy(), np.int64)
            factor = next(f for least, f in _UNITS if abs(int(numbers[-1])) >= least)
            return numbers * factor
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            # "Z" and offsets are understood by the cast to a zoned time; without one it is UTC.
            try:
                column = column.cast(pa.timestamp("ns", tz="UTC"))
            except pa.ArrowInvalid:
                column = column.cast(pa.timestamp("ns"))
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            if pa.types.is_date(column.type):
                column = column.cast(pa.timestamp("s"))
            zone = getattr(column.type, "tz", None)
            column = column.cast(pa.timestamp("ns", tz=zone))
            return np.asarray(column.cast(pa.int64()).to_numpy(), np.int64)
    except pa.ArrowException as error:
        raise _error(f"has times in column {name!r} that cannot be read.", path, str(error)) from (
            error
        )
    raise _error(
        f"has no times in column {name!r}: ISO 8601, or integers in ns, µs, ms or s since 1970, "
        "are asked for.",
        path,
        f"its type is {column.type}",
    )


def _numbers(path: Path, name: str, column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Values; what is null or not finite was not recorded and is filled by the one before."""
    try:
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        numbers = np.array(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
    except pa.ArrowException as error:
        raise _error(f"has values in column {name!r} that are no numbers.", path, str(error)) from (
            error
        )
    known = np.isfinite(numbers)
    if not known.any():
        raise _error(f"has no value in column {name!r}.", path)
    last = np.maximum.accumulate(np.where(known, np.arange(len(numbers)), -1))
    return np.where(last >= 0, numbers[np.maximum(last, 0)], np.nan)


def load_recording(path: Path, time_column: str, columns: Sequence[str]) -> Recording:
    """Read columns of a recording.

    Args:
        path: a file ending in `.csv` (with a header line) or `.parquet`.
        time_column: ISO 8601 (without offset: UTC), or integers since 1970 in s, ms, µs or ns,
            told by their size (below 1e11 they are s). Ascending; of equal times the last counts.
        columns: value columns; one may be named more than once.
    Raises:
        ServiceError: the file or one of the columns is not there or not usable; it names them.
    """
    wanted = list(dict.fromkeys([time_column, *columns]))
    table = _read(path, wanted)
    if table.num_rows == 0:
        raise _error("holds no rows.", path)
    times = _times(path, time_column, table[time_column])
    falling = np.flatnonzero(np.diff(times) < 0)
    if len(falling):
        row = int(falling[0]) + 2
        raise _error(
            f"goes back in time in row {row} of column {time_column!r}; sort it by time.", path
        )
    values = np.column_stack([_numbers(path, name, table[name]) for name in columns])
    return Recording(times - times[0], values)
