"""The state of `ledger`: what it has had restarted on the database host.

{"restarts": {"influxdb2": {"count": 1, "last_ns": 1700000000000000000, "reason": "..."},
 "telegraf": {"count": 0, "last_ns": null, "reason": ""}}}
"""

from __future__ import annotations

import msgspec

from fieldline.states.restarts import Restarts


class LedgerState(msgspec.Struct, frozen=True):
    """Everything that one ledger tells.

    Attributes:
        restarts: by unit; empty where it may restart nothing.
    """

    restarts: dict[str, Restarts] = {}
