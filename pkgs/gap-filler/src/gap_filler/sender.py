"""Writes to Kafka beside Telegraf: acknowledged, in batches, and no faster than allowed.

It remembers where its own records of the topic of values came to lie, since whoever reads them
there must tell them from Telegraf's: they do not show that the collection lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from fieldline.messages.headers import Headers

REQUEST_S = 10.0
_BATCH_BYTES = 512 * 1024
# A batch waits at most two requests' time; then it has failed.
_SEND_S = 2 * REQUEST_S

# Key and value of a record.
Record = tuple[bytes, bytes]


class SendError(Exception):
    """Kafka did not take the records; whether it has some of them is unknown."""


class Pace:
    """Lets so many values a second pass, evenly.

    Args:
        rate: values a second.
    """

    # What may come at once after a pause.
    _BURST_S = 0.1

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free_at = 0.0

    async def take(self, values: int) -> None:
        """Wait until so many values may be sent."""
        now = time.monotonic()
        self._free_at = max(self._free_at, now - self._BURST_S)
        wait = self._free_at - now
        self._free_at += values / self._rate
        if wait > 0:
            await asyncio.sleep(wait)


class Sender:
    """One idempotent producer, made anew after a failure.

    Args:
        topic: the topic of values, of which own records are remembered.
    """

    def __init__(self, bootstrap_servers: str, client_id: str, topic: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._client_id = client_id
        self._topic = topic
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._under_way: set[asyncio.Future[Any]] = set()
        self._own: dict[int, deque[tuple[int, int]]] = defaultdict(deque)

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._bootstrap_servers,
                    client_id=self._client_id,
                    acks="all",
                    enable_idempotence=True,
                    # As Telegraf's: JSON shrinks to a tenth.
                    compression_type="gzip",
                    max_batch_size=_BATCH_BYTES,
                    request_timeout_ms=int(REQUEST_S * 1000),
                )
                try:
                    async with asyncio.timeout(_SEND_S):
                        await producer.start()
                except BaseException:
                    await _stopped(producer)
                    raise
                self._producer = producer
            return self._producer

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has.

        Raises:
            SendError: Kafka does not tell, or there is no such topic.
        """
        try:
            producer = await self._started()
            async with asyncio.timeout(REQUEST_S):
                return len(await producer.partitions_for(topic))
        except (KafkaError, OSError, TimeoutError) as error:
            await self._failed()
            raise SendError(_text(error)) from error

    async def send(
        self, topic: str, records: Mapping[int, Sequence[Record]], headers: Headers
    ) -> dict[int, int]:
        """Send records, and return when Kafka has them.

        Args:
            records: by partition, in order.
        Returns:
            By partition, the offset behind the last of them.
        Raises:
            SendError: they are not all acknowledged.
        """
        try:
            producer = await self._started()
            async with asyncio.timeout(_SEND_S):
                sent = await self._submit(producer, topic, records, headers)
                done, _ = await asyncio.wait([future for _, _, future in sent])
        except (KafkaError, OSError, TimeoutError) as error:
            await self._failed()
            raise SendError(_text(error)) from error
        failure = next((f.exception() for f in done if f.exception() is not None), None)
        ends: dict[int, int] = {}
        for partition, count, future in sent:
            if future.exception() is None and future.result().offset >= 0:
                first = future.result().offset
                ends[partition] = max(ends.get(partition, 0), first + count)
        if failure is not None:
            await self._failed()
            raise SendError(_text(failure)) from failure
        return ends

    async def _submit(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        records: Mapping[int, Sequence[Record]],
        headers: Headers,
    ) -> list[tuple[int, int, asyncio.Future[Any]]]:
        sent = []
        for partition, rows in records.items():
            place = 0
            while place < len(rows):
                batch = producer.create_batch()
                first = place
                while place < len(rows):
                    key, value = rows[place]
                    if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                        break
                    place += 1
                if place == first:
                    # One that is larger than a batch may be: no value of a variable is.
                    place += 1
                    continue
                batch.close()
                future = await producer.send_batch(batch, topic, partition=partition)
                sent.append((partition, place - first, future))
                if topic == self._topic:
                    self._watch(partition, place - first, future)
        return sent

    def _watch(self, partition: int, count: int, future: asyncio.Future[Any]) -> None:
        def acknowledged(done: asyncio.Future[Any]) -> None:
            self._under_way.discard(done)
            if not done.cancelled() and done.exception() is None:
                first = done.result().offset
                if first >= 0:
                    self._own[partition].append((first, first + count))

        self._under_way.add(future)
        future.add_done_callback(acknowledged)

    async def settled(self) -> None:
        """Wait until it is known where everything lies that was sent before."""
        pending = list(self._under_way)
        if pending:
            await asyncio.wait(pending, timeout=_SEND_S)

    def own(self, partition: int, until: int) -> list[tuple[int, int]]:
        """Own records below the offset `until`, as ranges; they are forgotten then."""
        ranges = self._own[partition]
        found = []
        while ranges and ranges[0][0] < until:
            first, end = ranges.popleft()
            found.append((first, min(end, until)))
            if end > until:
                ranges.appendleft((until, end))
        return found

    def cut(self, partition: int, end: int) -> None:
        """Forget own records from the offset `end` on: Kafka has lost them."""
        ranges = self._own[partition]
        kept = [(first, min(last, end)) for first, last in ranges if first < end]
        self._own[partition] = deque(kept)

    async def _failed(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stopped(producer)

    async def close(self) -> None:
        """Give up what is not acknowledged."""
        await self._failed()


async def _stopped(producer: AIOKafkaProducer) -> None:
    # What is not acknowledged is not waited for: it is found missing, and sent, by the next one.
    with contextlib.suppress(Exception):
        async with asyncio.timeout(2.0):
            await producer.stop()


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__


def by_partition(rows: Iterable[tuple[int, Record]]) -> dict[int, list[Record]]:
    """Rows of (partition, record) as `send` takes them, in their order."""
    found: dict[int, list[Record]] = defaultdict(list)
    for partition, record in rows:
        found[partition].append(record)
    return found
