"""HistoryRead's answers from their bytes: fast, and with source times in OPC UA's own 100 ns.

asyncua makes a datetime of each time, in whole µs, and an object of each value, 25 µs apiece; a PLC
whose times have a digit more would never compare equal. Source: OPC UA Part 6, 5.2.2 (built-in
types) and Part 4, 5.10.3 (HistoryRead); what a value becomes: Telegraf 1.37.2 (common/opcua/input)
and gopcua 0.8.0 (ua/variant.go).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, variant_from_binary
from fieldline.messages.telegraf import Field
from numpy.typing import NDArray

from gap_filler.opcua import UaError

# A value as `OpcEncoder.encode` takes it.
Value = Field | Mapping[str, Field] | None

# 1970 in ticks of 100 ns since 1601.
_EPOCH_TICKS = 116_444_736_000_000_000
_TICK_NS = 100
# What no source time can be: it is not there.
NO_TIME = np.iinfo(np.int64).min
_LATEST_TICKS = _EPOCH_TICKS + (2**63 - 1) // _TICK_NS

_VALUE, _STATUS, _SOURCE, _SERVER, _SOURCE_PICO, _SERVER_PICO = 1, 2, 4, 8, 16, 32
_DOUBLE = 11
_ARRAY = 0x80

_HISTORY_DATA = 658
_HISTORY_MODIFIED_DATA = 664


class WireError(ValueError):
    """Bytes that are no HistoryRead answer."""


@dataclass(frozen=True, slots=True)
class Values:
    """Values of one node as the server gave them; all of length n.

    Attributes:
        times: source times, ns since 1970 UTC; `NO_TIME` where there is none.
        statuses: status codes.
        values: what Telegraf would make of them, see `Value`.
    """

    times: NDArray[np.int64]
    statuses: NDArray[np.uint32]
    values: Sequence[Value] | NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.times)

    def value(self, place: int) -> Value:
        """One value."""
        found = self.values[place]
        return found.item() if isinstance(found, np.float64) else found


NOTHING = Values(np.empty(0, np.int64), np.empty(0, np.uint32), ())


@dataclass(frozen=True, slots=True)
class Result:
    """The answer for one node: its status, where to go on, its values."""

    status: int
    continuation: bytes | None
    values: Values


def decode_response(raw: Buffer, name: Callable[[int], str]) -> list[Result]:
    """The results of a HistoryReadResponse.

    Args:
        raw: the message's body, from its type id on.
        name: of the variable at a place in the request; array fields are named after it.
    Raises:
        WireError: it is none, or its bytes do not fit together.
        UaStatusCodeError: the service itself was refused.
    """
    try:
        nodeid_from_binary(raw)
        header = struct_from_binary(ua.ResponseHeader, raw)
        header.ServiceResult.check()
        return _results(bytes(raw), name)
    except (struct.error, IndexError, OverflowError, UnicodeDecodeError) as error:
        raise WireError(str(error)) from error


def _results(data: bytes, name: Callable[[int], str]) -> list[Result]:
    (count,) = struct.unpack_from("<i", data)
    offset, results = 4, []
    for place in range(max(count, 0)):
        (status,) = struct.unpack_from("<I", data, offset)
        continuation, offset = _bytes(data, offset + 4)
        kind, offset = _node_number(data, offset)
        encoding = data[offset]
        offset += 1
        values = NOTHING
        if encoding:
            body, offset = _bytes(data, offset)
            # Modified values say when they were modified, behind the values themselves.
            if kind in (_HISTORY_DATA, _HISTORY_MODIFIED_DATA) and body:
                values = decode_values(body, name(place))
        results.append(Result(status, continuation or None, values))
    return results


def _bytes(data: bytes, offset: int) -> tuple[bytes | None, int]:
    (length,) = struct.unpack_from("<i", data, offset)
    offset += 4
    if length < 0:
        return None, offset
    if offset + length > len(data):
        raise IndexError(f"{length} bytes announced, {len(data) - offset} there")
    return data[offset : offset + length], offset + length


def _node_number(data: bytes, offset: int) -> tuple[int, int]:
    """A numeric node id's number (0 of another kind), and where it ends."""
    kind = data[offset] & 0x3F
    if kind == 0:
        return data[offset + 1], offset + 2
    if kind == 1:
        return struct.unpack_from("<H", data, offset + 2)[0], offset + 4
    if kind == 2:
        return struct.unpack_from("<I", data, offset + 3)[0], offset + 7
    rest = Buffer(data, offset)
    nodeid_from_binary(rest)
    return 0, rest.cur_pos


def decode_values(body: bytes, name: str) -> Values:
    """The DataValues of a HistoryData body."""
    (count,) = struct.unpack_from("<i", body)
    if count <= 0:
        return NOTHING
    return _uniform(body, count) or _mixed(body, count, name)


def _uniform(body: bytes, count: int) -> Values | None:
    """Doubles that are all encoded alike, as a table; None if they are not."""
    mask = body[4]
    if not mask & _VALUE or body[5] != _DOUBLE or not mask & _SOURCE:
        return None
    fields: list[tuple[str, str]] = [("mask", "u1"), ("kind", "u1"), ("value", "<f8")]
    fields += [("status", "<u4")] if mask & _STATUS else []
    fields += [("source", "<u8")]
    fields += [("source_pico", "<u2")] if mask & _SOURCE_PICO else []
    fields += [("server", "<u8")] if mask & _SERVER else []
    fields += [("server_pico", "<u2")] if mask & _SERVER_PICO else []
    kind: np.dtype[Any] = np.dtype(fields)
    if len(body) < 4 + count * kind.itemsize:
        return None
    table = np.frombuffer(body, kind, count, 4)
    # A value of another form would be seen: its mask or type is not where this one's is.
    if (table["mask"] != mask).any() or (table["kind"] != _DOUBLE).any():
        return None
    ticks = table["source"]
    times = (ticks.astype(np.int64) - _EPOCH_TICKS) * _TICK_NS
    times[(ticks == 0) | (ticks > _LATEST_TICKS)] = NO_TIME
    statuses = table["status"] if mask & _STATUS else np.zeros(count, np.uint32)
    return Values(times, statuses.astype(np.uint32), table["value"].astype(np.float64))


def _mixed(body: bytes, count: int, name: str) -> Values:
    times, statuses, values = [], [], []
    offset = 4
    for _ in range(count):
        mask = body[offset]
        offset += 1
        value: Value = None
        status, ticks = 0, 0
        if mask & _VALUE:
            value, offset = _variant(body, offset, name)
        if mask & _STATUS:
            (status,) = struct.unpack_from("<I", body, offset)
            offset += 4
        if mask & _SOURCE:
            (ticks,) = struct.unpack_from("<Q", body, offset)
            offset += 8
        offset += 2 * bool(mask & _SOURCE_PICO) + 8 * bool(mask & _SERVER)
        offset += 2 * bool(mask & _SERVER_PICO)
        if offset > len(body):
            raise IndexError("a value ends behind its history")
        known = 0 < ticks <= _LATEST_TICKS
        times.append((ticks - _EPOCH_TICKS) * _TICK_NS if known else NO_TIME)
        statuses.append(status)
        values.append(value)
    return Values(np.array(times, np.int64), np.array(statuses, np.uint32), values)


_NUMBERS: Mapping[int, struct.Struct] = {
    1: struct.Struct("<?"),
    2: struct.Struct("<b"),
    3: struct.Struct("<B"),
    4: struct.Struct("<h"),
    5: struct.Struct("<H"),
    6: struct.Struct("<i"),
    7: struct.Struct("<I"),
    8: struct.Struct("<q"),
    9: struct.Struct("<Q"),
    10: struct.Struct("<f"),
    11: struct.Struct("<d"),
}
_STRING, _DATETIME, _BYTESTRING = 12, 13, 15
# The arrays that Telegraf takes apart.
_IN_ARRAYS = {*range(1, 12), _STRING}


def _variant(body: bytes, offset: int, name: str) -> tuple[Value, int]:
    encoding = body[offset]
    kind = encoding & 0x3F
    if encoding == 0:
        return None, offset + 1
    number = _NUMBERS.get(encoding)
    if number is not None:
        return number.unpack_from(body, offset + 1)[0], offset + 1 + number.size
    if encoding in (_STRING, _BYTESTRING):
        text, offset = _bytes(body, offset + 1)
        # A string that is null is an empty one to gopcua.
        return (text or b"").decode("utf-8", "replace"), offset
    if encoding == _DATETIME:
        (ticks,) = struct.unpack_from("<q", body, offset + 1)
        return _time_text(ticks), offset + 9
    rest = Buffer(body, offset)
    try:
        found = variant_from_binary(rest)
    except (UaError, ValueError, TypeError) as error:
        raise IndexError(f"a value that cannot be read: {error}") from error
    if not encoding & _ARRAY or kind not in _IN_ARRAYS or not isinstance(found.Value, list):
        return None, rest.cur_pos
    return {f"{name}[{place}]": _element(e) for place, e in enumerate(found.Value)}, rest.cur_pos


def _element(element: Any) -> Field:
    if isinstance(element, bool | int | float):
        return element
    return "" if element is None else str(element)


def _time_text(ticks: int) -> str:
    """A time as Go writes it in RFC 3339 with as many digits as it needs."""
    if ticks == 0:
        return "0001-01-01T00:00:00Z"
    seconds, part = divmod(ticks - _EPOCH_TICKS, 10_000_000)
    try:
        whole = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return ""
    fraction = f".{part:07d}".rstrip("0").rstrip(".")
    return f"{whole:%Y-%m-%dT%H:%M:%S}{fraction}Z"
