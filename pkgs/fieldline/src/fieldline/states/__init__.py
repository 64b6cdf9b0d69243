"""What our services tell of themselves at `GET /state`, beside their metrics.

One place for the shapes, for the services that answer and for `fieldline where`, which asks.
A new field alone breaks no reader: readers skip what they do not know, and each field that a
service may not know yet has a default.
"""

from fieldline.states.gap_filler import (
    GapFillerState,
    ServerState,
    StaleHop,
    StaleVariable,
    VariableTimes,
    variable_key,
)
from fieldline.states.json import STATE_PATH, decode_state, encode_state
from fieldline.states.ledger import LedgerState
from fieldline.states.restarts import Restarts
from fieldline.states.stream_model import FailingModel, RefusedRecords, StreamModelState

__all__ = [
    "STATE_PATH",
    "FailingModel",
    "GapFillerState",
    "LedgerState",
    "RefusedRecords",
    "Restarts",
    "ServerState",
    "StaleHop",
    "StaleVariable",
    "StreamModelState",
    "VariableTimes",
    "decode_state",
    "encode_state",
    "variable_key",
]
