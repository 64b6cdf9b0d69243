"""Transactions that nobody will end: found on the broker, and aborted.

Readers of committed records wait at an open transaction. Its coordinator ends it, after a time at
the latest; but after a torn end of `__transaction_state` (a power cut, on a disk that had not
written what it said) it does not know of it any more, and its records are in the way for ever.

A transaction is open at a partition for as long as its coordinator holds it, never longer. So one
that is open before and after the coordinators were asked, and that none of them holds, is hanging.

ListTransactions, DescribeProducers and WriteTxnMarkers (KIP-664), which aiokafka has not, are
spoken here over its own connection.
Source: https://kafka.apache.org/protocol.html
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from fieldline.errors import FieldlineError
from fieldline.provision.report import Action

ONGOING = "Ongoing"
# The states in which a coordinator will still write the marks that end a transaction.
_HELD = (ONGOING, "PrepareCommit", "PrepareAbort")
# A coordinator that has just started reads its log first.
_COORDINATOR_LOAD_IN_PROGRESS = 14
_LOADING_SECONDS = 60.0
# For a moment after its start a broker knows neither that it coordinates, nor what it leads.
_STARTING_SECONDS = 2.0
_LEADING_SECONDS = 10.0

_TAGS = ("tags", TaggedFields)
_NAME = CompactString("utf-8")
# Topics, each with numbers of partitions.
_PLACES = CompactArray(("name", _NAME), ("partitions", CompactArray(Int32)), _TAGS)


class ListTransactionsResponse(Response):  # type: ignore[misc] # aiokafka is not typed
    """Version 0."""

    API_KEY = 66
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("unknown_state_filters", CompactArray(_NAME)),
        (
            "transaction_states",
            CompactArray(
                ("transactional_id", _NAME),
                ("producer_id", Int64),
                ("transaction_state", _NAME),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class ListTransactionsStruct(RequestStruct):  # type: ignore[misc] # aiokafka is not typed
    """Version 0."""

    API_KEY = 66
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = ListTransactionsResponse
    SCHEMA = Schema(
        ("state_filters", CompactArray(_NAME)),
        ("producer_id_filters", CompactArray(Int64)),
        _TAGS,
    )


class ListTransactionsRequest(Request[ListTransactionsStruct]):  # type: ignore[misc] # not typed
    """Asks for the transactional ids in some states."""

    API_KEY = 66

    def __init__(self, states: Sequence[str]) -> None:
        self._states = list(states)

    def build(self, request_struct_class: type[ListTransactionsStruct]) -> ListTransactionsStruct:
        """The request in the version that broker and client share."""
        return request_struct_class(self._states, [], {})


class DescribeProducersResponse(Response):  # type: ignore[misc] # aiokafka is not typed
    """Version 0."""

    API_KEY = 61
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", _NAME),
                (
                    "partitions",
                    CompactArray(
                        ("partition_index", Int32),
                        ("error_code", Int16),
                        ("error_message", _NAME),
                        (
                            "active_producers",
                            CompactArray(
                                ("producer_id", Int64),
                                ("producer_epoch", Int32),
                                ("last_sequence", Int32),
                                ("last_timestamp", Int64),
                                ("coordinator_epoch", Int32),
                                ("current_txn_start_offset", Int64),
                                _TAGS,
                            ),
                        ),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class DescribeProducersStruct(RequestStruct):  # type: ignore[misc] # aiokafka is not typed
    """Version 0."""

    API_KEY = 61
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = DescribeProducersResponse
    SCHEMA = Schema(
        ("topics", _PLACES),
        _TAGS,
    )


class DescribeProducersRequest(Request[DescribeProducersStruct]):  # type: ignore[misc] # not typed
    """Asks who writes to all partitions of some topics."""

    API_KEY = 61

    def __init__(self, topics: Mapping[str, int]) -> None:
        self._topics: list[tuple[str, list[int], dict[int, bytes]]] = [
            (name, list(range(partitions)), {}) for name, partitions in topics.items()
        ]

    def build(self, request_struct_class: type[DescribeProducersStruct]) -> DescribeProducersStruct:
        """The request in the version that broker and client share."""
        return request_struct_class(self._topics, {})


class WriteTxnMarkersResponse(Response):  # type: ignore[misc] # aiokafka is not typed
    """Version 1."""

    API_KEY = 27
    API_VERSION = 1
    SCHEMA = Schema(
        (
            "markers",
            CompactArray(
                ("producer_id", Int64),
                (
                    "topics",
                    CompactArray(
                        ("name", _NAME),
                        (
                            "partitions",
                            CompactArray(("partition_index", Int32), ("error_code", Int16), _TAGS),
                        ),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class WriteTxnMarkersStruct(RequestStruct):  # type: ignore[misc] # aiokafka is not typed
    """Version 1."""

    API_KEY = 27
    API_VERSION = 1
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = WriteTxnMarkersResponse
    SCHEMA = Schema(
        (
            "markers",
            CompactArray(
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                ("transaction_result", Boolean),
                ("topics", _PLACES),
                ("coordinator_epoch", Int32),
                _TAGS,
            ),
        ),
        _TAGS,
    )


@dataclass(frozen=True, slots=True)
class Open:
    """A transaction that is open at a partition, from an offset on."""

    topic: str
    partition: int
    producer: int
    epoch: int
    coordinator_epoch: int
    start: int


class AbortRequest(Request[WriteTxnMarkersStruct]):  # type: ignore[misc] # aiokafka is not typed
    """Ends transactions as their coordinator would that aborts them."""

    API_KEY = 27

    def __init__(self, transactions: Iterable[Open]) -> None:
        self._markers: list[tuple[object, ...]] = [
            (
                one.producer,
                one.epoch,
                False,
                [(one.topic, [one.partition], {})],
                max(0, one.coordinator_epoch),
                {},
            )
            for one in transactions
        ]

    def build(self, request_struct_class: type[WriteTxnMarkersStruct]) -> WriteTxnMarkersStruct:
        """The request in the version that broker and client share."""
        return request_struct_class(self._markers, {})


async def held(client: AIOKafkaAdminClient, states: Sequence[str] = _HELD) -> dict[str, int]:
    """The transactional ids that are in one of these states, each with its producer's id.

    Raises:
        FieldlineError: the broker does not tell.
    """
    end = time.monotonic() + _LOADING_SECONDS
    while True:
        response = await _ask(client, ListTransactionsRequest(states))
        code = response.error_code
        if not code:
            return {name: producer for name, producer, *_ in response.transaction_states}
        if code != _COORDINATOR_LOAD_IN_PROGRESS or time.monotonic() > end:
            raise _refused("list transactions", code)
        await asyncio.sleep(0.2)


async def hanging(client: AIOKafkaAdminClient) -> list[Open]:
    """The transactions that nobody will end, at each partition of any topic."""
    topics: list[dict[str, Any]] = await client.describe_topics()
    counts = {topic["topic"]: len(topic["partitions"]) for topic in topics}
    if not (before := await _open(client, counts)):
        return []
    alive = set((await held(client)).values())
    after = await _open(client, counts)
    return [one for one in before if one.producer not in alive and one in after]


async def end_hanging(client: AIOKafkaAdminClient) -> list[Action]:
    """Abort the transactions that nobody will end; each is told.

    Raises:
        FieldlineError: the broker refuses.
    """
    found = await hanging(client)
    if found:
        await asyncio.sleep(_STARTING_SECONDS)
        still = await hanging(client)
        found = [one for one in found if one in still]
    if found:
        response = await _ask(client, AbortRequest(found))
        codes = {
            f"{name}-{partition}": code
            for _producer, topics, *_ in response.markers
            for name, partitions, *_ in topics
            for partition, code, *_ in partitions
        }
        for place, code in codes.items():
            if code:
                raise _refused(f"abort a transaction at {place}", code)
    return [
        Action(
            "transaction",
            f"{one.topic}-{one.partition}",
            "changed",
            f"aborted from offset {one.start} on: producer {one.producer}, whose coordinator has "
            "lost it",
        )
        for one in found
    ]


async def _open(client: AIOKafkaAdminClient, topics: Mapping[str, int]) -> list[Open]:
    """The transactions that are open at partitions of these topics."""
    end = time.monotonic() + _LEADING_SECONDS
    while True:
        response = await _ask(client, DescribeProducersRequest(topics))
        codes = [code for _, partitions, *_ in response.topics for _, code, *_ in partitions]
        if not any(codes) or time.monotonic() > end:
            break
        await asyncio.sleep(0.2)
    return [
        Open(name, partition, producer, epoch, coordinator, start)
        for name, partitions, *_ in response.topics
        for partition, _code, _text, producers, *_ in partitions
        for producer, epoch, _sequence, _time, coordinator, start, *_ in producers
        if start >= 0
    ]


async def _ask(client: Any, request: Any) -> Any:
    return await client._send_request(request)  # noqa: SLF001 - there is no public call for these


def _refused(what: str, code: int) -> FieldlineError:
    return FieldlineError(
        f"Kafka refused to {what}: see `systemctl status apache-kafka` on its host, and provision "
        "again.",
        for_code(code).__name__,
    )
