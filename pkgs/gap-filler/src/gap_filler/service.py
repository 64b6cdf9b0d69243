"""The service: one set of parts per server, one reader and one sender for all."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from fieldline.service import (
    EXIT_CONFIGURATION,
    HttpServer,
    Notifier,
    ServiceError,
    configure_logging,
)
from fieldline.site import load_site
from fieldline.states import STATE_PATH, GapFillerState, ServerState, encode_state
from fieldline.stream.quiet import Quiet

from gap_filler.delivery import Delivery
from gap_filler.feed import Feed
from gap_filler.filler import Filler
from gap_filler.guard import Guard, TelegrafRestarter
from gap_filler.history import History
from gap_filler.metrics import Metrics
from gap_filler.plan import ServerPlan, make_plans
from gap_filler.pulse import Pulse
from gap_filler.reader import Reader
from gap_filler.refill import Refiller, Target
from gap_filler.sender import Pace, Sender
from gap_filler.session import Credentials, Session, quiet_asyncua
from gap_filler.settings import Settings
from gap_filler.store import Store
from gap_filler.teller import Teller

# systemd waits 5 s after SIGTERM by the design.
_FINISH_S = 2.0


@dataclass(slots=True)
class _Parts:
    """What works on one server."""

    plan: ServerPlan
    feed: Feed
    session: Session
    history: History
    delivery: Delivery
    filler: Filler
    guard: Guard


class Service:
    """All parts of one collector's gap filler."""

    def __init__(
        self,
        settings: Settings,
        plans: tuple[ServerPlan, ...],
        *,
        metrics: Metrics,
        notifier: Notifier,
        log: structlog.stdlib.BoundLogger,
        quiet: Quiet,
    ) -> None:
        self._settings = settings
        self._log = log
        self._notifier = notifier
        client = f"gap-filler-{settings.collector}"
        pulse = Pulse(notifier)
        stores = {plan.name: Store(settings.state, plan, log) for plan in plans}
        # Each server has its share of the memory by its declared rate.
        share = settings.memory_values / sum(plan.rate for plan in plans)
        feeds = [
            Feed(
                plan,
                stores[plan.name].position_ns(time.time_ns()),
                round(share * plan.rate),
                metrics,
            )
            for plan in plans
        ]
        for feed in feeds:
            stores[feed.plan.name].restore(feed)
        self._sender = Sender(settings.bootstrap_servers, client, settings.topic)
        self._reader = Reader(
            settings.bootstrap_servers,
            client,
            settings.topic,
            feeds,
            sender=self._sender,
            metrics=metrics,
            log=log,
            quiet=quiet,
            beat=pulse.of("reader"),
        )
        self._restarter = TelegrafRestarter(settings.restart, metrics, log)
        pace = Pace(settings.rate)
        self._parts: list[_Parts] = []
        for feed in feeds:
            plan = feed.plan
            session = Session(plan.server, _credentials(settings, plan), log)
            history = History(plan, session, metrics, log)
            beat = pulse.of(f"filler {plan.name}")
            delivery = Delivery(plan, self._sender, settings.topic, pace, metrics, beat)
            filler = Filler(
                feed,
                session,
                history,
                self._reader,
                delivery,
                settle_s=settings.settle_s,
                patience_s=settings.patience_s,
                store=stores[plan.name],
                metrics=metrics,
                log=log,
                beat=beat,
            )
            guard = Guard(
                feed,
                session,
                history,
                self._reader,
                self._restarter,
                metrics=metrics,
                log=log,
                beat=pulse.of(f"guard {plan.name}"),
            )
            self._parts.append(_Parts(plan, feed, session, history, delivery, filler, guard))
        self._session_beats = [pulse.of(f"session {parts.plan.name}") for parts in self._parts]
        self._refiller = Refiller(
            settings.bootstrap_servers,
            client,
            settings.refill,
            {
                (variable.asset, variable.name): Target(
                    parts.plan, index, parts.history, parts.delivery
                )
                for parts in self._parts
                for index, variable in enumerate(parts.plan.variables)
            },
            metrics=metrics,
            log=log,
            now_ns=time.time_ns,
            beat=pulse.of("refiller"),
        )
        self._teller = Teller(
            feeds,
            self._sender,
            settings.ledger,
            metrics=metrics,
            log=log,
            beat=pulse.of("teller"),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set.

        Raises:
            Exception: a part failed in a way that nobody foresaw; systemd starts all anew.
        """
        works = [self._reader.run(), self._refiller.run(), self._teller.run()]
        for parts, beat in zip(self._parts, self._session_beats, strict=True):
            works += [parts.session.run(beat), parts.filler.run(), parts.guard.run()]
        tasks = [asyncio.ensure_future(work) for work in works]
        stopping = asyncio.ensure_future(stop.wait())
        variables = sum(len(parts.plan.variables) for parts in self._parts)
        self._notifier.ready(f"looks after {variables} variables")
        try:
            await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._notifier.stopping()
            for task in (stopping, *tasks):
                task.cancel()
            await asyncio.wait([stopping, *tasks], timeout=_FINISH_S)
            for parts in self._parts:
                parts.filler.save()
            await self._sender.close()
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()
        self._log.info("stopped")

    def state(self) -> GapFillerState:
        """What `GET /state` answers; called from the HTTP server's threads."""
        state = GapFillerState({}, {}, [], {"telegraf": self._restarter.state})
        for parts in self._parts:
            session = parts.session
            state.servers[parts.plan.name] = ServerState(
                session.connected, session.problem, parts.history.offered
            )
            times, stale = parts.guard.state()
            state.variables.update(times)
            state.stale.extend(stale)
        return state

    def route(self, _rest: str, _query: str) -> tuple[int, str, Iterable[bytes]]:
        """The route `/state` of the HTTP server."""
        return 200, "application/json", [encode_state(self.state())]


def _credentials(settings: Settings, plan: ServerPlan) -> Credentials:
    return Credentials(settings.certificate, settings.key, settings.passwords.get(plan.name))


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """The whole service, as started from the command line.

    Raises:
        FieldlineError: the site is wrong, or has no such collector.
        ServiceError: a directory or a port cannot be had.
    """
    log = configure_logging("gap-filler")
    quiet = Quiet()
    for handler in logging.getLogger().handlers:
        handler.addFilter(quiet)
    quiet_asyncua()
    plans = make_plans(load_site(settings.site), settings.collector)
    try:
        settings.state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceError(
            f"--state {settings.state} cannot be made. Give a directory that this user may write "
            "to.",
            str(error),
            code=EXIT_CONFIGURATION,
        ) from error
    service = Service(settings, plans, metrics=Metrics(), notifier=Notifier(), log=log, quiet=quiet)
    address, port = settings.metrics
    try:
        server = HttpServer(address, port, routes={STATE_PATH: service.route})
    except OSError as error:
        raise ServiceError(
            f"--metrics {address}:{port} cannot be used; stop what listens there, or choose "
            "another address or port (metrics.gap-filler in site.toml).",
            str(error),
        ) from error
    server.start()
    log.info("started", servers=[plan.name for plan in plans], metrics_port=server.port)
    try:
        await service.run(stop)
    finally:
        server.stop()
