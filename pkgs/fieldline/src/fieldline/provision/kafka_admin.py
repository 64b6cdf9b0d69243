"""A broker's topics through aiokafka's admin client.

Learnt on Kafka 4.1.0 with aiokafka 0.14.0: `alter_configs` (AlterConfigs, still served) replaces a
topic's whole configuration, so that a key set by somebody else would silently go back to its
default. What is needed is IncrementalAlterConfigs, which aiokafka has not; it is spoken here, in
its version 0, over aiokafka's own connection.
Source: https://kafka.apache.org/protocol.html, KIP-339.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

from fieldline.errors import FieldlineError
from fieldline.provision.topics import DeclaredTopic
from fieldline.service import ServiceError

# KIP-339: the operation that sets one key.
_SET = 0

# A broker that starts answers in 2 to 4 s; a few tries a second notice it early.
_RETRY_SECONDS = 0.3


class IncrementalAlterConfigsResponse(Response):  # type: ignore[misc] # aiokafka is not typed
    """Version 0: an error code and a text per resource."""

    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "responses",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class IncrementalAlterConfigsStruct(RequestStruct):  # type: ignore[misc] # aiokafka is not typed
    """Version 0: per resource the keys, each with an operation and a value."""

    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = IncrementalAlterConfigsResponse
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                (
                    "configs",
                    Array(
                        ("name", String("utf-8")),
                        ("config_operation", Int8),
                        ("value", String("utf-8")),
                    ),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class IncrementalAlterConfigsRequest(Request[IncrementalAlterConfigsStruct]):  # type: ignore[misc] # aiokafka is not typed
    """Sets some keys of some topics."""

    API_KEY = 44

    def __init__(self, changes: Mapping[str, Mapping[str, str]]) -> None:
        self._resources = [
            (ConfigResourceType.TOPIC, name, [(key, _SET, value) for key, value in keys.items()])
            for name, keys in changes.items()
        ]

    def build(
        self, request_struct_class: type[IncrementalAlterConfigsStruct]
    ) -> IncrementalAlterConfigsStruct:
        """The request in the version that broker and client share."""
        return request_struct_class(self._resources, False)


class KafkaAdmin:
    """`TopicAdmin` of a real broker."""

    def __init__(self, client: AIOKafkaAdminClient) -> None:
        self._client = client

    async def partitions(self, names: Sequence[str]) -> dict[str, int]:
        """See `TopicAdmin.partitions`."""
        # All topics are listed, rather than these asked for: a request that names a topic would
        # create it on a broker that does so by itself.
        topics: list[dict[str, Any]] = await self._client.describe_topics()
        return {
            topic["topic"]: len(topic["partitions"]) for topic in topics if topic["topic"] in names
        }

    async def configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """See `TopicAdmin.configs`."""
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        found: dict[str, dict[str, str]] = {}
        for response in await self._client.describe_configs(resources):
            for code, message, _type, name, entries in response.resources:
                # Just created, and not known to this part of the broker yet: as without settings.
                if code != UnknownTopicOrPartitionError.errno:
                    _check(code, message, f"read the configuration of topic {name}")
                found[name] = {entry[0]: entry[1] for entry in entries}
        return found

    async def create(self, topics: Sequence[DeclaredTopic]) -> None:
        """See `TopicAdmin.create`."""
        new = [
            NewTopic(topic.name, topic.partitions, 1, topic_configs=dict(topic.configs))
            for topic in topics
        ]
        response = await self._client.create_topics(new)
        for name, code, message in response.topic_errors:
            # Somebody else created it meanwhile: the next run compares it.
            if code != TopicAlreadyExistsError.errno:
                _check(code, message, f"create topic {name}")

    async def set_configs(self, changes: Mapping[str, Mapping[str, str]]) -> None:
        """See `TopicAdmin.set_configs`."""
        response = await self._client._send_request(  # noqa: SLF001 - the public call is the legacy one
            IncrementalAlterConfigsRequest(changes)
        )
        for code, message, _type, name in response.responses:
            _check(code, message, f"configure topic {name}")


def _check(code: int, message: str | None, what: str) -> None:
    if code:
        cause = f"{for_code(code).__name__} {message or ''}".strip()
        raise FieldlineError(f"Kafka refused to {what}; correct what the cause names.", cause)


async def _start(client: AIOKafkaAdminClient) -> None:
    await client.start()
    cluster: dict[str, Any] = await client.describe_cluster()
    # A broker that starts answers requests a moment before it is part of its cluster; a topic that
    # is created then is refused for want of brokers.
    if not cluster["brokers"] or cluster["controller_id"] < 0:
        raise KafkaError("the broker is still starting")


async def connect(
    bootstrap_servers: str, seconds: float, waiting: Callable[[float, str], None]
) -> AIOKafkaAdminClient:
    """Wait until a broker answers and knows its controller, and give a client to be closed.

    Args:
        waiting: called after each failed try with the seconds since the start and the cause.
    Raises:
        ServiceError: no broker within `seconds`.
    """
    # aiokafka logs each failed try itself; here it is `waiting` that tells.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    begin = time.monotonic()
    while True:
        client = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, client_id="fieldline")
        try:
            await asyncio.wait_for(_start(client), max(1.0, seconds))
            return client
        except (TimeoutError, KafkaError, OSError, ValueError) as error:
            cause = str(error) or type(error).__name__
        with suppress(KafkaError, OSError):
            await client.close()
        passed = time.monotonic() - begin
        if passed >= seconds:
            raise ServiceError(
                f"Kafka does not answer at {bootstrap_servers}: see `systemctl status "
                "apache-kafka` on its host, and whether the address and the port are the site's.",
                f"{cause} (waited {passed:.0f} s)",
            )
        waiting(passed, cause)
        await asyncio.sleep(min(_RETRY_SECONDS, seconds - passed))
