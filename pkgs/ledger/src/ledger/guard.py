"""The store guard: restarts what has stopped delivering while records wait for it.

It is in the ledger, since that runs beside InfluxDB and its writer (the role `writer` is on that
host or nowhere), and outside both: what is wrong with the one, or the other, it sees.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

import structlog
from fieldline.service import ServiceError
from fieldline.service.restarter import Restarter
from fieldline.states import Restarts

from ledger.deliveries import Place, Refusals, Standstills, Waiting, Writes
from ledger.metrics import Metrics
from ledger.threads import in_thread

T = TypeVar("T")

# The units that it can have restarted, and their names for people.
INFLUXDB, TELEGRAF = "influxdb2", "telegraf"
_NAMES = {INFLUXDB: "InfluxDB", TELEGRAF: "Telegraf"}

_LOOK_S = 1.0
# Each look has timeouts of its own, of seconds; one that takes longer hangs.
_HANGS_S = 60.0


class Influxdb(Protocol):
    """See `ledger.probes.InfluxProbe`."""

    def writes(self) -> Writes | None: ...
    def has_room(self) -> bool: ...


class Writer(Protocol):
    """See `ledger.probes.WriterProbe`."""

    def waiting(self) -> Mapping[Place, Waiting] | None: ...


class StoreGuard:
    """Watches InfluxDB and its writer, each for itself: a look that takes long delays its own.

    Args:
        files: unit to the file that asks for its restart.
        monotonic_ns: elapsed time.
    """

    def __init__(
        self,
        influxdb: Influxdb,
        writer: Writer,
        files: Mapping[str, Path],
        *,
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
        look_s: float = _LOOK_S,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._influxdb = influxdb
        self._writer = writer
        self._look_s = look_s
        self._monotonic_ns = monotonic_ns
        self._restarters = {
            unit: Restarter(name, files.get(unit), metrics.restarts, log)
            for unit, name in _NAMES.items()
        }
        self._refusals = Refusals()
        self._standstills = Standstills()
        self._answers = False

    @property
    def restarts(self) -> dict[str, Restarts]:
        """What was asked for so far, by unit."""
        return {unit: restarter.state for unit, restarter in self._restarters.items()}

    async def run(self) -> None:
        """Watch for ever.

        Raises:
            ServiceError: a look hangs.
        """
        await asyncio.gather(self._watch(self.look_at_influxdb), self._watch(self.look_at_writer))

    async def _watch(self, look: Callable[[], Awaitable[None]]) -> None:
        while True:
            await look()
            await asyncio.sleep(self._look_s)

    async def look_at_influxdb(self) -> None:
        """Look once whether it refuses what is written."""
        writes = await _within(self._influxdb.writes)
        room = await _within(self._influxdb.has_room)
        now = self._monotonic_ns()
        self._answers = writes is not None
        since = self._refusals.since(now)
        if self._refusals.due(now, writes, room=room) and since is not None:
            self._restarters[INFLUXDB].ask(
                "influxdb-refuses",
                f"it has refused every write for {(now - since) / 1e9:.0f} s, and its disk has "
                "room",
            )

    async def look_at_writer(self) -> None:
        """Look once whether it takes what waits."""
        waiting = await _within(self._writer.waiting)
        now = self._monotonic_ns()
        store = self._answers and self._refusals.since(now) is None
        still = self._standstills.due(now, waiting, store=store)
        if still:
            self._restarters[TELEGRAF].ask("writer-stands-still", _said(still, waiting or {}))


async def _within(look: Callable[[], T]) -> T:
    try:
        async with asyncio.timeout(_HANGS_S):
            return await in_thread(look)
    except TimeoutError as error:
        raise ServiceError(
            "A look of the store guard hangs; systemd starts the ledger anew.", str(error)
        ) from error


def _said(still: list[Place], waiting: Mapping[Place, Waiting]) -> str:
    """What waits, by group."""
    records: dict[str, int] = {}
    for place in still:
        records[place[0]] = records.get(place[0], 0) + waiting[place].records
    return "nothing is taken of what waits in Kafka, and InfluxDB refuses nothing: " + ", ".join(
        f"{count} records for {group}" for group, count in records.items()
    )
