"""Fills one server's holes: window by window, oldest first, from the server's own history.

Oldest first, since whoever computes from the values again wants whole holes in the order of time.
A hole behind many others is in Kafka late then, and is so anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog
from aiokafka.errors import KafkaError
from fieldline.messages.ledger import hour_of
from numpy.typing import NDArray

from gap_filler.ahead import ahead
from gap_filler.arrivals import WINDOW_NS, Received
from gap_filler.delivery import Delivery
from gap_filler.feed import Feed
from gap_filler.history import History, NoHistoryError, Read
from gap_filler.metrics import Metrics
from gap_filler.opcua import node_id
from gap_filler.reader import Reader
from gap_filler.sender import SendError
from gap_filler.session import RefusedError, Session, SessionError
from gap_filler.store import Store
from gap_filler.windows import Moment, settled_ns, span_end_ns
from gap_filler.wire import Values

_IDLE_S = 0.5
_RETRY_S = 2.0
_CLOCK_S = 30.0
_SAVE_S = 30.0
# A server that had no history may have been given one.
_ASK_AGAIN_S = 600.0
_ATTEMPTS = 5

_CURRENT_TIME = node_id("i=2258")


@dataclass(slots=True)
class _Look:
    """What a span was found to hold; arrays of shape (variables,)."""

    produced: NDArray[np.int64]
    known: NDArray[np.bool_]
    # By variable the source times that were missing.
    missing: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)


class Filler:
    """Works on one server.

    Args:
        settle_s, patience_s: see `Settings`.
        beat: called whenever a step has ended, however.
    """

    def __init__(
        self,
        feed: Feed,
        session: Session,
        history: History,
        reader: Reader,
        delivery: Delivery,
        *,
        settle_s: float,
        patience_s: float,
        store: Store,
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
        beat: Callable[[], None],
    ) -> None:
        self._feed = feed
        self._session = session
        self._history = history
        self._reader = reader
        self._delivery = delivery
        self._settle_s = settle_s
        self._patience_s = patience_s
        self._store = store
        self._metrics = metrics
        self._log = log
        self._beat = beat
        self._sessions = 0
        self._clock_at = self._saved_at = self._asked_at = 0.0
        self._attempts = self._cuts = 0
        self._told_none = False
        # Sent of the span under way, by variable; an attempt that fails has sent some of it.
        self._filled = np.zeros(len(feed.plan.variables), np.int64)

    async def run(self) -> None:
        """Fill for ever."""
        while True:
            pause = _RETRY_S
            try:
                pause = await self.step()
                self._attempts = 0
            except (SessionError, RefusedError) as error:
                self._again(error)
            except (SendError, KafkaError, OSError, TimeoutError) as error:
                self._log.debug("Kafka did not take part", cause=str(error))
            self._beat()
            if pause:
                await asyncio.sleep(pause)

    def _again(self, error: Exception) -> None:
        self._attempts += 1
        if self._attempts == _ATTEMPTS:
            self._log.warning(
                "the history cannot be read; it is tried again until it can",
                server=self._feed.plan.name,
                cause=str(error),
            )

    async def step(self) -> float:
        """Look at the next span, if one is settled; how long to wait before the next step, s.

        Raises:
            SessionError, RefusedError: the server.
            SendError, KafkaError, OSError, TimeoutError: Kafka. The span is looked at again.
        """
        feed = self._feed
        self._metrics.connected.labels(feed.plan.name).set(self._session.connected)
        if not self._session.connected or not self._reader.connected:
            return _IDLE_S
        await self._prepared()
        if self._cuts != self._reader.cuts:
            # What was under way is of no matter any more.
            self._cuts = self._reader.cuts
            self._filled = np.zeros_like(self._filled)
        if feed.arrivals.limit_ns is not None and feed.arrivals.limit_ns <= self.position_ns:
            feed.arrivals.reset()
            feed.rereading = True
            await self._reader.rewind(self.position_ns)
            await self._reader.reach_end()
        if feed.spoiled and self._history.offered:
            await self._mend()
        until = self._until()
        if until <= self.position_ns:
            return _IDLE_S
        await self._reader.reach_end()
        if self._until() < until:
            # Something came meanwhile: Telegraf is catching up.
            return _IDLE_S
        await self._look(until)
        return 0.0

    async def _mend(self) -> None:
        """Send values again that were spoiled after their windows were closed."""
        spoiled, self._feed.spoiled = self._feed.spoiled, set()
        try:
            while spoiled:
                index, time_ns = next(iter(spoiled))
                async for read in self._history.read([index], time_ns, time_ns + 1):
                    if any(map(len, read.values.values())):
                        await self._delivery.send(read.values)
                        self._metrics.mended.labels(self._feed.plan.name).inc()
                spoiled.discard((index, time_ns))
        finally:
            self._feed.spoiled |= spoiled

    @property
    def position_ns(self) -> int:
        """Begin of the first window that is not closed."""
        return self._feed.arrivals.position_ns

    def _until(self) -> int:
        feed, now = self._feed, time.monotonic()
        if self._reader.caught_up_at is None:
            return 0
        quiet = now - max(
            feed.last_arrival,
            self._reader.caught_up_at,
            self._session.connected_at,
        )
        moment = Moment(time.time_ns() + feed.offset_ns, feed.newest(), quiet)
        settled = settled_ns(moment, self._settle_s, self._patience_s)
        until = span_end_ns(self.position_ns, settled, feed.plan.rate)
        if self.position_ns < feed.counted_ns:
            until = min(until, feed.counted_ns)
        limit = feed.arrivals.limit_ns
        return until if limit is None else min(until, limit)

    async def _prepared(self) -> None:
        """What is due once per session, or from time to time."""
        now = time.monotonic()
        if self._sessions != self._session.sessions:
            self._sessions = self._session.sessions
            self._history.forget()
            self._clock_at = 0.0
        if self._history.offered is False and now - self._asked_at > _ASK_AGAIN_S:
            self._asked_at = now
            self._history.forget()
        if not self._clock_at or now - self._clock_at > _CLOCK_S:
            await self._read_clock()
            self._clock_at = now
        await self._delivery.prepared()
        await self._bounded()

    async def _read_clock(self) -> None:
        before = time.time_ns()
        [value] = await self._session.read([_CURRENT_TIME])
        after = time.time_ns()
        found = value.Value.Value if value.Value is not None else None
        if found is not None and hasattr(found, "timestamp"):
            told = round(found.timestamp() * 1e6) * 1_000
            self._feed.offset_ns = told - (before + after) // 2

    async def _bounded(self) -> None:
        """Give up what nobody can fill any more, and begin where the history does."""
        feed = self._feed
        now = time.time_ns() + feed.offset_ns
        oldest = now - feed.plan.lookback_ms * 1_000_000
        oldest -= oldest % WINDOW_NS
        if self.position_ns < oldest:
            lost = oldest - self.position_ns
            self._metrics.given_up.labels(feed.plan.name).inc(lost / 1e9)
            self._log.warning(
                "a hole is too old to be filled",
                server=feed.plan.name,
                since_ns=self.position_ns,
                until_ns=oldest,
            )
            feed.arrivals.close(oldest)
        if self._store.fresh and self._history.offered is not False:
            try:
                first = await self._history.first_ns(self.position_ns, now)
            except NoHistoryError:
                self._without_history()
                first = None
            # Before its first value is nothing to fill; without any, what comes is counted.
            begin = hour_of(now) if first is None else first
            feed.begin(begin)
            self._store.fresh = False

    async def _look(self, until: int) -> None:
        feed, since = self._feed, self.position_ns
        received = feed.arrivals.received(until)
        count = len(feed.plan.variables)
        look = _Look(np.zeros(count, np.int64), np.zeros(count, np.bool_))
        if self._history.offered is not False:
            try:
                await self._compare(since, until, received, look)
            except NoHistoryError:
                self._without_history()
                look.known[:] = False
        left = np.zeros_like(look.produced)
        if look.missing:
            await self._reader.reach(look.ends)
            received = feed.arrivals.received(until)
            for index, times in look.missing.items():
                left[index] = len(times) - int(np.isin(times, received.of(index)).sum())
            if left.any():
                self._metrics.unfilled.labels(feed.plan.name).inc(int(left.sum()))
        if self._filled.any():
            self._log.info(
                "hole filled",
                server=feed.plan.name,
                values=int(self._filled.sum()),
                variables=int((self._filled > 0).sum()),
                since_ns=since,
                until_ns=until,
            )
        if self._cuts == self._reader.cuts:
            self._close(until, received, look, left)

    def _without_history(self) -> None:
        self._asked_at = time.monotonic()
        if not self._told_none:
            self._told_none = True
            self._log.warning(
                "the server offers no history: holes can be told, but not filled",
                server=self._feed.plan.name,
            )

    async def _compare(self, since: int, until: int, received: Received, look: _Look) -> None:
        """Find out what the history has and Kafka has not, and send it."""
        try:
            counts = await self._history.counts(since, until)
        except NoHistoryError:
            counts = np.full(len(look.produced), -1, np.int64)
        # A count is of good values; where there are others, only the values themselves tell.
        plain = (counts == received.good) & ~received.bad
        plain[received.indices[received.spoiled]] = False
        look.produced[plain] = counts[plain]
        look.known |= plain
        suspicious = np.flatnonzero(~plain).tolist()
        if not suspicious:
            return
        reading = ahead(self._history.read(suspicious, since, until))
        async with contextlib.aclosing(reading) as reads:
            async for read in reads:
                await self._fill(read, received, look)
                self._beat()

    async def _fill(self, read: Read, received: Received, look: _Look) -> None:
        """Send what Kafka lacks of these values."""
        missing: dict[int, Values] = {}
        for index, values in read.values.items():
            look.produced[index] = len(values)
            look.known[index] = True
            absent = ~np.isin(values.times, received.whole(index))
            if absent.any():
                missing[index] = _some(values, absent)
        if missing:
            for index, values in missing.items():
                look.missing[index] = values.times
            self._metrics.missing.labels(self._feed.plan.name).inc(sum(map(len, missing.values())))
            ends = await self._delivery.send(missing)
            for index, values in missing.items():
                self._filled[index] += len(values)
            for partition, end in ends.items():
                look.ends[partition] = max(end, look.ends.get(partition, 0))

    def _close(self, until: int, received: Received, look: _Look, left: NDArray[np.int64]) -> None:
        feed, hour = self._feed, hour_of(self.position_ns)
        if self.position_ns < feed.counted_ns:
            feed.tally.again(hour, missing=left, filled=self._filled)
        else:
            distinct = received.counts()
            late = np.bincount(received.indices[received.late], minlength=len(distinct))
            feed.tally.closed(
                hour,
                look.known,
                produced=np.where(look.known, look.produced, 0),
                received=distinct,
                missing=left,
                filled=self._filled,
                late=late,
                doubled=received.records - distinct,
            )
        name = feed.plan.name
        self._metrics.windows.labels(name).inc((until - self.position_ns) // WINDOW_NS)
        self._filled = np.zeros_like(self._filled)
        feed.arrivals.close(until)
        feed.trail.note(feed.arrivals.position_ns, self._reader.marks)
        self._metrics.position.labels(name).set(until / 1e9)
        self._metrics.held.labels(name).set(feed.arrivals.held)
        if time.monotonic() - self._saved_at > _SAVE_S:
            self.save()

    def save(self) -> None:
        """Keep the position and the totals that belong to it."""
        self._saved_at = time.monotonic()
        self._store.save(self._feed)


def _some(values: Values, which: NDArray[np.bool_]) -> Values:
    if isinstance(values.values, np.ndarray):
        return Values(values.times[which], values.statuses[which], values.values[which])
    kept: Sequence[int] = np.flatnonzero(which).tolist()
    return Values(
        values.times[which], values.statuses[which], [values.values[place] for place in kept]
    )
