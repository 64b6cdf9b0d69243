"""Requests to read an interval again (`opc.refill`): somebody saw that InfluxDB lacks it.

The offset of a request is committed when its values are acknowledged, so a request survives a
restart; its values are then sent twice at worst, and overwrite themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from fieldline.messages.ledger import Refill, decode_refill

from gap_filler.delivery import Delivery
from gap_filler.history import History, NoHistoryError
from gap_filler.metrics import Metrics
from gap_filler.plan import ServerPlan
from gap_filler.sender import REQUEST_S, SendError
from gap_filler.session import RefusedError, SessionError

# Requests known at once; further ones wait in the topic.
_MOST_REQUESTS = 1_000
# What is read at once.
_STEP_NS = 600_000_000_000
_RETRY_S = 2.0
# A request that a server refuses so often is left.
_ATTEMPTS = 5


@dataclass(slots=True)
class Target:
    """Where a variable's history is read."""

    plan: ServerPlan
    index: int
    history: History
    delivery: Delivery


@dataclass(slots=True)
class Wanted:
    """One interval of one variable, from one or several requests.

    Attributes:
        offset: behind the last of them.
    """

    asset: str
    variable: str
    since: int
    until: int
    offset: int

    def joins(self, request: Refill) -> bool:
        """Whether a later request is of the same variable and touches the interval."""
        return (
            (self.asset, self.variable) == (request.asset, request.variable)
            and request.since <= self.until
            and self.since <= request.until
        )


class Queue:
    """Requests in their order; several of one stretch are one."""

    def __init__(self) -> None:
        self._waiting: deque[Wanted] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, request: Refill, offset: int) -> bool:
        """Add a request, `offset` behind it; False where it joins the one before it.

        Only the last one, so that no offset is committed before an earlier request is done.
        """
        last = self._waiting[-1] if self._waiting else None
        if last is not None and last.joins(request):
            last.since = min(last.since, request.since)
            last.until = max(last.until, request.until)
            last.offset = offset
            return False
        self._waiting.append(
            Wanted(request.asset, request.variable, request.since, request.until, offset)
        )
        return True

    def first(self) -> Wanted | None:
        """The next one; it stays until `done`."""
        return self._waiting[0] if self._waiting else None

    def done(self) -> None:
        """Drop the first one."""
        self._waiting.popleft()


class Refiller:
    """Takes requests for the variables of this collector.

    Args:
        targets: by (asset, variable).
        now_ns: the time now, which no request may be ahead of.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        group: str,
        topic: str,
        targets: Mapping[tuple[str, str], Target],
        *,
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
        now_ns: Callable[[], int],
        beat: Callable[[], None],
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._group = group
        self._topic = topic
        self._targets = targets
        self._metrics = metrics
        self._log = log
        self._now_ns = now_ns
        self._beat = beat

    async def run(self) -> None:
        """Take requests for ever."""
        while True:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap_servers,
                client_id=self._group,
                group_id=self._group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                request_timeout_ms=int(REQUEST_S * 1000),
                max_poll_interval_ms=600_000,
            )
            try:
                async with asyncio.timeout(2 * REQUEST_S):
                    await consumer.start()
                await self._session(consumer)
            except (KafkaError, SendError, OSError, TimeoutError) as error:
                self._log.debug("requests cannot be read", cause=str(error))
            finally:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(2.0):
                        await consumer.stop()
            self._beat()
            await asyncio.sleep(_RETRY_S)

    async def _session(self, consumer: AIOKafkaConsumer) -> None:
        tp = TopicPartition(self._topic, 0)
        consumer.assign([tp])
        queue = Queue()
        refused = 0
        while True:
            if len(queue) < _MOST_REQUESTS:
                found = await consumer.getmany(timeout_ms=0 if len(queue) else 1_000)
                end = self._taken(queue, [r for rows in found.values() for r in rows])
                if not len(queue) and end:
                    await consumer.commit({tp: end})
            self._beat()
            wanted = queue.first()
            if wanted is None:
                continue
            try:
                done = await self._refill(wanted)
            except SessionError:
                # The server is away: its request waits, and all behind it.
                await asyncio.sleep(_RETRY_S)
                continue
            except (RefusedError, NoHistoryError) as error:
                refused += 1
                if refused < _ATTEMPTS:
                    await asyncio.sleep(_RETRY_S)
                    continue
                self._log.warning(
                    "an interval cannot be read again",
                    asset=wanted.asset,
                    variable=wanted.variable,
                    cause=str(error) or "the server offers no history",
                )
                self._metrics.refills.labels("refused").inc()
                done = True
            if done:
                refused = 0
                queue.done()
                await consumer.commit({tp: wanted.offset})

    def _taken(self, queue: Queue, records: list[object]) -> int:
        """Queue what is for us; the offset behind all that was looked at."""
        end = 0
        for record in records:
            end = record.offset + 1  # type: ignore[attr-defined]
            request = self._read(record.value or b"")  # type: ignore[attr-defined]
            if request is None:
                continue
            if (request.asset, request.variable) not in self._targets:
                # Another collector's, or of a site of yesterday.
                continue
            if not queue.put(request, end):
                self._metrics.refills.labels("joined").inc()
        return end

    def _read(self, raw: bytes) -> Refill | None:
        try:
            request = decode_refill(raw)
        except (msgspec.DecodeError, ValueError, RecursionError):
            self._metrics.refills.labels("unreadable").inc()
            return None
        if not request.since < request.until or request.since > self._now_ns():
            self._metrics.refills.labels("empty").inc()
            return None
        return request

    async def _refill(self, wanted: Wanted) -> bool:
        """Send the next step of an interval; True if it was the last.

        Raises:
            SessionError, RefusedError, NoHistoryError, SendError: it is to be tried again.
        """
        target = self._targets[wanted.asset, wanted.variable]
        now = self._now_ns()
        # What is older is not held by the server, what is younger comes by itself.
        since = max(wanted.since, now - target.plan.lookback_ms * 1_000_000)
        until = min(wanted.until, now)
        if target.history.offered is False:
            raise NoHistoryError
        await target.delivery.prepared()
        end = min(until, since + _STEP_NS)
        if since < end:
            async for read in target.history.read([target.index], since, end):
                if target.index in read.failed:
                    raise RefusedError(read.failed[target.index], "the variable cannot be read")
                count = sum(map(len, read.values.values()))
                if count:
                    await target.delivery.send(read.values)
                self._metrics.refilled.labels(target.plan.name).inc(count)
        wanted.since = max(end, wanted.since)
        if end < until:
            return False
        self._metrics.refills.labels("done").inc()
        return True
