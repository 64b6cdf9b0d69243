"""What the broker interface makes of the client's errors: waited for, or refused."""

from __future__ import annotations

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    ProducerFenced,
    TopicAuthorizationFailedError,
)
from fieldline.service import ServiceError
from fieldline.stream import UnavailableError
from fieldline.stream.calls import Calls

CALLS = Calls("127.0.0.10:9092", "in")


async def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        KafkaConnectionError("closed"),
        # What aiokafka's sender says when the broker goes while it looks for the coordinator.
        KafkaError("Unexpected error during batch delivery"),
        ProducerFenced(),
    ],
)
async def test_what_may_pass_is_waited_for(error: Exception) -> None:
    with pytest.raises(UnavailableError) as caught:
        await CALLS.ask(fail(error))
    assert caught.value.cause == repr(error)


async def test_what_a_broker_refuses_is_not() -> None:
    with pytest.raises(ServiceError, match="refuses what we ask"):
        await CALLS.ask(fail(TopicAuthorizationFailedError("opc")))
