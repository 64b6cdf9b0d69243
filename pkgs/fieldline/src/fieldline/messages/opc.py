"""Records of the topic `opc`: one value of one variable, as Telegraf's JSON serializer writes it.

    {"fields":{"Temperature":20.1,"Quality":"The operation succeeded. StatusGood (0x0)"},
     "name":"opc_server","tags":{"asset":"Sensors","id":"ns=2;i=2"},"timestamp":1700000000123456700}

Source: Telegraf's plugins/serializers/json with `json_timestamp_units = "1ns"` and
plugins/common/opcua. On a bad status Telegraf repeats the last value with its old source time and
the new quality, or has no value at all.
"""

from __future__ import annotations

import msgspec

from fieldline.messages.quality import quality_code

MEASUREMENT = "opc_server"
# Fields that Telegraf adds beside the variable's own; site.toml refuses variables of these names.
_BESIDE = frozenset({"Quality", "DataType"})

# What a field may hold. Arrays come as several fields, so nothing is ever nested.
Scalar = float | int | bool | str | None


class OpcValue(msgspec.Struct, frozen=True, gc=False):
    """One value; (asset, variable, time) is its identity.

    asset, variable: names as declared; variable is "" where the record has no value.
    time: source time, ns since 1970 UTC; any integer, also an absurd one.
    value: as it came; nothing is checked but that it is not nested.
    quality: OPC UA status code, None where it is missing or unreadable.
    """

    asset: str
    variable: str
    time: int
    value: Scalar
    quality: int | None


class MessageError(ValueError):
    """A record that cannot be read; `reason` is a constant for counting, the text the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class _Tags(msgspec.Struct, gc=False):
    asset: str


class _Record(msgspec.Struct, gc=False):
    name: str
    timestamp: int
    tags: _Tags
    fields: dict[str, Scalar]


class _Named(msgspec.Struct, gc=False):
    name: str


_decode = msgspec.json.Decoder(_Record).decode
_decode_name = msgspec.json.Decoder(_Named).decode
# What msgspec raises on bytes from a stranger: bad JSON or types, bad UTF-8, too deep nesting.
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError, OverflowError)


def decode_opc(raw: bytes | None) -> OpcValue:
    """Read one record's value.

    Raises:
        MessageError: reason `unparsable` (empty, no JSON, no UTF-8), `unknown-measurement` (JSON
            of something else) or `wrong-shape` (not the one variable with its asset and time).
    """
    if not raw:
        raise MessageError("unparsable", "empty record")
    try:
        record = _decode(raw)
    except msgspec.ValidationError as error:
        raise _other(raw, error) from error
    except _UNREADABLE as error:
        raise MessageError("unparsable", str(error)) from error
    if record.name != MEASUREMENT:
        raise MessageError("unknown-measurement", f"measurement {record.name[:64]!r}")
    asset = record.tags.asset
    fields = record.fields
    text = fields.pop("Quality", None)
    if len(fields) > 1:
        for name in _BESIDE:
            fields.pop(name, None)
        if len(fields) > 1:
            raise MessageError("wrong-shape", f"{len(fields)} variables in one record")
    quality = quality_code(text) if type(text) is str else None
    for variable, value in fields.items():
        return OpcValue(asset, variable, record.timestamp, value, quality)
    return OpcValue(asset, "", record.timestamp, None, quality)


def _other(raw: bytes, error: msgspec.ValidationError) -> MessageError:
    """The error for JSON of another shape: of another measurement, or a broken one of ours."""
    try:
        name = _decode_name(raw).name
    except _UNREADABLE:
        name = MEASUREMENT
    if name != MEASUREMENT:
        return MessageError("unknown-measurement", f"measurement {name[:64]!r}")
    return MessageError("wrong-shape", str(error))
