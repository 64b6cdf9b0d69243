"""Restarts of units that a service has asked for."""

from __future__ import annotations

import msgspec


class Restarts(msgspec.Struct, frozen=True):
    """How often a service has had a unit restarted, when last (ns since 1970 UTC) and why."""

    count: int
    last_ns: int | None = None
    reason: str = ""
