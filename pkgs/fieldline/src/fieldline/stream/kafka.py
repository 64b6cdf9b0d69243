"""The broker interface on real Kafka, with aiokafka: transactions, one producer per partition.

aiokafka 0.14 commits a transaction's offsets for a group without the group's generation (KIP-447),
so the broker cannot tell a member that has lost a partition. What can is the transactional id:
each input partition has one of its own, and whoever initialises it last fences all others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, OffsetOutOfRangeError

from fieldline.service import EXIT_CONFIGURATION, ServiceError
from fieldline.stream.broker import MovedError, Output, Poll, Record, Topics, UnavailableError
from fieldline.stream.calls import Calls, UnsoughtError
from fieldline.stream.transaction import REQUEST_S, RETRY_BACKOFF_MS, Transaction, stop

_Found = dict[TopicPartition, list[Record]]

# Without an answer for so long, the session counts as lost. A fetch that finds nothing is answered
# after _FETCH_WAIT_MS, so this is many of them. (A seek waits for the fetch under way, so a longer
# wait there would delay each takeover.)
_CONTACT_S = 10.0
_FETCH_WAIT_MS = 100
# Between two answers no further apart a broker was not started again, which takes 2 s at least.
_RENEWED_MS = 1_500
_TAKEOVER_MS = 24 * 3_600_000
# With no partition of our own there are no fetches: ask for metadata so often instead.
_IDLE_CONTACT_S = 3.0
# A restore has nothing else to do than to read; the state of 10,000 assets has tens of megabytes.
_RESTORE_FETCH_BYTES = 4 * 1024 * 1024
# At an end: what is left may be only marks of transactions, and the next seek waits for it, too.
_MARKS_MS = 20
# What `read` gives at a time: live records wait while these are worked on, some ms.
_READ_RECORDS = 1000


class KafkaBroker:
    """A member of the group on a Kafka cluster; see `broker.Broker`.

    Args:
        instance: the member's own name in the group (`group.instance.id`, KIP-345). Who starts with
            it takes the partitions of whoever had it before at once, instead of waiting until that
            one's session has run out; and whoever stops keeps them for as long.
    """

    def __init__(
        self, bootstrap_servers: str, client_id: str, topics: Topics, instance: str | None = None
    ) -> None:
        self.busy = asyncio.Lock()
        self.generation = 0
        self.assignment: frozenset[int] | None = None
        self.before_revocation: Callable[[], Awaitable[None]] = _nothing
        # What went wrong in a revocation; raised by the next poll, since nobody waits for that.
        self.failure: Exception | None = None
        self.calls = Calls(bootstrap_servers, topics.input)
        self._ask = self.calls.ask
        self._servers = bootstrap_servers
        self._client_id = client_id
        self._topics = topics
        self._instance = instance
        self._consumer: AIOKafkaConsumer | None = None
        self._restorer: AIOKafkaConsumer | None = None
        self._transactions: dict[int, Transaction] = {}
        self._contact = time.monotonic()
        self._polled_ms, self._renewed = 0, False

    async def open(self) -> None:
        """See `Broker.open`."""
        topics = self._topics
        self._consumer = self._client(
            group_id=topics.group,
            group_instance_id=self._instance,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            retry_backoff_ms=RETRY_BACKOFF_MS,
            # The partitions of a member that died are taken over after this; it is the least that
            # a broker allows by default.
            session_timeout_ms=6_000,
            heartbeat_interval_ms=1_000,
            # A revocation waits for a transaction under way.
            rebalance_timeout_ms=int(3 * REQUEST_S * 1000),
            # A state that has to be rebuilt takes as long as it takes, and nobody polls meanwhile;
            # a process that hangs is ended by its watchdog.
            max_poll_interval_ms=_TAKEOVER_MS,
        )
        await self._ask(self._consumer.start())
        present = await self._ask(self._consumer.topics())
        missing = [name for name in topics.all if name not in present]
        if missing:
            raise UnavailableError(
                f"Kafka at {self._servers} has no topic {' and no topic '.join(missing)}. Waiting; "
                "kafka-provision creates the topics (systemctl status kafka-provision on Kafka's "
                "host)."
            )
        self._touch()
        self._consumer.subscribe([topics.input], listener=_Listener(self))

    async def close(self) -> None:
        """See `Broker.close`."""
        clients = [client for client in (self._consumer, self._restorer) if client is not None]
        producers = [transaction.producer for transaction in self._transactions.values()]
        self._consumer = self._restorer = None
        self._transactions = {}
        await stop([*clients, *producers])

    async def poll(self, timeout_s: float, max_records: int) -> Poll:
        """See `Broker.poll`."""
        consumer = self._open_consumer()
        generation = self.generation
        if self.failure is not None:
            raise self.failure
        getting = consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=max_records)
        try:
            found = await self._ask(getting)
        except UnsoughtError:
            found = {}
        self._renewed = False
        reached = await self._reached(consumer) or bool(found)
        if reached:
            self._touch()
        elif time.monotonic() - self._contact > _CONTACT_S:
            raise self.calls.lost(f"no answer for {_CONTACT_S:.0f} s")
        return Poll(generation, {t.partition: r for t, r in found.items()}, reached, self._renewed)

    async def claim(self, partitions: Sequence[int]) -> Mapping[int, int | None]:
        """See `Broker.claim`."""
        consumer = self._open_consumer()
        if not set(partitions) <= (self.assignment or frozenset()):
            raise MovedError
        before, self._transactions = self._transactions, {}
        self._transactions = {
            number: Transaction(
                self._servers,
                self._client_id,
                f"{self._topics.group}-{self._topics.input}-{number}",
                self._topics.group,
            )
            for number in partitions
        }
        # The new ones first: they fence the old ones, which then have nothing left to wait for.
        await asyncio.gather(*(self._ask(t.start()) for t in self._transactions.values()))
        await stop([transaction.producer for transaction in before.values()])
        await self._check_partitions()
        # Only now: what another writer had under way is either committed or aborted.
        return {p: await self._ask(consumer.committed(self._tp(p))) for p in partitions}

    async def _check_partitions(self) -> None:
        topics = self._topics
        for transaction in self._transactions.values():
            ask = transaction.producer.partitions_for
            has, wanted = [len(await self._ask(ask(n))) for n in (topics.changelog, topics.input)]
            if has != wanted:
                raise ServiceError(
                    f"Topic {topics.changelog} must have as many partitions as {topics.input}, "
                    "since it holds the state of each. kafka-provision says what to do.",
                    f"{topics.input} has {wanted} partitions, {topics.changelog} {has}",
                    code=EXIT_CONFIGURATION,
                )
            return

    async def changelog(self, partition: int) -> AsyncGenerator[Sequence[Record], None]:
        """See `Broker.changelog`."""
        tp = TopicPartition(self._topics.changelog, partition)
        restorer = await self._restoring(tp)
        start, end = await self._range(restorer, tp)
        async for records in self._between(restorer, tp, start, end):
            yield records
        whole = await self._whole(restorer, tp, end)
        if whole > end:
            raise UnavailableError(
                f"Topic {tp.topic} has the open transaction of a writer that is gone. Waiting "
                "until it is ended; kafka-provision does that (systemctl status kafka-provision "
                "on Kafka's host).",
                f"partition {partition}: offsets {end} to {whole} are neither committed nor "
                "aborted, though no other writer is left",
            )

    async def _whole(self, restorer: AIOKafkaConsumer, tp: TopicPartition, end: int) -> int:
        """The offset behind the last record of any kind; `end`: that of the committed ones."""
        deadline = time.monotonic() + REQUEST_S
        if restorer.highwater(tp) is None:
            # Nothing was to be fetched, but its answer is what tells it.
            restorer.seek(tp, end)
        while (whole := restorer.highwater(tp)) is None:
            await self._ask(restorer.getmany(tp, timeout_ms=_MARKS_MS))
            if time.monotonic() > deadline:
                raise self.calls.lost(f"{tp} cannot be fetched from offset {end} on")
        return int(whole)

    async def has_written(
        self, partition: int, topic: str, since_ms: int, wanted: Callable[[Record], bool]
    ) -> bool:
        """See `Broker.has_written`."""
        if topic not in self._topics.outputs:
            return True
        count = len(await self._ask(self._transaction(partition).producer.partitions_for(topic)))
        tp = TopicPartition(topic, partition % count)
        restorer = await self._restoring(tp)
        found = await self._ask(restorer.offsets_for_times({tp: since_ms}))
        first, end = await self._range(restorer, tp)
        start = end if found[tp] is None else found[tp].offset
        async for records in self._between(restorer, tp, start, end):
            if any(map(wanted, records)):
                return True
        return 0 < first == start

    async def _restoring(self, tp: TopicPartition) -> AIOKafkaConsumer:
        """The consumer that reads this partition for a takeover, and nothing else."""
        if self._restorer is None:
            self._restorer = self._reader(max_partition_fetch_bytes=_RESTORE_FETCH_BYTES)
            await self._ask(self._restorer.start())
        self._restorer.assign([tp])
        return self._restorer

    def _reader(self, **options: int) -> AIOKafkaConsumer:
        """A consumer that is no member of the group."""
        return self._client(fetch_max_wait_ms=_MARKS_MS, **options)

    def _client(self, **options: str | int | None) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            client_id=self._client_id,
            # Where to read is always said; a log that has lost what we ask for must be noticed.
            auto_offset_reset="none",
            enable_auto_commit=False,
            isolation_level="read_committed",
            request_timeout_ms=int(REQUEST_S * 1000),
            **options,
        )

    async def ends(self, partition: int) -> tuple[int, int]:
        """See `Broker.ends`."""
        return await self._range(self._open_consumer(), self._tp(partition))

    async def offset_at(self, partition: int, timestamp_ms: int) -> int | None:
        """See `Broker.offset_at`."""
        tp = self._tp(partition)
        found = await self._ask(self._open_consumer().offsets_for_times({tp: timestamp_ms}))
        return None if found[tp] is None else found[tp].offset

    async def read(
        self, partition: int, start: int, end: int
    ) -> AsyncGenerator[Sequence[Record], None]:
        """See `Broker.read`."""
        if start >= end:
            return
        tp = self._tp(partition)
        reader = self._reader()
        try:
            await self._ask(reader.start())
            reader.assign([tp])
            async for records in self._between(reader, tp, start, end, _READ_RECORDS):
                yield records
        finally:
            await stop([reader])

    def seek(self, partition: int, offset: int) -> None:
        """See `Broker.seek`."""
        try:
            self._open_consumer().seek(self._tp(partition), offset)
            self.calls.sought.add(partition)
        except IllegalStateError as error:
            raise MovedError from error

    def lag(self, partition: int, next_offset: int) -> int:
        """See `Broker.lag`."""
        try:
            end = self._open_consumer().highwater(self._tp(partition))
        except (AssertionError, IllegalStateError):
            return 0
        return max(0, end - next_offset) if end is not None else 0

    async def send(self, partition: int, outputs: Mapping[str, Sequence[Output]]) -> None:
        """See `Broker.send`."""
        await self._ask(self._transaction(partition).send(partition, outputs))

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """See `Broker.commit`."""
        ending = [
            self._ask(self._transaction(p).commit({self._tp(p): offset}))
            for p, offset in offsets.items()
        ]
        await asyncio.gather(*ending)

    async def _range(self, consumer: AIOKafkaConsumer, tp: TopicPartition) -> tuple[int, int]:
        first: dict[TopicPartition, int] = await self._ask(consumer.beginning_offsets([tp]))
        end: dict[TopicPartition, int] = await self._ask(consumer.end_offsets([tp]))
        return first[tp], end[tp]

    async def _between(
        self,
        consumer: AIOKafkaConsumer,
        tp: TopicPartition,
        start: int,
        end: int,
        most: int | None = None,
    ) -> AsyncGenerator[Sequence[Record], None]:
        """The records of [start, end) of a partition that is assigned to this consumer."""
        if start >= end:
            return
        try:
            # Not seek_to_beginning: the position may then be given before it has taken effect.
            consumer.seek(tp, start)
            deadline = time.monotonic() + REQUEST_S
            while await self._ask(consumer.position(tp)) < end:
                getting = consumer.getmany(tp, timeout_ms=_MARKS_MS, max_records=most)
                if (found := await self._ask(_available(getting))) is None:
                    return
                records = found.get(tp, [])
                if records:
                    yield [r for r in records if r.offset < end]
                    deadline = time.monotonic() + REQUEST_S
                elif time.monotonic() > deadline:
                    raise self.calls.lost(f"{tp} cannot be read up to offset {end}")
        except IllegalStateError as error:
            raise MovedError from error

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
        self._renewed = not 0 <= polled - before <= _RENEWED_MS
        return polled > before

    def _touch(self) -> None:
        self._contact = time.monotonic()

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topics.input, partition)

    def _open_consumer(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise self.calls.lost("the session is closed")
        return self._consumer

    def _transaction(self, partition: int) -> Transaction:
        try:
            return self._transactions[partition]
        except KeyError:
            raise MovedError from None


async def _available(getting: Awaitable[_Found]) -> _Found | None:
    """What a fetch gives; None where the log has lost it."""
    try:
        return await getting
    except OffsetOutOfRangeError:
        return None


async def _nothing() -> None:
    """Before there is an engine there is nothing to commit."""


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types here
    """Tells the broker of a change of partitions, once the work in flight is done."""

    def __init__(self, broker: KafkaBroker) -> None:
        self._broker = broker

    async def on_partitions_revoked(
        self,
        revoked: Iterable[TopicPartition],  # noqa: ARG002  # the name is the client's
    ) -> None:
        """Commit what is in flight; from here on no poll of before is worked on."""
        broker = self._broker
        async with broker.busy:
            try:
                await broker.before_revocation()
            except MovedError:
                pass  # It is somebody else's by now, who does the work again.
            except Exception as error:  # it would only be logged by the client
                broker.failure = error
            broker.assignment = None
            broker.generation += 1

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Take the new partitions."""
        async with self._broker.busy:
            self._broker.assignment = frozenset(tp.partition for tp in assigned)
            self._broker.calls.sought.clear()
            self._broker.generation += 1
