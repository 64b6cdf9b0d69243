"""Reads the topic of values, all partitions, without a group: it alone knows how far it is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from fieldline.messages.opc import MEASUREMENT
from fieldline.messages.quality import quality_code
from fieldline.stream.quiet import Quiet

from gap_filler.feed import Feed
from gap_filler.metrics import Metrics
from gap_filler.sender import REQUEST_S, Sender, SendError

# Records taken on at once, so that the event loop is not held for long.
_MOST_RECORDS = 4_000
_POLL_MS = 250
_PROBE_S = 1.0
_RETRY_S = 1.0
# A source clock may be ahead of Kafka's by this much, and a value still be found.
_MARGIN_MS = 120_000


class _Tags(msgspec.Struct, gc=False):
    asset: str = ""
    id: str = ""


class _Fields(msgspec.Struct, gc=False):
    quality: str = msgspec.field(default="", name="Quality")


class _Record(msgspec.Struct, gc=False):
    name: str
    timestamp: int
    tags: _Tags
    fields: _Fields


_decode = msgspec.json.Decoder(_Record).decode
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError, OverflowError)


class _Batch:
    """Records of one feed, column by column, as `Feed.take` wants them."""

    __slots__ = ("again", "appended", "good", "indices", "own", "times")

    def __init__(self) -> None:
        self.indices: list[int] = []
        self.times: list[int] = []
        self.good: list[bool] = []
        self.appended: list[int] = []
        self.own: list[bool] = []
        self.again: list[bool] = []


class Reader:
    """Gives each record to the feed of its server.

    Args:
        feeds: those of this collector.
        sender: knows which records are our own.
        quiet: told while Kafka is known to be away.
        beat: called after each step.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        client_id: str,
        topic: str,
        feeds: Sequence[Feed],
        *,
        sender: Sender,
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
        quiet: Quiet,
        beat: Callable[[], None],
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._client_id = client_id
        self._topic = topic
        self._feeds = feeds
        self._places: dict[tuple[str, str], tuple[int, int]] = {
            (variable.asset, str(variable.node)): (number, index)
            for number, feed in enumerate(feeds)
            for index, variable in enumerate(feed.plan.variables)
        }
        self._sender = sender
        self._metrics = metrics
        self._log = log
        self._quiet = quiet
        self._beat = beat
        self._consumer: AIOKafkaConsumer | None = None
        # By partition: where it reads next, and behind the furthest record that it has ever read.
        self._next: dict[int, int] = {}
        self._high: dict[int, int] = {}
        self._seeks = 0
        self._moved = asyncio.Condition()
        self._ends: dict[int, int] = {}
        self.connected = False
        self.problem = "not connected yet"
        self.caught_up_at: float | None = None

    async def run(self) -> None:
        """Read for ever; Kafka may go and come."""
        while True:
            try:
                await self._session()
            except (KafkaError, SendError, OSError, TimeoutError) as error:
                self._lost(str(error) or "no broker answers")
            finally:
                await self._stopped()
            self._beat()
            await asyncio.sleep(_RETRY_S)

    async def _session(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers,
            client_id=self._client_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=int(REQUEST_S * 1000),
            max_partition_fetch_bytes=2 * 1024 * 1024,
            max_poll_records=_MOST_RECORDS,
        )
        self._consumer = consumer
        async with asyncio.timeout(2 * REQUEST_S):
            await consumer.start()
        count = await self._sender.partitions(self._topic)
        consumer.assign([TopicPartition(self._topic, number) for number in range(count)])
        if not self._next:
            await self._seek(min(feed.arrivals.position_ns for feed in self._feeds))
        for number, offset in self._next.items():
            consumer.seek(TopicPartition(self._topic, number), offset)
        probing = asyncio.ensure_future(self._probe())
        try:
            while not probing.done():
                seeks = self._seeks
                found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_MOST_RECORDS)
                if found:
                    await self._sender.settled()
                # After a seek meanwhile they come once more.
                if found and seeks == self._seeks:
                    self._take(found)
                    async with self._moved:
                        self._moved.notify_all()
                self._beat()
            probing.result()
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)

    async def _probe(self) -> None:
        """See once a second whether Kafka answers, and where the topic ends."""
        while True:
            try:
                self._ends = await self._asked_ends()
            except (KafkaError, OSError, TimeoutError) as error:
                self._lost(str(error) or "no broker answers")
            else:
                self._answered()
            await asyncio.sleep(_PROBE_S)

    async def _asked_ends(self) -> dict[int, int]:
        consumer = self._consumer
        if consumer is None:
            raise KafkaError("not connected")
        async with asyncio.timeout(REQUEST_S):
            ends = await consumer.end_offsets(list(consumer.assignment()))
        return {tp.partition: offset for tp, offset in ends.items()}

    def _answered(self) -> None:
        if not self.connected:
            self._log.info("Kafka is there", topic=self._topic)
        self.connected, self.problem = True, ""
        self._quiet.waiting = False
        self._metrics.kafka.set(1)
        behind = any(self._next.get(number, 0) < end for number, end in self._ends.items())
        if not behind and self.caught_up_at is None:
            self.caught_up_at = time.monotonic()

    def _lost(self, why: str) -> None:
        if self.connected or self.problem == "not connected yet":
            self._log.warning(
                "Kafka does not answer; it is tried again until it does.",
                bootstrap_servers=self._bootstrap_servers,
                cause=why,
            )
        self.connected, self.problem, self.caught_up_at = False, why, None
        self._quiet.waiting = True
        self._metrics.kafka.set(0)

    async def _seek(self, since_ns: int) -> None:
        """Read on at the first record that may have a source time from `since_ns` on."""
        consumer = self._consumer
        if consumer is None:
            raise KafkaError("not connected")
        partitions = list(consumer.assignment())
        moment = max(0, since_ns // 1_000_000 - _MARGIN_MS)
        async with asyncio.timeout(REQUEST_S):
            found = await consumer.offsets_for_times(dict.fromkeys(partitions, moment))
            ends = await consumer.end_offsets(partitions)
        self._seeks += 1
        for tp in partitions:
            place = found.get(tp)
            offset = ends[tp] if place is None else place.offset
            self._next[tp.partition] = offset
            consumer.seek(tp, offset)

    async def rewind(self, since_ns: int) -> None:
        """Give once more what may have a source time from `since_ns` on.

        Raises:
            KafkaError, OSError, TimeoutError: Kafka does not answer.
        """
        self._metrics.reread.inc()
        await self._seek(since_ns)

    async def reach_end(self) -> None:
        """Wait until everything is read that is in the topic now.

        Raises:
            KafkaError, OSError, TimeoutError: Kafka does not answer.
        """
        await self.reach(await self._asked_ends())

    async def reach(self, offsets: Mapping[int, int]) -> None:
        """Wait until each partition is read up to an offset.

        Raises:
            TimeoutError: nothing moves any more.
        """

        def reached() -> bool:
            return all(self._next.get(number, 0) >= end for number, end in offsets.items())

        async with self._moved:
            while not reached():
                async with asyncio.timeout(REQUEST_S):
                    await self._moved.wait()

    def _take(self, found: Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]]) -> None:
        batches: dict[int, _Batch] = {}
        for tp, records in found.items():
            number = tp.partition
            until = records[-1].offset + 1
            own = self._sender.own(number, until)
            high = self._high.get(number, 0)
            for record in records:
                self._one(record, own, record.offset < high, batches)
            self._next[number] = until
            self._high[number] = max(high, until)
        for number, batch in batches.items():
            self._feeds[number].take(
                batch.indices, batch.times, batch.good, batch.appended, batch.own, batch.again
            )
        if all(self._next[number] >= high for number, high in self._high.items()):
            for feed in self._feeds:
                feed.rereading = False

    def _one(
        self,
        record: ConsumerRecord[Any, Any],
        own: Sequence[tuple[int, int]],
        again: bool,
        batches: dict[int, _Batch],
    ) -> None:
        try:
            value = _decode(record.value or b"")
        except _UNREADABLE:
            self._metrics.unused.labels("unreadable").inc()
            return
        place = self._places.get((value.tags.asset, value.tags.id))
        if place is None or value.name != MEASUREMENT:
            # Another collector's, mostly.
            return
        batch = batches.setdefault(place[0], _Batch())
        batch.indices.append(place[1])
        batch.times.append(value.timestamp)
        batch.good.append(quality_code(value.fields.quality) == 0)
        batch.appended.append(record.timestamp * 1_000_000)
        batch.own.append(any(first <= record.offset < end for first, end in own))
        batch.again.append(again)

    async def _stopped(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(2.0):
                    await consumer.stop()

    async def close(self) -> None:
        """Close the connection; `run` is to be cancelled before."""
        await self._stopped()
