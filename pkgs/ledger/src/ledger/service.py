"""The service around the rounds: sessions on Kafka, readiness, watchdog, metrics, stop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import structlog
from fieldline.errors import FieldlineError
from fieldline.influx import InfluxClient, InfluxRefusedError
from fieldline.influx.client import read_token
from fieldline.provision.topics import LEDGER
from fieldline.service import HttpServer, Notifier, ServiceError, configure_logging
from fieldline.site import Site, load_site
from fieldline.site.forms import HOUR
from fieldline.states import STATE_PATH, LedgerState, encode_state
from fieldline.stream import UnavailableError
from fieldline.stream.quiet import Quiet
from fieldline.verify.catalogue import catalogue_of

from ledger.book import Book
from ledger.guard import StoreGuard
from ledger.kafka import KafkaLog, Log
from ledger.metrics import Metrics
from ledger.probes import WRITERS, InfluxProbe, WriterProbe
from ledger.refills import Refills
from ledger.rounds import Rounds
from ledger.settings import Settings
from ledger.store import InfluxStore, Store

# Between two attempts to open a session.
_RETRY_S = 1.0
# InfluxDB counts for no more than this part of the time, whatever the size of the plant and the
# disk: after each question it is left in peace, and what is told meanwhile is read.
_SHARE = 0.05
# A question that is not answered at all within this is given up: half of the watchdog's time.
_ANSWER_S = 15.0


class Service:
    """Works on one session after another, until it is told to stop.

    Args:
        make_log: opens each session on connections of its own.
        guard: None where it may restart nothing.
        quiet: told when Kafka's client's own complaints have been said in better words.
    """

    def __init__(
        self,
        book: Book,
        store: Store,
        *,
        interval_s: float,
        metrics: Metrics,
        notifier: Notifier,
        log: structlog.stdlib.BoundLogger,
        make_log: Callable[[], Log],
        quiet: Quiet,
        refills: Refills | None = None,
        guard: StoreGuard | None = None,
        retry_s: float = _RETRY_S,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._book = book
        self._store = store
        self._interval_s = interval_s
        self._metrics = metrics
        self._notifier = notifier
        self._log = log
        self._make_log = make_log
        self._quiet = quiet
        self._refills = refills or Refills()
        self._guard = guard
        self._retry_s = retry_s
        self._clock = clock
        self._waiting_for = ""
        self._ready = False

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set.

        Raises:
            ServiceError: no retry can help; systemd starts us anew.
        """
        stopping = asyncio.ensure_future(stop.wait())
        working: list[asyncio.Future[None]] = [asyncio.ensure_future(self._work())]
        if self._guard is not None:
            # From the begin on: it does not need what the rounds wait for.
            working.append(asyncio.ensure_future(self._guard.run()))
        tasks: list[asyncio.Future[Any]] = [stopping, *working]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in working:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._notifier.stopping()
        self._log.info("stopped")

    def state(self) -> LedgerState:
        """What `GET /state` answers; called from the HTTP server's threads."""
        return LedgerState({} if self._guard is None else self._guard.restarts)

    def route(self, _rest: str, _query: str) -> tuple[int, str, Iterable[bytes]]:
        """The route `/state` of the HTTP server."""
        return 200, "application/json", [encode_state(self.state())]

    async def _work(self) -> None:
        while True:
            topic = self._make_log()
            try:
                await self._session(topic)
            except UnavailableError as error:
                self._wait_for(error)
            finally:
                await topic.close()
            await asyncio.sleep(self._retry_s)

    async def _session(self, topic: Log) -> None:
        """One session on Kafka; ends with an error."""
        await topic.open(self._book.begin_ns(self._clock()) // 10**6)
        self._quiet.waiting = False
        rounds = Rounds(
            self._book,
            topic,
            self._store,
            refills=self._refills,
            metrics=self._metrics,
            logger=self._log,
            beat=self._notifier.progress,
            clock=self._clock,
        )
        due = time.monotonic()
        round_: AsyncIterator[None] | None = None
        while True:
            entries = await topic.read()
            rounds.take(entries)
            if self._ready:
                self._notifier.progress()
            # What was there before us is read to its end first.
            if (entries and entries[-1].before) or time.monotonic() < due:
                continue
            begin = time.monotonic()
            round_ = round_ or rounds.round()
            if not await self._goes_on(round_):
                round_ = None
            took = time.monotonic() - begin
            due = time.monotonic() + max(0.0 if round_ else self._interval_s, took / _SHARE)

    async def _goes_on(self, round_: AsyncIterator[None]) -> bool:
        """Go on with a round; whether there is more of it."""
        try:
            await anext(round_)
        except StopAsyncIteration:
            return False
        except UnavailableError:
            raise
        except InfluxRefusedError as error:
            if error.status == 401:
                # A new token is in a file that is read when the unit starts.
                raise ServiceError(error.what_to_do, error.cause) from error
            self._wait_for(error)
        except FieldlineError as error:
            self._wait_for(error)
        else:
            self._there_again()
            return True
        return False

    def _there_again(self) -> None:
        status = f"watches {len(self._book.catalogue.variables)} variables"
        if self._waiting_for:
            self._log.info("what was waited for is there", was=self._waiting_for)
            self._waiting_for = ""
            self._notifier.status(status)
        if not self._ready:
            self._ready = True
            self._notifier.ready(status)

    def _wait_for(self, error: FieldlineError) -> None:
        """Say once what is missing, and keep still until it changes."""
        if self._waiting_for != error.what_to_do:
            self._waiting_for = error.what_to_do
            self._log.warning(error.what_to_do, cause=error.cause)
            self._notifier.status(error.what_to_do)
        self._quiet.waiting = isinstance(error, UnavailableError)
        # An attempt that has ended is progress, too: the service does all that it can.
        if self._ready:
            self._notifier.progress()
        else:
            self._notifier.waiting(error.what_to_do)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """The whole service, as started from the command line.

    Raises:
        FieldlineError: the site is wrong.
        ServiceError: it cannot go on; a restart may help.
    """
    log = configure_logging("ledger")
    quiet = Quiet()
    for handler in logging.getLogger().handlers:
        handler.addFilter(quiet)
    site = load_site(settings.site)
    catalogue = catalogue_of(site)
    try:
        token = read_token(settings.token_file)
    except FieldlineError as error:
        raise ServiceError(error.what_to_do, error.cause) from error
    metrics = Metrics()
    client = InfluxClient(settings.url, token, read_seconds=_ANSWER_S)
    # What InfluxDB itself drops is not lost.
    window_ms = min(settings.window_ms, site.influxdb.retention_ms - HOUR)
    service = Service(
        Book(catalogue, window_ms * 10**6),
        InfluxStore(client, site.influxdb, catalogue),
        interval_s=settings.interval_ms / 1e3,
        metrics=metrics,
        notifier=Notifier(),
        log=log,
        make_log=lambda: KafkaLog(
            settings.bootstrap_servers, settings.topics, site.topics["opc"].partitions
        ),
        quiet=quiet,
        guard=_guard_of(settings, site, metrics, log),
    )
    try:
        server = HttpServer(
            settings.metrics_address, settings.metrics_port, routes={STATE_PATH: service.route}
        )
    except OSError as error:
        raise ServiceError(
            f"--metrics {settings.metrics_address}:{settings.metrics_port} cannot be used; stop "
            "what listens there, or choose another address or port (metrics.ledger in site.toml).",
            str(error),
        ) from error
    server.start()
    log.info("started", variables=len(catalogue.variables), metrics_port=server.port)
    try:
        await service.run(stop)
    finally:
        server.stop()


def _guard_of(
    settings: Settings, site: Site, metrics: Metrics, log: structlog.stdlib.BoundLogger
) -> StoreGuard | None:
    if not settings.restart_files:
        return None
    partitions = {name: topic.partitions for name, topic in site.topics.items()}
    return StoreGuard(
        InfluxProbe(settings.url, settings.influxdb_directory),
        WriterProbe(settings.bootstrap_servers, {**partitions, LEDGER: 1}, WRITERS),
        settings.restart_files,
        metrics=metrics,
        log=log,
    )
