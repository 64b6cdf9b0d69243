"""The freshness guard of one server: which variables are stale, why, and Telegraf's restart."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import structlog
from asyncua import ua
from fieldline.service.restarter import Restarter
from fieldline.states import Restarts as RestartsState
from fieldline.states import StaleVariable, VariableTimes, variable_key

from gap_filler.feed import Feed
from gap_filler.history import History
from gap_filler.metrics import Metrics
from gap_filler.opcua import node_id
from gap_filler.reader import Reader
from gap_filler.session import RefusedError, Session, SessionError
from gap_filler.staleness import HOPS, WORDS, Cause, Restarts, Seen, cause_of, is_many, limits_ns

_CHECK_S = 1.0
# How often the server is asked about what is stale; two looks tell whether a value changes.
_ASK_S = 5.0
# Telegraf's attempts to connect are at most ten seconds apart, and its buffer takes time to empty.
_STEADY_S = 30.0
# Named in an event; the rest is a number.
_EXAMPLES = 5


class TelegrafRestarter:
    """Has Telegraf restarted where its subscriptions are dead.

    Args:
        path: see `Restarter`.
    """

    def __init__(
        self, path: Path | None, metrics: Metrics, log: structlog.stdlib.BoundLogger
    ) -> None:
        self._restarter = Restarter("Telegraf", path, metrics.restarts, log)
        self._rule = Restarts()
        self._dead: dict[str, tuple[int, int]] = {}

    @property
    def state(self) -> RestartsState:
        """What was asked for so far."""
        return self._restarter.state

    def consider(self, server: str, dead: int, variables: int) -> None:
        """Note how many subscriptions to a server are dead; restart if that is due."""
        self._dead[server] = (dead, variables)
        some = {name: counts for name, counts in self._dead.items() if counts[0]}
        many = any(is_many(*counts) for counts in some.values())
        if not self._rule.due(time.monotonic_ns(), dead=bool(some), many=many):
            return
        reason = "dead subscriptions: " + ", ".join(
            f"{count} of {total} to {name}" for name, (count, total) in some.items()
        )
        self._restarter.ask("subscription-dead", reason)


class Guard:
    """Watches one server's variables.

    Args:
        restarter: shared by the guards of all servers.
        beat: called after each look.
    """

    def __init__(
        self,
        feed: Feed,
        session: Session,
        history: History,
        reader: Reader,
        restarter: TelegrafRestarter,
        *,
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
        beat: Callable[[], None],
    ) -> None:
        self._feed = feed
        self._session = session
        self._history = history
        self._reader = reader
        self._restarter = restarter
        self._metrics = metrics
        self._log = log
        self._beat = beat
        self._limits = limits_ns([v.period_ns for v in feed.plan.variables])
        self._nodes = [node_id(v.node) for v in feed.plan.variables]
        # By index: why, since when (wall clock, ns), what the server said at first and at last.
        self._stale: dict[int, Cause] = {}
        self._first: dict[int, Seen] = {}
        self._last: dict[int, Seen] = {}
        self._asked_at = 0.0

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            await self.look()
            self._beat()
            await asyncio.sleep(_CHECK_S)

    async def look(self) -> None:
        """Look once: who is stale now, why, and what follows from it."""
        stale = self._stale_now()
        if stale is None:
            return
        causes = dict.fromkeys(stale, Cause.UNKNOWN)
        if not self._reader.connected:
            causes = dict.fromkeys(stale, Cause.KAFKA)
        elif not self._session.connected:
            causes = dict.fromkeys(stale, Cause.SERVER)
        elif stale:
            causes = await self._asked(stale)
        self._changed(causes)
        dead = 0
        if self._steady():
            dead = sum(cause is Cause.SUBSCRIPTION for cause in causes.values())
        self._restarter.consider(self._feed.plan.name, dead, len(self._nodes))

    def _steady(self) -> bool:
        """Whether Telegraf has had time to find server and Kafka again, if they were away.

        A restart just then would interrupt it, and throw away what it holds for Kafka.
        """
        caught_up = self._reader.caught_up_at
        if caught_up is None or not self._session.connected:
            return False
        return time.monotonic() - max(caught_up, self._session.connected_at) > _STEADY_S

    def _stale_now(self) -> list[int] | None:
        """Indices of what is stale; None while Kafka's records are still being read up."""
        if self._reader.connected and self._reader.caught_up_at is None:
            return None
        age = time.time_ns() - self._feed.arrived_ns
        return np.flatnonzero(age > self._limits).tolist()

    async def _asked(self, stale: list[int]) -> dict[int, Cause]:
        now = time.monotonic()
        known = {i: self._stale.get(i, Cause.UNKNOWN) for i in stale}
        if now - self._asked_at < _ASK_S:
            return known
        self._asked_at = now
        try:
            found = await self._session.read([self._nodes[index] for index in stale])
        except SessionError:
            return dict.fromkeys(stale, Cause.SERVER)
        except RefusedError as error:
            self._log.debug("the server does not let its values be read", cause=str(error))
            return known
        causes: dict[int, Cause] = {}
        # Some may have come while the server was asked.
        newest = self._feed.newest_ns
        for index, value in zip(stale, found, strict=False):
            seen = _seen(value)
            self._last[index] = seen
            causes[index] = cause_of(
                int(newest[index]), seen, self._first.get(index), own=self._feed.plan.server.own
            )
            self._first.setdefault(index, seen)
        return causes

    def _changed(self, causes: dict[int, Cause]) -> None:
        """Tell what begins and what ends, many variables in one event."""
        begun: dict[Cause, list[int]] = {}
        ended: dict[Cause, list[int]] = {}
        for index in self._stale.keys() | causes.keys():
            before, now = self._stale.get(index), causes.get(index)
            if before is now:
                continue
            if before is not None:
                ended.setdefault(before, []).append(index)
            if now is not None:
                begun.setdefault(now, []).append(index)
            else:
                self._first.pop(index, None)
                self._last.pop(index, None)
        self._stale = causes
        name = self._feed.plan.name
        for cause, indices in ended.items():
            self._event("no longer stale", cause, indices)
        for cause, indices in begun.items():
            self._metrics.stale_begun.labels(name, cause.value).inc(len(indices))
            self._event("stale", cause, indices)
        counts = Counter(causes.values())
        for cause in begun.keys() | ended.keys() | counts.keys():
            self._metrics.stale.labels(name, cause.value).set(counts[cause])
        self._holes([i for found in ended.values() for i in found if i not in causes])

    def _holes(self, indices: list[int]) -> None:
        """Where no history can fill it, a variable that was stale has a hole for good."""
        if indices and self._history.offered is False:
            self._metrics.holes.labels(self._feed.plan.name).inc(len(indices))
            self._log.warning(
                "a hole that no history fills",
                server=self._feed.plan.name,
                variables=len(indices),
                examples=[self._feed.plan.variables[i].key for i in indices[:_EXAMPLES]],
            )

    def _event(self, what: str, cause: Cause, indices: list[int]) -> None:
        # Neither is worth a line: it was not asked yet, or nothing is wrong.
        if cause in (Cause.UNKNOWN, Cause.UNCHANGED):
            return
        variables = self._feed.plan.variables
        self._log.warning(
            what,
            server=self._feed.plan.name,
            cause=cause.value,
            reason=WORDS[cause],
            variables=len(indices),
            examples=[variables[index].key for index in sorted(indices)[:_EXAMPLES]],
        )

    def state(self) -> tuple[dict[str, VariableTimes], list[StaleVariable]]:
        """Times of all variables, and those that are stale."""
        times: dict[str, VariableTimes] = {}
        stale: list[StaleVariable] = []
        causes, last = self._stale, self._last
        newest = self._feed.newest_ns.tolist()
        for index, variable in enumerate(self._feed.plan.variables):
            kafka = newest[index] if newest[index] >= 0 else None
            seen = last.get(index)
            times[variable_key(variable.asset, variable.name)] = VariableTimes(
                kafka,
                None if seen is None else seen.time_ns,
                None if seen is None else seen.status,
            )
            cause = causes.get(index)
            if cause is not None:
                stale.append(
                    StaleVariable(
                        variable.asset,
                        variable.name,
                        kafka,
                        HOPS[cause],
                        WORDS[cause],
                        cause.value,
                    )
                )
        return times, stale


def _seen(value: ua.DataValue) -> Seen:
    status = int(value.StatusCode.value) if value.StatusCode is not None else 0
    content = value.Value.Value if value.Value is not None else None
    at = value.SourceTimestamp
    time_ns = None if at is None else round(_utc(at) * 1e6) * 1_000
    return Seen(time_ns, status, content)


def _utc(at: datetime) -> float:
    # asyncua's times are of UTC, with or without saying so.
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
