"""Which transactions the broker holds open: ListTransactions, which aiokafka has not.

It is spoken here over aiokafka's own connection.
Source: https://kafka.apache.org/protocol.html
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)
from fieldline.errors import FieldlineError

ONGOING = "Ongoing"


class ListTransactionsResponse(Response):  # type: ignore[misc] # aiokafka is not typed
    """Version 0."""

    API_KEY = 66
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("unknown_state_filters", CompactArray(CompactString("utf-8"))),
        (
            "transaction_states",
            CompactArray(
                ("transactional_id", CompactString("utf-8")),
                ("producer_id", Int64),
                ("transaction_state", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class ListTransactionsStruct(RequestStruct):  # type: ignore[misc] # aiokafka is not typed
    """Version 0."""

    API_KEY = 66
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = ListTransactionsResponse
    SCHEMA = Schema(
        ("state_filters", CompactArray(CompactString("utf-8"))),
        ("producer_id_filters", CompactArray(Int64)),
        ("tags", TaggedFields),
    )


class ListTransactionsRequest(Request[ListTransactionsStruct]):  # type: ignore[misc] # not typed
    """Asks for the transactional ids in one state."""

    API_KEY = 66

    def __init__(self, state: str) -> None:
        self._state = state

    def build(self, request_struct_class: type[ListTransactionsStruct]) -> ListTransactionsStruct:
        """The request in the version that broker and client share."""
        return request_struct_class([self._state], [], {})


def ongoing(bootstrap: str) -> list[str]:
    """The transactional ids with an open transaction; to be called where the broker is reached."""

    async def ask() -> list[str]:
        client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await client.start()
        try:
            raw: Any = client
            response = await raw._send_request(ListTransactionsRequest(ONGOING))
        finally:
            await client.close()
        if response.error_code:
            raise FieldlineError(f"Kafka does not list transactions: error {response.error_code}.")
        return [state[0] for state in response.transaction_states]

    return asyncio.run(ask())
