"""What is in Kafka's topics `opc` and `model`, as a reader of committed records sees it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from fieldline.errors import FieldlineError
from fieldline.influx.layout import status_of_quality
from fieldline.messages import decode_result
from fieldline.verify.catalogue import Catalogue
from fieldline.verify.points import Ints, Points

from .check import with_statuses

T = TypeVar("T")

OPC, MODEL = "opc", "model"
# A broker on this machine answers at once; beyond this something hangs.
_PATIENCE_S = 30.0

Offsets = Mapping[tuple[str, int], int]


@dataclass(frozen=True, slots=True, eq=False)
class Topic:
    """A topic's records from some source time on, in the order of each partition's offsets.

    Attributes:
        points: `status` is the quality in `opc`, the revision in `model`.
        appended: when the broker took each, ms since 1970.
        undeclared: records of what the site does not declare, or that cannot be read.
    """

    points: Points
    appended: Ints
    undeclared: int


class _OpcRecord(msgspec.Struct):
    tags: dict[str, str]
    fields: dict[str, float | int | str | bool | None]
    timestamp: int


_decode_opc = msgspec.json.Decoder(_OpcRecord).decode
_Row = tuple[int, int, float, int, int]


class Topics:
    """Reads the topics; to be called where the broker is reached."""

    def __init__(self, bootstrap: str, partitions: Mapping[str, int], catalogue: Catalogue) -> None:
        self._bootstrap = bootstrap
        self._partitions = [
            TopicPartition(name, number)
            for name in (OPC, MODEL)
            for number in range(partitions[name])
        ]
        self._catalogue = catalogue

    def ends(self) -> Offsets:
        """Where each partition ends now, for a reader of committed records."""

        async def ask(consumer: AIOKafkaConsumer) -> Offsets:
            found = await consumer.end_offsets(self._partitions)
            return {(tp.topic, tp.partition): offset for tp, offset in found.items()}

        return asyncio.run(self._with_consumer(ask))

    def read(self, begin: Offsets, since: int) -> dict[str, Topic]:
        """Both topics from `begin` to their ends, without what has a source time before `since`.

        A partition that ends before its `begin` has lost its end: it is read whole.

        Raises:
            FieldlineError: the broker does not give them.
        """

        async def find(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
            found: dict[TopicPartition, int] = await consumer.end_offsets(self._partitions)
            return found

        # A transaction that is open hides all behind it, which InfluxDB may have already.
        ends = asyncio.run(self._with_consumer(find, "read_uncommitted"))

        async def read(consumer: AIOKafkaConsumer) -> dict[str, list[_Row]]:
            return await self._read(consumer, begin, ends, since)

        rows = asyncio.run(self._with_consumer(read))
        return {name: _topic(found) for name, found in rows.items()}

    async def _with_consumer(
        self, work: Callable[[AIOKafkaConsumer], Awaitable[T]], isolation: str = "read_committed"
    ) -> T:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            isolation_level=isolation,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=4 << 20,
        )
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await consumer.start()
            consumer.assign(self._partitions)
            return await work(consumer)
        except (TimeoutError, KafkaError, OSError) as error:
            raise FieldlineError(
                f"Kafka does not answer at {self._bootstrap}.", repr(error)
            ) from error
        finally:
            await consumer.stop()

    async def _read(
        self,
        consumer: AIOKafkaConsumer,
        begin: Offsets,
        ends: Mapping[TopicPartition, int],
        since: int,
    ) -> dict[str, list[_Row]]:
        rows: dict[str, list[_Row]] = {OPC: [], MODEL: []}
        first = await consumer.beginning_offsets(self._partitions)
        for tp in self._partitions:
            start = max(first[tp], begin.get((tp.topic, tp.partition), 0))
            consumer.seek(tp, first[tp] if start > ends[tp] else start)
        waiting = set(self._partitions)
        deadline = time.monotonic() + _PATIENCE_S
        while waiting:
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                deadline = time.monotonic() + _PATIENCE_S
                take = self._opc if tp.topic == OPC else self._model
                rows[tp.topic] += [
                    row for record in records if (row := take(record, since)) is not None
                ]
            for tp in list(waiting):
                # The position passes the marks of transactions, which are no records.
                if await consumer.position(tp) >= ends[tp]:
                    waiting.discard(tp)
                    consumer.pause(tp)
            if time.monotonic() > deadline:
                raise FieldlineError(f"Kafka does not give the end of {sorted(waiting)}.")
        return rows

    def _opc(self, record: ConsumerRecord, since: int) -> _Row | None:
        """A record of `opc`; None if it is older. A series of -1 is one that nobody declared."""
        try:
            value = _decode_opc(record.value or b"")
        except (msgspec.DecodeError, ValueError):
            return (-1, 0, np.nan, 0, record.timestamp)
        if value.timestamp < since:
            return None
        quality = value.fields.pop("Quality", None)
        status = status_of_quality(quality if isinstance(quality, str) else None)
        # A record without a value is one of the node, which is all that is known of it.
        names = list(value.fields) or [""]
        given = value.fields.get(names[0])
        number = float(given) if isinstance(given, int | float) else np.nan
        index = self._catalogue.variable_index.get((value.tags.get("asset", ""), names[0]), -1)
        if len(names) > 1:
            index = -1
        return (index, value.timestamp, number, status, record.timestamp)

    def _model(self, record: ConsumerRecord, since: int) -> _Row | None:
        try:
            result = decode_result(record.value or b"")
        except msgspec.DecodeError:
            return (-1, 0, np.nan, 0, record.timestamp)
        if result.timestamp < since:
            return None
        index = self._catalogue.model_index.get((result.asset, result.name), -1)
        return (index, result.timestamp, result.value, result.revision, record.timestamp)


def _topic(rows: list[_Row]) -> Topic:
    columns = list(zip(*rows, strict=True)) or [(), (), (), (), ()]
    points = with_statuses(
        np.array(columns[0], np.int64),
        np.array(columns[1], np.int64),
        np.array(columns[2], np.float64),
        np.array(columns[3], np.int64),
    )
    declared = points.series >= 0
    appended = np.array(columns[4], np.int64)
    return Topic(points.where(declared), appended[declared], int((~declared).sum()))
