"""The service around the loop: sessions on Kafka, readiness, watchdog, metrics, stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from fieldline.service import HttpServer, Notifier, ServiceError, configure_logging
from fieldline.site import load_site
from fieldline.states import STATE_PATH
from fieldline.stream import Broker, UnavailableError
from fieldline.stream.kafka import KafkaBroker
from fieldline.stream.quiet import Quiet

from stream_model.loop import ModelObserver, make_engine
from stream_model.metrics import Metrics
from stream_model.plan import Plan, longest_period_ms, make_plan
from stream_model.reports import Reports
from stream_model.settings import Settings
from stream_model.shown import Shown

# Between two attempts to open a session.
_RETRY_S = 1.0
# systemd waits 5 s after SIGTERM by the design; closing takes up to 2 s of them.
_FINISH_S = 2.5
_PERIODS = 3


class Service:
    """Runs loops on one session after another, until it is told to stop.

    Args:
        lookback_ms: how far back the log is read for what is not in the state.
        retention_ms: of the input topic.
        make_broker: opens each session on a broker of its own.
        quiet: told when the client's own complaints have been said in better words.
        shown: told what others may ask.
    """

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        lookback_ms: int,
        retention_ms: int,
        *,
        metrics: Metrics,
        notifier: Notifier,
        log: structlog.stdlib.BoundLogger,
        make_broker: Callable[[], Broker],
        quiet: Quiet,
        shown: Shown | None = None,
        retry_s: float = _RETRY_S,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._lookback_ms = lookback_ms
        self._retention_ms = retention_ms
        self._metrics = metrics
        self._notifier = notifier
        self._log = log
        self._make_broker = make_broker
        self._quiet = quiet
        self._retry_s = retry_s
        self._shown = shown or Shown()
        self._reports = Reports(log, self._shown)
        self._waiting_for = ""
        self._ready = False

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set.

        Raises:
            ServiceError: no retry can help; systemd starts us anew.
        """
        while not stop.is_set():
            broker = self._make_broker()
            try:
                await self._session(broker, stop)
            except UnavailableError as error:
                self._wait_for(error)
            finally:
                await broker.close()
            if not stop.is_set():
                await _either(stop, asyncio.sleep(self._retry_s))
        self._notifier.stopping()
        self._log.info("stopped")

    async def _session(self, broker: Broker, stop: asyncio.Event) -> None:
        """One session, from joining the group to leaving it."""
        if not await _either(stop, broker.open()):
            return
        if self._waiting_for:
            self._log.info("Kafka is there again" if self._ready else "Kafka is there")
            self._waiting_for = ""
        self._shown.waits("")
        self._quiet.waiting = False
        engine = make_engine(
            broker,
            self._plan,
            self._settings.topics,
            horizon_ns=self._settings.horizon_ms * 10**6,
            lookback_ms=self._lookback_ms,
            retention_ns=self._retention_ms * 10**6,
            observer=ModelObserver(
                self._metrics,
                self._reports,
                progress=self._notifier.progress,
                settled=self._settled,
            ),
            log=self._log,
        )
        working = asyncio.ensure_future(engine.run(stop))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            # A transaction under way is committed; one that hangs on Kafka is given up, and the
            # next start does its work again.
            await asyncio.wait({working}, timeout=_FINISH_S)
            if working.done():
                working.result()
            else:
                self._log.warning("stopped before the last records were acknowledged")
        finally:
            stopping.cancel()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    def _settled(self, partitions: frozenset[int]) -> None:
        shown = ", ".join(map(str, sorted(partitions))) or "none (others have them)"
        status = f"works on partitions {shown} of {self._settings.input}"
        self._log.info("partitions assigned", partitions=sorted(partitions))
        self._shown.works_on(partitions)
        if self._ready:
            self._notifier.status(status)
        else:
            self._ready = True
            self._notifier.ready(status)

    def _wait_for(self, error: UnavailableError) -> None:
        """Say once what is missing, and keep still until it changes."""
        if self._waiting_for != error.what_to_do:
            self._waiting_for = error.what_to_do
            self._log.warning(error.what_to_do, cause=error.cause)
            self._notifier.status(error.what_to_do)
            self._quiet.waiting = True
        self._shown.waits(error.what_to_do)
        # An attempt that has ended is progress, too: the service does all that it can.
        if self._ready:
            self._notifier.progress()
        else:
            self._notifier.waiting(error.what_to_do)


async def _either(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Await `work` unless `stop` is set first; whether it has been done. Its errors are raised."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return True
        return False
    finally:
        stopping.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """The whole service, as started from the command line.

    Raises:
        FieldlineError: the site or a model is wrong.
        ServiceError: it cannot go on; a restart may help.
    """
    log = configure_logging("stream-model")
    quiet = Quiet()
    for handler in logging.getLogger().handlers:
        handler.addFilter(quiet)
    site = load_site(settings.site)
    plan = make_plan(site)
    lookback = settings.lookback_ms or max(_PERIODS * longest_period_ms(site), settings.horizon_ms)
    shown = Shown()
    routes = {STATE_PATH: shown.route}
    try:
        server = HttpServer(settings.metrics_address, settings.metrics_port, routes=routes)
    except OSError as error:
        raise ServiceError(
            f"--metrics {settings.metrics_address}:{settings.metrics_port} cannot be used; stop "
            "what listens there, or choose another address or port (metrics.stream-model in "
            "site.toml).",
            str(error),
        ) from error
    server.start()
    log.info("started", assets=len(plan.assets), metrics_port=server.port, lookback_ms=lookback)
    service = Service(
        settings,
        plan,
        lookback,
        site.topics["opc"].retention_ms,
        metrics=Metrics(),
        notifier=Notifier(),
        log=log,
        make_broker=lambda: KafkaBroker(
            settings.bootstrap_servers, "stream-model", settings.topics, settings.instance
        ),
        quiet=quiet,
        shown=shown,
    )
    try:
        await service.run(stop)
    finally:
        server.stop()
