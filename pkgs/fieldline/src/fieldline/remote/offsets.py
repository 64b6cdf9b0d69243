"""Where Kafka's topics end, when their newest record came, and how far groups have read.

The newest record's time needs version 7 of ListOffsets (KIP-734), which aiokafka 0.14 has not; it
is spoken here over aiokafka's own connection. In a transactional topic (`model`) a partition's end
counts the markers of transactions too: the rate is a little higher than that of results, and a
group that has read everything shows a lag of up to one per partition.
Source: https://kafka.apache.org/protocol.html
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError, RequestTimedOutError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from fieldline.provision.topics import LEDGER
from fieldline.remote.endpoint import Reach, reach_of_port

# The consumer groups of the site, and the topic that each reads (lib/services, lib/telegraf).
GROUPS: Mapping[str, str] = {
    "stream-model": "opc",
    "telegraf-opc": "opc",
    "telegraf-model": "model",
    "telegraf-ledger": LEDGER,
}

_LATEST, _NEWEST = -1, -3
_CONSUMER = -1
_READ_UNCOMMITTED = 0
_ANY_EPOCH = -1

# A broker that is up answers these in milliseconds.
_TIMEOUT_SECONDS = 2.0


class ListOffsetsResponse(Response):  # type: ignore[misc] # aiokafka is not typed
    """Version 7."""

    API_KEY = 2
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition_index", Int32),
                        ("error_code", Int16),
                        ("timestamp", Int64),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class ListOffsetsStruct(RequestStruct):  # type: ignore[misc] # aiokafka is not typed
    """Version 7."""

    API_KEY = 2
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = ListOffsetsResponse
    SCHEMA = Schema(
        ("replica_id", Int32),
        ("isolation_level", Int8),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition_index", Int32),
                        ("current_leader_epoch", Int32),
                        ("timestamp", Int64),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class ListOffsetsRequest(Request[ListOffsetsStruct]):  # type: ignore[misc] # not typed
    """Asks for one kind of offset of all partitions of some topics."""

    API_KEY = 2

    def __init__(self, topics: Mapping[str, int], kind: int) -> None:
        self._topics: list[
            tuple[str, list[tuple[int, int, int, dict[int, bytes]]], dict[int, bytes]]
        ]
        self._topics = [
            (name, [(number, _ANY_EPOCH, kind, {}) for number in range(count)], {})
            for name, count in topics.items()
        ]

    def build(self, request_struct_class: type[ListOffsetsStruct]) -> ListOffsetsStruct:
        """The request in the version that broker and client share."""
        return request_struct_class(_CONSUMER, _READ_UNCOMMITTED, self._topics, {})


@dataclass(frozen=True, slots=True)
class TopicEnd:
    """A topic: partition to the offset at its end, and when its newest record came (ms, -1)."""

    ends: Mapping[int, int]
    newest_ms: int


@dataclass(frozen=True, slots=True)
class KafkaReading:
    """What a broker tells, or `problem`, in plain words, why it does not.

    Attributes:
        topics: by name; a topic that does not exist is not there.
        committed: group to (topic, partition) to the offset up to which it has read.
        reach: how far the broker was reached.
    """

    topics: Mapping[str, TopicEnd] = field(default_factory=dict)
    committed: Mapping[str, Mapping[tuple[str, int], int]] = field(default_factory=dict)
    problem: str = ""
    reach: Reach = "answers"

    def lag(self, group: str) -> int | None:
        """Records that a group has not read; a partition it never read counts whole.

        None where Kafka did not tell, or the group has read nothing yet.
        """
        topic = self.topics.get(GROUPS[group])
        committed = self.committed.get(group)
        if topic is None or not committed:
            return None
        name = GROUPS[group]
        return sum(max(0, end - committed.get((name, n), 0)) for n, end in topic.ends.items())


class KafkaProbe:
    """Reads one broker; used from one thread, with an event loop of its own.

    Args:
        topics: name to declared number of partitions.
    """

    def __init__(self, bootstrap: str, topics: Mapping[str, int], groups: Sequence[str]) -> None:
        # Failed attempts are told in the reading.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        self._bootstrap = bootstrap
        self._topics = topics
        self._groups = groups
        self._loop = asyncio.new_event_loop()
        self._client: AIOKafkaAdminClient | None = None
        self._coordinators: dict[str, int] = {}

    def read(self) -> KafkaReading:
        """Read now; an unreachable broker is a reading with a problem, not an error."""
        if self._client is None:
            # aiokafka tells a broker that is switched off from one that refuses only by the time
            # that it takes.
            reach, _ = self._reach()
            if reach != "answers":
                return self._unreachable(reach)
        try:
            return self._loop.run_until_complete(
                asyncio.wait_for(self._read(), 2 * _TIMEOUT_SECONDS)
            )
        except (TimeoutError, KafkaError, OSError) as error:
            self._disconnect()
            if not isinstance(error, (TimeoutError, KafkaConnectionError, RequestTimedOutError)):
                return KafkaReading(problem=f"unreachable: {error}", reach="odd")
            # aiokafka's texts for these are long, and say no more than this.
            reach, _ = self._reach()
            return self._unreachable("hangs" if reach == "answers" else reach)

    def _reach(self) -> tuple[Reach, str]:
        address, _, port = self._bootstrap.rpartition(":")
        return reach_of_port(address.strip("[]"), int(port))

    def _unreachable(self, reach: Reach) -> KafkaReading:
        problem = f"unreachable: no broker answers at {self._bootstrap}"
        return KafkaReading(problem=problem, reach=reach)

    def close(self) -> None:
        """Close the connection and the loop."""
        self._disconnect()
        self._loop.close()

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        self._coordinators = {}
        if client is not None:
            try:
                self._loop.run_until_complete(asyncio.wait_for(client.close(), _TIMEOUT_SECONDS))
            except (TimeoutError, KafkaError, OSError):
                pass  # What cannot be closed is gone already.

    async def _read(self) -> KafkaReading:
        if self._client is None:
            client = AIOKafkaAdminClient(
                bootstrap_servers=self._bootstrap,
                client_id="fieldline-where",
                request_timeout_ms=round(_TIMEOUT_SECONDS * 1000),
            )
            self._client = client
            await client.start()
        ends = await self._offsets(_LATEST)
        newest = await self._offsets(_NEWEST)
        topics = {
            name: TopicEnd(
                {number: offset for number, (offset, _) in partitions.items()},
                max((time for _, time in newest.get(name, {}).values()), default=-1),
            )
            for name, partitions in ends.items()
        }
        committed = {group: await self._committed(group) for group in self._groups}
        return KafkaReading(topics, committed)

    async def _offsets(self, kind: int) -> dict[str, dict[int, tuple[int, int]]]:
        """Topic to partition to (offset, time in ms), without what does not exist."""
        client: Any = self._client
        response = await client._send_request(ListOffsetsRequest(self._topics, kind))  # noqa: SLF001
        found: dict[str, dict[int, tuple[int, int]]] = {}
        for name, partitions, _tags in response.topics:
            for number, code, time, offset, _epoch, _more in partitions:
                if code == 0:
                    found.setdefault(name, {})[number] = (offset, time)
        return found

    async def _committed(self, group: str) -> dict[tuple[str, int], int]:
        client: Any = self._client
        try:
            if group not in self._coordinators:
                self._coordinators[group] = await client.find_coordinator(group)
            found = await client.list_consumer_group_offsets(group, self._coordinators[group])
        except KafkaError:
            # A new broker has no coordinator until the first group comes: no offsets yet.
            self._coordinators.pop(group, None)
            return {}
        return {(tp.topic, tp.partition): o.offset for tp, o in found.items() if o.offset >= 0}
