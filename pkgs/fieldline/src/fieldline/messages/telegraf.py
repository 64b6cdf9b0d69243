"""Records of the topic `opc` as Telegraf writes them, byte for byte, for who writes beside it.

Sources: plugins/serializers/json, plugins/common/opcua/input and plugins/outputs/kafka of Telegraf
1.37.2; encoding/json of Go for texts and numbers; the hash partitioner of IBM/sarama, which is not
the one of Kafka's own clients: with that one, values of one asset would be in two partitions, in no
order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from fieldline.messages.headers import Headers
from fieldline.messages.opc import MEASUREMENT

# Telegraf's `metric_name_header = "format"` (lib/telegraf/collector.nix).
HEADERS: Headers = [("format", MEASUREMENT.encode())]

# What a field may hold; other types of OPC UA are left out by Telegraf.
Field = float | int | bool | str

_FNV_OFFSET, _FNV_PRIME = 0x811C9DC5, 0x01000193
# Go's encoding/json escapes these for HTML; msgspec does not.
_TABLE = str.maketrans(
    {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    }
)
_quote = msgspec.json.Encoder().encode


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Telegraf gives a key: FNV-1a, its 32 bits taken as signed."""
    digest = _FNV_OFFSET
    for byte in key:
        digest = ((digest ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    if digest >= 1 << 31:
        digest -= 1 << 32
    # Go's remainder has the sign of the dividend, which is then dropped.
    return abs(digest) % partitions


def text_json(text: str) -> str:
    """A JSON string as Go writes it; the text must be UTF-8 (no lone surrogates)."""
    return _quote(text).decode().translate(_TABLE)


def number_json(value: float) -> str:
    """A finite float64 as Go writes it: shortest digits, an exponent below 1e-6 and from 1e21."""
    size = abs(value)
    if size and (size < 1e-6 or size >= 1e21):
        digits, _, exponent = f"{Decimal(repr(value)):e}".partition("e")
        whole, _, part = digits.partition(".")
        part = part.rstrip("0")
        sign, power = exponent[0], exponent[1:].lstrip("0")
        # Go pads exponents to two digits and its JSON takes that back for negative ones.
        power = power if sign == "-" else power.rjust(2, "0")
        return f"{whole}{'.' + part if part else ''}e{sign}{power}"
    plain = repr(value)
    if "e" in plain:
        plain = f"{Decimal(plain):f}"
    return plain.removesuffix(".0")


def field_json(value: Field) -> str:
    """A field's value; floats must be finite."""
    if type(value) is float:
        return number_json(value)
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    return text_json(str(value))


class OpcEncoder:
    """Writes records of one variable.

    Args:
        node: its id as the tag `id` has it, `ns=2;i=2`.
    """

    def __init__(self, asset: str, variable: str, node: str) -> None:
        self._variable = variable
        # Keys are in the order of their bytes. A single value comes before or behind the quality.
        self._before = variable < "Quality"
        self._name = f"{text_json(variable)}:"
        tags = f'"asset":{text_json(asset)},"id":{text_json(node)}'
        self._tail = f'}},"name":"{MEASUREMENT}","tags":{{{tags}}},"timestamp":'
        self._qualities: dict[str, str] = {}

    def encode(
        self, value: Field | Mapping[str, Field] | None, quality: str, time_ns: int
    ) -> bytes:
        """The bytes of one record.

        Args:
            value: None where Telegraf has no field for it (no value, not a number, an unknown
                type); a mapping for an array, whose elements are fields `Name[0]`, `Name[1]`, ...
            quality: the status code as gopcua prints it; time_ns: source time since 1970 UTC.
        """
        told = self._qualities.get(quality)
        if told is None:
            told = self._qualities[quality] = f'"Quality":{text_json(quality)}'
        if value is None or (type(value) is float and not math.isfinite(value)):
            fields = told
        elif isinstance(value, Mapping):
            fields = _several(value, told)
        elif self._before:
            fields = f"{self._name}{field_json(value)},{told}"
        else:
            fields = f"{told},{self._name}{field_json(value)}"
        return f'{{"fields":{{{fields}{self._tail}{time_ns}}}\n'.encode()


def _several(values: Mapping[str, Field], quality: str) -> str:
    told = {
        name: f"{text_json(name)}:{field_json(value)}"
        for name, value in values.items()
        if type(value) is not float or math.isfinite(value)
    }
    told["Quality"] = quality
    return ",".join(told[name] for name in sorted(told))
