"""The states as JSON."""

from __future__ import annotations

from typing import TypeVar

import msgspec

# Where each service answers, on the port of its metrics.
STATE_PATH = "/state"

_State = TypeVar("_State", bound=msgspec.Struct)

_encode = msgspec.json.Encoder().encode


def encode_state(state: msgspec.Struct) -> bytes:
    """A state as the body of an answer."""
    return _encode(state)


def decode_state(raw: bytes, kind: type[_State]) -> _State:
    """Read a state, such as `decode_state(body, GapFillerState)`.

    Raises:
        msgspec.DecodeError: it is none of that kind.
    """
    return msgspec.json.decode(raw, type=kind)
