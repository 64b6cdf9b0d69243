"""The end of the topics `opc` and `model`: the newest value of each variable, of each model.

Read without a group, and bounded: in time by what is asked for, in records and in seconds by what a
command may take. A variable whose values are not in what was read has had none since `since_ms`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from fieldline.messages import MessageError, decode_opc, decode_result, read_origin
from fieldline.provision.topics import DEAD_LETTER

# Records of a topic at most: at 10,000 values/s ten seconds of them, decoded in half a second.
MOST_RECORDS = 100_000
# How long reading may take in all, s.
_SECONDS = 3.0
_REQUEST_SECONDS = 2.0
# What is left may be marks of transactions alone, of which no record comes.
_LAST_POLL_MS = 300
_DEAD_LETTERS = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest record of a series.

    Attributes:
        time_ns: its source time; arrival_ms: when Kafka took it, by Kafka's clock.
        quality: OPC UA status code of a value; None for results, and where it is unreadable.
    """

    time_ns: int
    arrival_ms: int
    quality: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A dead letter: when it came, why, and of which series, as far as it can be read."""

    arrival_ms: int
    reason: str
    asset: str = ""
    variable: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """What the ends of the topics hold.

    Attributes:
        values: by (asset, variable); results: by (asset, model).
        values_since_ms, results_since_ms: from which arrival on every record was read.
        refused: the last dead letters, the newest last.
        problem: why nothing could be read; empty if it could.
    """

    values: Mapping[tuple[str, str], Seen] = field(default_factory=dict)
    results: Mapping[tuple[str, str], Seen] = field(default_factory=dict)
    values_since_ms: int = 0
    results_since_ms: int = 0
    refused: Sequence[Refused] = ()
    problem: str = ""


def read_tail(bootstrap: str, topics: Mapping[str, int], since_ms: int) -> Tail:
    """Read what has come since `since_ms` (arrival, Kafka's clock), as far as the bounds allow.

    A broker that does not answer is a tail with a problem, not an error.

    Args:
        topics: those that exist, with their number of partitions.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    partitions = [
        TopicPartition(topic, number)
        for topic in ("opc", "model", DEAD_LETTER)
        for number in range(topics.get(topic, 0))
    ]
    if not partitions:
        return Tail(problem="Kafka has no topics yet")
    try:
        reading = _read(bootstrap, partitions, since_ms)
        return asyncio.run(asyncio.wait_for(reading, 2 * _SECONDS))
    except (TimeoutError, KafkaError, OSError) as error:
        return Tail(problem=f"Kafka cannot be read: {error or type(error).__name__}")


async def _read(bootstrap: str, partitions: Sequence[TopicPartition], since_ms: int) -> Tail:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id="fieldline-where",
        group_id=None,
        enable_auto_commit=False,
        request_timeout_ms=round(_REQUEST_SECONDS * 1000),
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    await consumer.start()
    try:
        return await _Reading(consumer, since_ms).run(partitions)
    finally:
        await consumer.stop()


class _Reading:
    """One pass over the ends of the topics."""

    def __init__(self, consumer: AIOKafkaConsumer, since_ms: int) -> None:
        self._consumer = consumer
        self._since_ms = since_ms
        self._values: dict[tuple[str, str], Seen] = {}
        self._results: dict[tuple[str, str], Seen] = {}
        self._refused: list[Refused] = []
        # Partitions of which not all that was asked for is read, and the arrival that they have.
        self._cut: dict[TopicPartition, int] = {}

    async def run(self, partitions: Sequence[TopicPartition]) -> Tail:
        """Read, and give what was found."""
        consumer = self._consumer
        # Known partitions spare a question for the cluster's metadata.
        consumer.assign(partitions)
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        wanted = await consumer.offsets_for_times(dict.fromkeys(partitions, self._since_ms))
        left: dict[TopicPartition, int] = {}
        for partition in partitions:
            start = self._start(partition, begins, ends, wanted, len(partitions))
            consumer.seek(partition, start)
            if start < ends[partition]:
                left[partition] = ends[partition]
        await self._poll(left)
        return Tail(
            self._values,
            self._results,
            self._since("opc"),
            self._since("model"),
            self._refused,
        )

    def _start(
        self,
        partition: TopicPartition,
        begins: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
        wanted: Mapping[TopicPartition, Any],
        count: int,
    ) -> int:
        """Where to read a partition from; notes it if that is later than asked for."""
        end = ends[partition]
        if partition.topic == DEAD_LETTER:
            return max(begins[partition], end - _DEAD_LETTERS)
        found = wanted.get(partition)
        first = end if found is None else int(found.offset)
        start = max(first, begins[partition], end - MOST_RECORDS // count)
        if start > first:
            self._cut[partition] = 0
        return start

    def _since(self, topic: str) -> int:
        arrivals = [at for partition, at in self._cut.items() if partition.topic == topic]
        return max([self._since_ms, *arrivals])

    async def _poll(self, left: dict[TopicPartition, int]) -> None:
        """Take records until none is left or the time is over."""
        deadline = time.monotonic() + _SECONDS
        while left and time.monotonic() < deadline:
            found = await self._consumer.getmany(timeout_ms=_LAST_POLL_MS)
            for partition, records in found.items():
                self._take(partition, records)
                if records[-1].offset + 1 >= left.get(partition, 0):
                    left.pop(partition, None)
            if not found:
                return
        for partition in left:
            # Not read to its end: nothing can be said of what is not there.
            self._cut[partition] = time.time_ns() // 10**6

    def _take(self, partition: TopicPartition, records: Sequence[Any]) -> None:
        if self._cut.get(partition) == 0:
            self._cut[partition] = records[0].timestamp
        for record in records:
            if partition.topic == "opc":
                self._take_value(record)
            elif partition.topic == "model":
                self._take_result(record)
            else:
                self._refused.append(_refused(record))

    def _take_value(self, record: Any) -> None:
        try:
            value = decode_opc(record.value)
        except MessageError:
            return
        key = value.asset, value.variable
        before = self._values.get(key)
        # A gap that is filled brings old source times after new ones.
        if before is None or value.time >= before.time_ns:
            self._values[key] = Seen(value.time, record.timestamp, value.quality)

    def _take_result(self, record: Any) -> None:
        try:
            result = decode_result(record.value)
        except msgspec.DecodeError:
            return
        key = result.asset, result.name
        before = self._results.get(key)
        if before is None or result.timestamp >= before.time_ns:
            self._results[key] = Seen(result.timestamp, record.timestamp)


def _refused(record: Any) -> Refused:
    try:
        reason = read_origin(list(record.headers)).reason
    except ValueError:
        reason = "unknown"
    try:
        value = decode_opc(record.value)
    except MessageError:
        return Refused(record.timestamp, reason)
    return Refused(record.timestamp, reason, value.asset, value.variable)
