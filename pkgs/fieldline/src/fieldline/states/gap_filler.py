"""The state of `gap-filler`: how the variables of its collector's servers are doing.

    {"servers": {"opc": {"connected": true, "problem": "", "history": true}},
     "variables": {"Sensors/Temperature":
       {"kafka_ns": 1700000000123456700, "server_ns": null, "server_status": null}},
     "stale": [{"asset": "Sensors", "variable": "Pressure", "since_ns": 1700000000000000000,
       "hop": "subscription", "cause": "the server has newer values than Kafka"}],
     "restarts": {"telegraf": {"count": 1, "last_ns": 1700000000000000000, "reason": "..."}}}

All times are ns since 1970 UTC.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from fieldline.states.restarts import Restarts

# The first hop at which a variable stopped, as far as a collector can tell: its server has
# nothing new, the server has and Telegraf does not deliver it, Telegraf has and Kafka does not.
StaleHop = Literal["server", "subscription", "kafka"]


class ServerState(msgspec.Struct, frozen=True):
    """An OPC UA server as the gap filler sees it.

    Attributes:
        connected: the gap filler's own session is up.
        problem: why not, in plain words; empty if there is none.
        history: whether the server offers history; None while it is not known.
    """

    connected: bool
    problem: str = ""
    history: bool | None = None


class VariableTimes(msgspec.Struct, frozen=True, gc=False):
    """The newest value of a variable.

    Attributes:
        kafka_ns: its source time in the topic `opc`; None if none was seen.
        server_ns, server_status: source time and OPC UA status code as the server has them; None
            while the variable is fresh in Kafka, since the server is not asked then, and where
            it does not answer.
    """

    kafka_ns: int | None = None
    server_ns: int | None = None
    server_status: int | None = None


class StaleVariable(msgspec.Struct, frozen=True):
    """A variable whose newest value in Kafka is too old.

    Attributes:
        since_ns: when it stopped: the source time of its last value; None if it never had one.
        hop: the first hop at which it stopped; cause: in plain words.
        code: the cause for programs, such as `source-stopped`; `unchanged` is no fault: a server
            that follows the standard does not report a value again that stays as it is.
    """

    asset: str
    variable: str
    since_ns: int | None
    hop: StaleHop
    cause: str
    code: str = ""


class GapFillerState(msgspec.Struct, frozen=True):
    """Everything that one gap filler tells.

    Attributes:
        servers: by name; variables: by `variable_key`; restarts: by unit, such as `telegraf`.
    """

    servers: dict[str, ServerState] = {}
    variables: dict[str, VariableTimes] = {}
    stale: list[StaleVariable] = []
    restarts: dict[str, Restarts] = {}


def variable_key(asset: str, variable: str) -> str:
    """The key of a variable in `variables`; a name holds no slash (docs/site.md)."""
    return f"{asset}/{variable}"
