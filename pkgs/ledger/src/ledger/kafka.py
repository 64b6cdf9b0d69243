"""The ledger's topics on Kafka: what others and we tell, and how far Telegraf has written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from fieldline.messages import FORMAT_HEADERS
from fieldline.messages.ledger import LedgerRecord, Refill, encode_ledger, encode_refill
from fieldline.remote.offsets import KafkaProbe
from fieldline.stream import UnavailableError
from fieldline.stream.transaction import stop

from ledger.threads import in_thread

_REQUEST_MS = 10_000
# Everything that is sent in one round is acknowledged within this, s.
_SEND_S = 20.0
_READ_MS = 500
_MOST_READ = 20_000
_CLOSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Topics:
    """Names: of the values, of the counts, of the requests; the group that writes the values."""

    values: str = "opc"
    ledger: str = "opc.ledger"
    refill: str = "opc.refill"
    writer: str = "telegraf-opc"


class Entry(NamedTuple):
    """A record of the counts; before: it was there before we opened the topic."""

    value: bytes
    before: bool


@dataclass(frozen=True, slots=True)
class Position:
    """Where the topic of values ends, and how far the writer is: partition to offset."""

    ends: Mapping[int, int]
    written: Mapping[int, int]

    def written_up_to(self, ends: Mapping[int, int]) -> bool:
        """Whether everything before these offsets is in InfluxDB, or was refused there."""
        return all(self.written.get(number, 0) >= end for number, end in ends.items())


class Log(Protocol):
    """The ledger's side of Kafka. Each method may raise `UnavailableError`."""

    async def open(self, since_ms: int) -> None:
        """Begin to read the counts, from what Kafka took at that time on (ms since 1970)."""

    async def read(self) -> Sequence[Entry]:
        """The next records, waiting a moment for them."""

    async def position(self) -> Position:
        """How far the writer is."""

    async def tell(self, records: Sequence[LedgerRecord]) -> None:
        """Write counts, and return when Kafka has them."""

    async def ask(self, refills: Sequence[Refill]) -> None:
        """Ask for values, and return when Kafka has the requests."""

    async def close(self) -> None:
        """Give all connections up; never raises."""


class KafkaLog:
    """`Log` on a real Kafka.

    Args:
        partitions: of the topic of values.
    """

    def __init__(self, bootstrap_servers: str, topics: Topics, partitions: int) -> None:
        self._servers = bootstrap_servers
        self._topics = topics
        self._partition = TopicPartition(topics.ledger, 0)
        self._probe = KafkaProbe(
            bootstrap_servers,
            {topics.values: partitions, topics.ledger: 1, topics.refill: 1},
            [topics.writer],
        )
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None
        self._end = 0

    async def open(self, since_ms: int) -> None:
        """See `Log.open`."""
        await self.position()
        async with self._answering():
            self._consumer = AIOKafkaConsumer(
                bootstrap_servers=self._servers,
                client_id="ledger",
                enable_auto_commit=False,
                # A topic that was made anew is read from its begin.
                auto_offset_reset="earliest",
                request_timeout_ms=_REQUEST_MS,
            )
            await self._consumer.start()
            self._producer = AIOKafkaProducer(
                bootstrap_servers=self._servers,
                client_id="ledger",
                acks="all",
                enable_idempotence=True,
                compression_type="gzip",
                request_timeout_ms=_REQUEST_MS,
            )
            await self._producer.start()
            self._consumer.assign([self._partition])
            found = await self._consumer.offsets_for_times({self._partition: since_ms})
            self._end = (await self._consumer.end_offsets([self._partition]))[self._partition]
            begin = found[self._partition]
            self._consumer.seek(self._partition, self._end if begin is None else begin.offset)

    async def read(self) -> Sequence[Entry]:
        """See `Log.read`."""
        assert self._consumer is not None
        async with self._answering():
            found = await self._consumer.getmany(timeout_ms=_READ_MS, max_records=_MOST_READ)
        rows = found.get(self._partition, [])
        return [Entry(row.value or b"", row.offset < self._end) for row in rows]

    async def position(self) -> Position:
        """See `Log.position`."""
        reading = await in_thread(self._probe.read)
        if reading.problem:
            raise _away(self._servers, reading.problem)
        names = (self._topics.values, self._topics.ledger, self._topics.refill)
        missing = [name for name in names if name not in reading.topics]
        if missing:
            raise UnavailableError(
                f"Kafka at {self._servers} has no topic {' and no topic '.join(missing)}. Waiting; "
                "kafka-provision creates the topics (systemctl status kafka-provision on Kafka's "
                "host)."
            )
        committed = reading.committed.get(self._topics.writer, {})
        return Position(
            reading.topics[self._topics.values].ends,
            {n: offset for (topic, n), offset in committed.items() if topic == self._topics.values},
        )

    async def tell(self, records: Sequence[LedgerRecord]) -> None:
        """See `Log.tell`."""
        rows = [(record.tags.asset.encode(), encode_ledger(record)) for record in records]
        await self._send(self._topics.ledger, rows)

    async def ask(self, refills: Sequence[Refill]) -> None:
        """See `Log.ask`."""
        rows = [(refill.asset.encode(), encode_refill(refill)) for refill in refills]
        await self._send(self._topics.refill, rows)

    async def _send(self, topic: str, rows: Sequence[tuple[bytes, bytes]]) -> None:
        producer = self._producer
        assert producer is not None
        async with self._answering(), asyncio.timeout(_SEND_S):
            sent = [
                await producer.send(topic, value, key, partition=0, headers=FORMAT_HEADERS)
                for key, value in rows
            ]
            await asyncio.gather(*sent)

    async def close(self) -> None:
        """See `Log.close`."""
        clients = [client for client in (self._consumer, self._producer) if client is not None]
        self._consumer = self._producer = None
        await stop(clients)
        # A question that is under way holds it up; nobody waits for that.
        with suppress(TimeoutError, RuntimeError):
            await asyncio.wait_for(in_thread(self._probe.close), _CLOSE_S)

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        try:
            yield
        except (KafkaError, OSError, TimeoutError) as error:
            raise _away(self._servers, str(error) or type(error).__name__) from error


def _away(servers: str, cause: str) -> UnavailableError:
    return UnavailableError(
        f"Kafka at {servers} does not answer: see `systemctl status apache-kafka` on its host.",
        cause,
    )
