"""Records of the topic `model`: one result of one model of one asset.

{"name":"model1","value":12.3,"timestamp":1700000000123456700,"asset":"Sensors","revision":0}
"""

from __future__ import annotations

import msgspec


class ModelResult(msgspec.Struct, frozen=True, gc=False):
    """A model's value at a source time; (asset, name, timestamp) is its identity.

    timestamp: source time of the inputs, ns since 1970 UTC.
    revision: 0 at first, one more each time the result for this identity is given again by the live
        path; 2**32 and more from recomputations. It rises with each record of one identity, of
        which the last in the topic holds; no revision is there twice.
    """

    name: str
    value: float
    timestamp: int
    asset: str
    revision: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ModelResult).decode


def encode_result(result: ModelResult) -> bytes:
    """The result's bytes on the topic; the value must be finite (JSON has no other)."""
    return _encode(result)


def decode_result(raw: bytes) -> ModelResult:
    """Read a result.

    Raises:
        msgspec.DecodeError: not a result.
    """
    return _decode(raw)
