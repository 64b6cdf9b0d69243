"""What services tell at `/state`: read as it was written, and refused if it is something else."""

from __future__ import annotations

import msgspec
import pytest
from fieldline.states import (
    GapFillerState,
    Restarts,
    ServerState,
    StaleVariable,
    VariableTimes,
    decode_state,
    encode_state,
    variable_key,
)

NS = 1_700_000_000_123_456_700
STATE = GapFillerState(
    {"opc": ServerState(connected=False, problem="nothing listens there")},
    {
        variable_key("Sensors", "Temperature"): VariableTimes(NS),
        variable_key("Sensors", "Pressure"): VariableTimes(None, NS + 1, 0x80310000),
    },
    [StaleVariable("Sensors", "Pressure", None, "subscription", "it never delivered")],
    {"telegraf": Restarts(2, NS, "no value for 30 s")},
)


def test_a_state_is_read_as_it_was_written() -> None:
    assert decode_state(encode_state(STATE), GapFillerState) == STATE


def test_a_state_has_the_declared_shape() -> None:
    assert msgspec.json.decode(encode_state(STATE)) == {
        "servers": {
            "opc": {"connected": False, "problem": "nothing listens there", "history": None}
        },
        "variables": {
            "Sensors/Temperature": {"kafka_ns": NS, "server_ns": None, "server_status": None},
            "Sensors/Pressure": {
                "kafka_ns": None,
                "server_ns": NS + 1,
                "server_status": 0x80310000,
            },
        },
        "stale": [
            {
                "asset": "Sensors",
                "variable": "Pressure",
                "since_ns": None,
                "hop": "subscription",
                "cause": "it never delivered",
            }
        ],
        "restarts": {"telegraf": {"count": 2, "last_ns": NS, "reason": "no value for 30 s"}},
    }


def test_an_older_or_newer_service_is_read_too() -> None:
    assert decode_state(b'{"servers":{},"news":1}', GapFillerState) == GapFillerState()


@pytest.mark.parametrize(
    "raw",
    [b"", b"not found\n", b"[]", b'{"stale":[{"asset":"a"}]}', b'{"servers":{"a":{}}}'],
)
def test_something_else_is_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_state(raw, GapFillerState)
