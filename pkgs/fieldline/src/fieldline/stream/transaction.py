"""The transactions of one input partition on real Kafka, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.producer import sender

from fieldline.stream.broker import Output

# How long one request may take before the session counts as lost.
REQUEST_S = 10.0
# Some retries are normal in a transaction; the client's default of 100 ms is what one then sees as
# latency.
RETRY_BACKOFF_MS = 5
# The broker answers CONCURRENT_TRANSACTIONS until the marks of the transaction before are written,
# 1 to 3 ms. aiokafka 0.14 then waits 20 ms, whatever is set: a third of all transactions took 28 ms
# by that instead of 6 ms.
sender.BACKOFF_OVERRIDE = 0.002
# Beyond this an open transaction is aborted by the broker: readers of committed records wait for
# it, if its writer died and nobody takes over. Many times what a commit takes.
_TIMEOUT_MS = 20_000
# Close to what a broker takes at once by default (message.max.bytes, 1 MiB): each batch of a
# partition is a request of its own.
_BATCH_BYTES = 900 * 1024
_CLOSE_S = 1.5


class Stoppable(Protocol):
    """A client of aiokafka's."""

    def stop(self) -> Awaitable[None]: ...


async def stop(clients: Iterable[Stoppable]) -> None:
    """Stop clients, all at once; never raises, and ends within 2 s."""
    stopping = [asyncio.ensure_future(client.stop()) for client in clients]
    if stopping:
        # What goes wrong here has no consequence, and without a broker much does: the client
        # then raises even its own tasks' cancellation.
        _, hanging = await asyncio.wait(stopping, timeout=_CLOSE_S)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*stopping, return_exceptions=True)


def _told(future: asyncio.Future[object]) -> None:
    """Of several batches that fail together, the first one's error is enough."""
    if not future.cancelled():
        future.exception()


class Transaction:
    """Begins with the first `send`, ends with `commit`.

    Args:
        name: the transactional id. group: the consumer group whose offsets are committed.
    """

    def __init__(self, bootstrap_servers: str, client_id: str, name: str, group: str) -> None:
        self.producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers,
            client_id=client_id,
            transactional_id=name,
            transaction_timeout_ms=_TIMEOUT_MS,
            linger_ms=0,
            max_batch_size=_BATCH_BYTES,
            # A record has to fit with what stands around it.
            max_request_size=2 * _BATCH_BYTES,
            retry_backoff_ms=RETRY_BACKOFF_MS,
            request_timeout_ms=int(REQUEST_S * 1000),
        )
        self._group = group
        self._open = False
        self._sent: list[Awaitable[object]] = []
        self._partitions: dict[str, int] = {}

    async def start(self) -> None:
        """Fence every other writer of this name; what one of them left open is aborted."""
        await self.producer.start()

    async def send(self, partition: int, outputs: Mapping[str, Sequence[Output]]) -> None:
        """Hand records to the producer in batches of our own making.

        A future per record would cost more than all the rest of a service.
        """
        producer = self.producer
        if not self._open:
            await producer.begin_transaction()
            self._open = True
        batches = []
        for topic, records in outputs.items():
            if topic not in self._partitions:
                self._partitions[topic] = len(await producer.partitions_for(topic))
            target = partition % self._partitions[topic]
            batch = producer.create_batch()
            for key, value, headers in records:
                while batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                    batches.append((batch, topic, target))
                    batch = producer.create_batch()
            if batch.record_count():
                batches.append((batch, topic, target))
        # All together, so that their partitions are added to the transaction in one request.
        for batch, topic, target in batches:
            future = await producer.send_batch(batch, topic, partition=target)
            future.add_done_callback(_told)
            self._sent.append(future)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """End the transaction with these offsets of the group; begin one if none is open."""
        if not self._open:
            await self.producer.begin_transaction()
        self._open = False
        sent, self._sent = self._sent, []
        # The offsets are written while the records still are.
        await asyncio.gather(self.producer.send_offsets_to_transaction(offsets, self._group), *sent)
        await self.producer.commit_transaction()
