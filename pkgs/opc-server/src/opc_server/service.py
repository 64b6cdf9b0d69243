"""The service: from a site's declaration to a running server, and its end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from fieldline.record import RecordVariable, RecordWriter, record_routes
from fieldline.service import EXIT_CONFIGURATION, HttpServer, Notifier, ServiceError
from fieldline.site import load_site

from opc_server.clock import Clock, SystemClock, TimeSync, always_synchronized
from opc_server.endpoint import Endpoint
from opc_server.engine import Engine
from opc_server.metrics import Metrics
from opc_server.points import Point, own_server, points_of
from opc_server.publisher import Publisher
from opc_server.sources import Tick, build_sources

_log = structlog.get_logger("opc-server")

# Values recorded before the stop are still published, if that takes no longer.
DRAIN_S = 1.0
# What docs/site.md says of a server without `record`: one day.
RECORD_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says; addresses are (address, port), `witness` a directory."""

    site: Path
    server: str
    state: Path
    listen: tuple[str, int]
    metrics: tuple[str, int]
    require_time_sync: bool
    witness: Path | None = None


class Service:
    """One server of a site.

    Args:
        settings: the command line.
        clock: the host's, or a test's.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._notifier = Notifier()
        self.metrics = Metrics()
        self.endpoint = Endpoint(settings.server, *settings.listen)
        self.http: HttpServer | None = None
        self._engine: Engine | None = None
        self._record_directory = settings.state / "record"

    async def run(self, stop: asyncio.Event, ready: Callable[[], None] | None = None) -> None:
        """Serve until `stop` is set.

        Args:
            stop: ends the service.
            ready: called when clients may connect.
        Raises:
            FieldlineError: the site is wrong, an address is taken, a recording is not usable.
        """
        settings, metrics = self._settings, self.metrics
        site = load_site(settings.site)
        declared = own_server(site, settings.server)
        self.endpoint.check_free()
        points = points_of(site, settings.server)
        sources = build_sources(points, site.path.parent, declared.seed, metrics.source_errors.inc)
        http = self._open_http()
        variables, kept_ms = [point.recorded for point in points], declared.record_ms or RECORD_MS
        record = _open_record("--state", self._record_directory, variables, kept_ms)
        witness = None
        if settings.witness is not None:
            witness = _open_record("--witness", settings.witness, variables, kept_ms)
        publisher = Publisher(self.endpoint.server, points, self._clock.wall_ns, self._completed)
        synchronized = TimeSync(self._clock) if settings.require_time_sync else always_synchronized
        engine = Engine(sources, record, publisher, self._clock, synchronized, metrics, witness)
        self._engine = engine
        metrics.variables.set(len(points))
        metrics.sessions.set_function(self.endpoint.sessions)
        http.start()
        # The address space is there to stay: the garbage collector need not look through it again
        # and again, neither while it grows (a third of the time), nor later (tens of ms at once).
        gc.disable()
        try:
            # A start takes seconds on a small machine, and can be stopped too.
            await _first_of(stop.wait(), self._serve(points, publisher, engine, ready))
        finally:
            self._notifier.stopping()
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    await publisher.drain()
            await publisher.stop()
            await self.endpoint.stop()
            record.close()
            if witness is not None:
                witness.close()
            await asyncio.to_thread(http.stop)
            gc.enable()
            gc.unfreeze()
        _log.info("stopped")

    async def _serve(
        self,
        points: Sequence[Point],
        publisher: Publisher,
        engine: Engine,
        ready: Callable[[], None] | None,
    ) -> None:
        """Build the address space, have a value for each variable, open the endpoint, tick."""
        await self.endpoint.build(points)
        publisher.start(engine.periods_ns)
        await _first_of(engine.first(), publisher.failed())
        gc.freeze()
        gc.enable()
        await self.endpoint.start()
        _log.info(
            "serving",
            server=self._settings.server,
            address=self._settings.listen[0],
            port=self.endpoint.port,
            metrics_port=self.http.port if self.http else None,
            variables=len(points),
        )
        self._notifier.ready(f"serving {len(points)} variables")
        if ready is not None:
            ready()
        await _first_of(engine.run(), publisher.failed())

    def _completed(self, _tick: Tick) -> None:
        self.metrics.ticks.inc()
        if self._engine is not None and self._engine.alive():
            self._notifier.progress()

    def _open_http(self) -> HttpServer:
        address, port = self._settings.metrics
        try:
            self.http = HttpServer(
                address,
                port,
                registry=self.metrics.registry,
                routes=record_routes(self._record_directory),
            )
        except OSError as error:
            raise ServiceError(
                f"Metrics cannot be served on {address} port {port}. End what listens there, or "
                "declare another port in site.toml.",
                str(error),
            ) from error
        return self.http


def _open_record(
    option: str, directory: Path, variables: Sequence[RecordVariable], kept_ms: int
) -> RecordWriter:
    """The record in `directory`, which `option` of the command line has named."""
    try:
        return RecordWriter(directory, variables, kept_ms)
    except OSError as error:
        raise ServiceError(
            f"The record cannot be kept in {directory}. Give {option} a directory that this user "
            "may write to.",
            str(error),
            code=EXIT_CONFIGURATION,
        ) from error


async def _first_of(*works: Coroutine[Any, Any, object]) -> None:
    """Run all until one of them ends, or fails; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
