"""Reads the topic of values, all partitions, without a group: it alone knows how far it is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from fieldline.messages.opc import MEASUREMENT
from fieldline.stream.quiet import Quiet

from gap_filler.batch import Batch, read_value
from gap_filler.feed import Feed
from gap_filler.metrics import Metrics
from gap_filler.proof import Again, Cut, Next, Proof, Records
from gap_filler.sender import REQUEST_S, Sender, SendError
from gap_filler.trail import Mark

# Records taken on at once, so that the event loop is not held for long.
_MOST_RECORDS = 4_000
_POLL_MS = 250
_PROBE_S = 1.0
_RETRY_S = 1.0
# A source clock may be ahead of Kafka's by this much, and a value still be found.
_MARGIN_MS = 120_000


class Reader:
    """Gives each record to the feed of its server.

    Attributes:
        cuts: how often records were found lost that had been read; what was made of them before
            does not hold.

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
        self._partitions: list[TopicPartition] = []
        self._next: dict[int, int] = {}
        self._high: dict[int, int] = {}
        self._proof = Proof([feed.trail for feed in feeds])
        self._placed = False
        self._seeks = 0
        self._moved = asyncio.Condition()
        self._ends: dict[int, int] = {}
        self.cuts = 0
        self.connected = False
        self.problem = "not connected yet"
        self.caught_up_at: float | None = None

    async def run(self) -> None:
        """Read for ever; Kafka may go and come."""
        while True:
            try:
                await self._session()
            except OffsetOutOfRangeError:
                # The next session looks for what is left.
                pass
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
            auto_offset_reset="none",
            request_timeout_ms=int(REQUEST_S * 1000),
            # Nobody waits for what is read here: two answers a second, not one for each batch that
            # comes, of which there are ten a second and more in each partition.
            fetch_min_bytes=1024 * 1024,
            fetch_max_wait_ms=500,
            max_partition_fetch_bytes=2 * 1024 * 1024,
            max_poll_records=_MOST_RECORDS,
        )
        self._consumer = consumer
        async with asyncio.timeout(2 * REQUEST_S):
            await consumer.start()
        count = await self._sender.partitions(self._topic)
        self._partitions = [TopicPartition(self._topic, number) for number in range(count)]
        await self._resume(consumer)
        probing = asyncio.ensure_future(self._probe())
        try:
            while not probing.done():
                seeks = self._seeks
                found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_MOST_RECORDS)
                if found:
                    await self._sender.settled()
                # After a seek meanwhile they come once more.
                if found and seeks == self._seeks:
                    await self._take(found)
                    async with self._moved:
                        self._moved.notify_all()
                self._beat()
            probing.result()
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)

    async def _resume(self, consumer: AIOKafkaConsumer) -> None:
        """Go on where it was, in what is left of the log."""
        partitions = self._partitions
        if not self._placed:
            await self._place(self._begin_ns())
        async with asyncio.timeout(REQUEST_S):
            begins = await consumer.beginning_offsets(partitions)
            ends = await consumer.end_offsets(partitions)
        self._ends = {tp.partition: offset for tp, offset in ends.items()}
        verdicts = {
            tp.partition: self._proof.ends(tp.partition, begins[tp], ends[tp]) for tp in partitions
        }
        consumer.assign(partitions)
        for tp in partitions:
            self._go(tp.partition, max(self._next.get(tp.partition, 0), begins[tp]))
        await self._heed({number: found for number, found in verdicts.items() if found})

    def _begin_ns(self) -> int:
        return min(feed.arrivals.position_ns for feed in self._feeds)

    async def _probe(self) -> None:
        """See once a second whether Kafka answers, and where the topic ends.

        It returns where that is before what was read.
        """
        while True:
            # Before it is asked: what is read meanwhile may lie behind the ends that are told.
            read = {number: mark.offset for number, mark in self.marks.items()}
            try:
                self._ends = await self._asked_ends()
            except (KafkaError, OSError, TimeoutError) as error:
                self._lost(str(error) or "no broker answers")
            else:
                if any(end <= read.get(number, -1) for number, end in self._ends.items()):
                    return
                self._answered()
            await asyncio.sleep(_PROBE_S)

    async def _asked_ends(self) -> dict[int, int]:
        consumer = self._consumer
        if consumer is None:
            raise KafkaError("not connected")
        async with asyncio.timeout(REQUEST_S):
            ends = await consumer.end_offsets(self._partitions)
        return {tp.partition: offset for tp, offset in ends.items()}

    def _answered(self) -> None:
        if not self.connected:
            self._log.info("Kafka is there", topic=self._topic)
        self.connected, self.problem = True, ""
        self._quiet.waiting = False
        self._metrics.kafka.set(1)
        behind = bool(self._proof.doubted) or any(
            self._next.get(number, 0) < end for number, end in self._ends.items()
        )
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
        await self._place(since_ns)
        for number, offset in list(self._next.items()):
            self._go(number, offset)

    async def _place(self, since_ns: int) -> None:
        """Find where that is."""
        consumer, partitions = self._consumer, self._partitions
        if consumer is None:
            raise KafkaError("not connected")
        moment = max(0, since_ns // 1_000_000 - _MARGIN_MS)
        async with asyncio.timeout(REQUEST_S):
            found = await consumer.offsets_for_times(dict.fromkeys(partitions, moment))
            ends = await consumer.end_offsets(partitions)
        self._seeks += 1
        for tp in partitions:
            place = found.get(tp)
            self._next[tp.partition] = ends[tp] if place is None else place.offset
        self._placed = True

    def _go(self, number: int, offset: int) -> None:
        """Read a partition on at an offset, or at the newest record that was read of it."""
        self._next[number] = offset = self._proof.begin(number, offset)
        if self._consumer is not None:
            self._consumer.seek(TopicPartition(self._topic, number), offset)

    async def _heed(self, verdicts: Mapping[int, Again | Cut]) -> None:
        """Read again what has to be, and go back where records are lost."""
        cut = False
        for number, verdict in verdicts.items():
            if isinstance(verdict, Again):
                self._go(number, verdict.offset)
            else:
                cut = True
                self._cut(number, verdict)
        if cut or self._proof.doubted:
            self.cuts += 1
            self.caught_up_at = None
        if cut:
            # Where it fails, the next session does it.
            self._placed = False
            if not self._proof.doubted:
                await self._seek(self._begin_ns())

    def _cut(self, number: int, cut: Cut) -> None:
        for feed in self._feeds:
            feed.cut(number, cut.end)
        self._sender.cut(number, cut.end)
        self._high[number] = min(cut.end, self._high.get(number, 0))
        self._metrics.lost_ends.inc()
        self._log.error(
            "Kafka has lost records that it had acknowledged: the end of its log was cut off. What "
            "was collected since is compared with the servers' histories once more",
            topic=self._topic,
            partition=number,
            read_until=cut.read,
            the_same_until=cut.end,
            since_ns=self._begin_ns(),
        )

    @property
    def marks(self) -> dict[int, Mark]:
        """By partition the newest record that was read."""
        return self._proof.marks

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
            TimeoutError: nothing moves any more. KafkaError: Kafka has lost records.
        """

        cuts = self.cuts

        def reached() -> bool:
            if cuts != self.cuts:
                raise KafkaError("records were lost meanwhile")
            return all(self._next.get(number, 0) >= end for number, end in offsets.items())

        async with self._moved:
            while not reached():
                async with asyncio.timeout(REQUEST_S):
                    await self._moved.wait()

    async def _take(self, found: Mapping[TopicPartition, Records]) -> None:
        batches: dict[int, Batch] = {}
        verdicts: dict[int, Again | Cut] = {}
        doubted = self._proof.doubted
        for tp, polled in found.items():
            number = tp.partition
            if doubted and number not in doubted:
                # All is read again when it is known from where on.
                continue
            verdict = self._proof.given(number, polled)
            if not isinstance(verdict, Next):
                verdicts[number] = verdict
                continue
            records = verdict.records
            until = polled[-1].offset + 1
            own = self._sender.own(number, until)
            high = self._high.get(number, 0)
            for record in records:
                self._one(record, own, record.offset < high, batches)
            self._next[number] = until
            self._high[number] = max(high, until)
        for number, batch in batches.items():
            batch.give(self._feeds[number])
        await self._heed(verdicts)
        if all(self._next.get(number, 0) >= high for number, high in self._high.items()):
            for feed in self._feeds:
                feed.rereading = False

    def _one(
        self,
        record: ConsumerRecord[Any, Any],
        own: Sequence[tuple[int, int]],
        again: bool,
        batches: dict[int, Batch],
    ) -> None:
        value = read_value(record.value)
        if value is None:
            self._metrics.unused.labels("unreadable").inc()
            return
        place = self._places.get((value.tags.asset, value.tags.id))
        if place is None or value.name != MEASUREMENT:
            # Another collector's, mostly.
            return
        batches.setdefault(place[0], Batch()).add(place[1], value, record, own, again)

    async def _stopped(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(2.0):
                    await consumer.stop()

    async def close(self) -> None:
        """Close the connection; `run` is to be cancelled before."""
        await self._stopped()
