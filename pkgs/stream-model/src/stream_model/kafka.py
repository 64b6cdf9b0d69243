"""The broker interface on real Kafka, with aiokafka: at least once, committed by hand.

Results are acknowledged by all replicas (idempotent producer) before their offsets are committed,
so a crash in between repeats results, with the same content, and never loses one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from fieldline.messages import FORMAT_HEADERS, Headers
from fieldline.service import ServiceError

from stream_model.broker import Delivery, MovedError, Poll, Record, UnavailableError
from stream_model.settings import Settings

T = TypeVar("T")

# How long one request may take before the session counts as lost.
_REQUEST_S = 10.0
_CLOSE_S = 1.5
# Without an answer for so long, the session counts as lost. A fetch that finds nothing is answered
# after _FETCH_WAIT_MS, so this is many of them. (A seek waits for the fetch under way, so a longer
# wait there would delay each rebuilding of a state.)
_CONTACT_S = 10.0
_FETCH_WAIT_MS = 100
# With no partition of our own there are no fetches: ask for metadata so often instead.
_IDLE_CONTACT_S = 3.0
# Half of what a broker takes at once by default (message.max.bytes, 1 MiB).
_BATCH_BYTES = 512 * 1024
# The producer's default of 100 ms is what one then sees as latency whenever a retry is normal.
_RETRY_BACKOFF_MS = 20


class KafkaBroker:
    """A member of the group on a Kafka cluster; see `broker.Broker`."""

    def __init__(self, settings: Settings) -> None:
        self.busy = asyncio.Lock()
        self.generation = 0
        self.assignment: frozenset[int] | None = None
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, int] = {}
        self._contact = time.monotonic()
        self._polled_ms = 0

    async def open(self) -> None:
        """See `Broker.open`."""
        settings = self._settings
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.bootstrap_servers,
            client_id="stream-model",
            group_id=settings.group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            request_timeout_ms=int(_REQUEST_S * 1000),
            # The partitions of a member that died are taken over after this; it is the least that
            # a broker allows by default.
            session_timeout_ms=6_000,
            heartbeat_interval_ms=1_000,
            # A revocation waits for a delivery under way.
            rebalance_timeout_ms=int(3 * _REQUEST_S * 1000),
        )
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap_servers,
            client_id="stream-model",
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=_BATCH_BYTES,
            retry_backoff_ms=_RETRY_BACKOFF_MS,
            request_timeout_ms=int(_REQUEST_S * 1000),
        )
        await self._ask(self._consumer.start())
        await self._ask(self._producer.start())
        present = await self._ask(self._consumer.topics())
        missing = [name for name in settings.topics if name not in present]
        if missing:
            raise UnavailableError(
                f"Kafka at {settings.bootstrap_servers} has no topic "
                f"{' and no topic '.join(missing)}. Waiting; kafka-provision creates the topics "
                "(systemctl status kafka-provision on Kafka's host)."
            )
        for name in (settings.output, settings.dead_letter):
            self._partitions[name] = len(await self._ask(self._producer.partitions_for(name)))
        self._touch()
        self._consumer.subscribe([settings.input], listener=_Listener(self))

    async def close(self) -> None:
        """See `Broker.close`."""
        clients = [client for client in (self._consumer, self._producer) if client is not None]
        self._consumer = self._producer = None
        stopping = [asyncio.ensure_future(client.stop()) for client in clients]
        if stopping:
            # What goes wrong here has no consequence, and without a broker much does: the client
            # then raises even its own tasks' cancellation.
            _, hanging = await asyncio.wait(stopping, timeout=_CLOSE_S)
            for task in hanging:
                task.cancel()
            await asyncio.gather(*stopping, return_exceptions=True)

    async def poll(self, timeout_s: float, max_records: int) -> Poll:
        """See `Broker.poll`."""
        consumer = self._open_consumer()
        generation = self.generation
        found = await self._ask(
            consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=max_records)
        )
        reached = await self._reached(consumer) or bool(found)
        if reached:
            self._touch()
        elif time.monotonic() - self._contact > _CONTACT_S:
            raise self._lost(f"no answer for {_CONTACT_S:.0f} s")
        return Poll(generation, {tp.partition: found[tp] for tp in found}, reached)

    async def committed(self, partition: int) -> int | None:
        """See `Broker.committed`."""
        return await self._ask(self._open_consumer().committed(self._tp(partition)))

    async def beginning(self, partition: int) -> int:
        """See `Broker.beginning`."""
        tp = self._tp(partition)
        offsets: dict[TopicPartition, int] = await self._ask(
            self._open_consumer().beginning_offsets([tp])
        )
        return offsets[tp]

    async def offset_at(self, partition: int, timestamp_ms: int) -> int | None:
        """See `Broker.offset_at`."""
        tp = self._tp(partition)
        found = await self._ask(self._open_consumer().offsets_for_times({tp: timestamp_ms}))
        return None if found[tp] is None else found[tp].offset

    async def before(self, partition: int, offset: int, count: int) -> Sequence[Record]:
        """See `Broker.before`."""
        consumer = self._open_consumer()
        tp = self._tp(partition)
        first = max(await self.beginning(partition), offset - count)
        records: list[Record] = []
        if first >= offset:
            return records
        self.seek(partition, first)
        deadline = time.monotonic() + _REQUEST_S
        while not records or records[-1].offset < offset - 1:
            found = await self._ask(
                consumer.getmany(tp, timeout_ms=5 * _FETCH_WAIT_MS, max_records=count)
            )
            records += found.get(tp, [])
            # The end is near and nothing more comes: what stands there are a transaction's marks.
            if not found or time.monotonic() > deadline:
                break
        return [record for record in records if record.offset < offset]

    def seek(self, partition: int, offset: int) -> None:
        """See `Broker.seek`."""
        try:
            self._open_consumer().seek(self._tp(partition), offset)
        except IllegalStateError as error:
            raise MovedError from error

    def lag(self, partition: int, next_offset: int) -> int:
        """See `Broker.lag`."""
        try:
            end = self._open_consumer().highwater(self._tp(partition))
        except (AssertionError, IllegalStateError):
            return 0
        return max(0, end - next_offset) if end is not None else 0

    async def deliver(self, deliveries: Mapping[int, Delivery]) -> None:
        """See `Broker.deliver`."""
        settings = self._settings
        sent: list[Awaitable[object]] = []
        for partition, delivery in deliveries.items():
            results = ((key, value, FORMAT_HEADERS) for key, value in delivery.results)
            sent += await self._send(settings.output, partition, results)
            sent += await self._send(settings.dead_letter, partition, delivery.dead_letters)
        for future in sent:
            await self._ask(future)
        offsets = {self._tp(p): delivery.next_offset for p, delivery in deliveries.items()}
        await self._ask(self._open_consumer().commit(offsets))

    async def _send(
        self,
        topic: str,
        partition: int,
        outputs: Iterable[tuple[bytes | None, bytes | None, Headers]],
    ) -> list[Awaitable[object]]:
        """Hand records to the producer in batches of our own making.

        A future per record would cost more than all the rest of the service.
        """
        producer = self._open_producer()
        target = partition % self._partitions[topic]
        sent: list[Awaitable[object]] = []
        batch = None
        for key, value, headers in outputs:
            while batch is None or (
                batch.append(timestamp=None, key=key, value=value, headers=headers) is None
            ):
                if batch is not None:
                    sent.append(
                        await self._ask(producer.send_batch(batch, topic, partition=target))
                    )
                batch = producer.create_batch()
        if batch is not None:
            sent.append(await self._ask(producer.send_batch(batch, topic, partition=target)))
        return sent

    async def _reached(self, consumer: AIOKafkaConsumer) -> bool:
        """Whether the broker has answered a fetch since the last call."""
        if not self.assignment:
            if time.monotonic() - self._contact < _IDLE_CONTACT_S:
                return False
            await self._ask(consumer.topics())
            return True
        polled = 0
        for tp in consumer.assignment():
            polled = max(polled, consumer.last_poll_timestamp(tp) or 0)
        before, self._polled_ms = self._polled_ms, polled
        return polled > before

    def _touch(self) -> None:
        self._contact = time.monotonic()

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._settings.input, partition)

    def _open_consumer(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise self._lost("the session is closed")
        return self._consumer

    def _open_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise self._lost("the session is closed")
        return self._producer

    def _lost(self, cause: str) -> UnavailableError:
        return UnavailableError(
            f"Kafka at {self._settings.bootstrap_servers} cannot be reached. Waiting for it; look "
            "at apache-kafka on its host and at the network between.",
            cause,
        )

    async def _ask(self, request: Awaitable[T]) -> T:
        """Await a request; its errors become the interface's."""
        try:
            return await asyncio.wait_for(request, 2 * _REQUEST_S)
        except (CommitFailedError, IllegalStateError) as error:
            # Another member has the partition by now; it repeats what we could not commit.
            raise UnavailableError(
                "The consumer group gave our partitions to another member while we were at work "
                "(were we stopped for a while?). Joining again.",
                repr(error),
            ) from error
        except (TimeoutError, OSError) as error:
            raise self._lost(repr(error)) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not we are cancelled but a task of the client's, which passes it on.
            raise self._lost(repr(error)) from error
        except KafkaError as error:
            if error.retriable:
                raise self._lost(repr(error)) from error
            raise ServiceError(
                "Kafka refuses what we ask of it, and asking again cannot help: compare its "
                "version, its access rules and the topics' settings with the site.",
                repr(error),
            ) from error


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types here
    """Tells the broker of a change of partitions, once the work in flight is done."""

    def __init__(self, broker: KafkaBroker) -> None:
        self._broker = broker

    async def on_partitions_revoked(
        self,
        revoked: Iterable[TopicPartition],  # noqa: ARG002  # the name is the client's
    ) -> None:
        """Wait until nothing is in flight; from here on no poll of before is worked on."""
        async with self._broker.busy:
            self._broker.assignment = None
            self._broker.generation += 1

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Take the new partitions."""
        async with self._broker.busy:
            self._broker.assignment = frozenset(tp.partition for tp in assigned)
            self._broker.generation += 1
