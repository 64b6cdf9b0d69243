"""`fieldline ready group`: a member that was killed holds nobody up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import NewTopic
from aiokafka.consumer.group_coordinator import GroupCoordinator
from fieldline.provision.kafka_admin import connect
from fieldline.provision.ready import app
from typer.testing import CliRunner

pytestmark = [pytest.mark.servers, pytest.mark.kafka]

TOPIC = "readings"
# Longer than any test: nothing here is seen by waiting for a session to end.
SESSION_MS = 300_000


@pytest.fixture
async def topic(kafka: Any) -> str:
    client = await connect(kafka.bootstrap, 30, lambda _passed, _cause: None)
    if TOPIC not in await client.list_topics():
        await client.create_topics([NewTopic(TOPIC, 2, 1)])
    await client.close()
    bootstrap: str = kafka.bootstrap
    return bootstrap


@asynccontextmanager
async def member(bootstrap: str, group: str, client_id: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=bootstrap,
        group_id=group,
        client_id=client_id,
        session_timeout_ms=SESSION_MS,
        rebalance_timeout_ms=SESSION_MS,
    )
    await consumer.start()
    yield consumer
    await consumer.stop()


async def killed(bootstrap: str, group: str, client_id: str, monkeypatch: Any) -> None:
    """A member that has its partitions, and ends without a word."""

    async def silent(_self: GroupCoordinator) -> None:
        return

    with monkeypatch.context() as patch:
        patch.setattr(GroupCoordinator, "_maybe_leave_group", silent)
        async with member(bootstrap, group, client_id) as consumer:
            assert len(consumer.assignment()) == 2


async def members(bootstrap: str, group: str) -> list[str]:
    client = await connect(bootstrap, 30, lambda _passed, _cause: None)
    try:
        (answer,) = await client.describe_consumer_groups([group])
    finally:
        await client.close()
    return [member["client_id"] for member in answer.to_object()["groups"][0]["members"]]


async def run(bootstrap: str, group: str, client_id: str) -> Any:
    words = ["--bootstrap-servers", bootstrap, "--client-id", client_id, "--group", group]
    return await asyncio.to_thread(CliRunner().invoke, app, ["group", *words])


async def test_the_next_one_has_the_partitions_at_once(
    topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await killed(topic, "at-once", "writer", monkeypatch)
    assert await members(topic, "at-once") == ["writer"]
    done = await run(topic, "at-once", "writer")
    assert done.exit_code == 0
    assert "out of its group: writer-" in done.output
    assert await members(topic, "at-once") == []
    async with asyncio.timeout(60), member(topic, "at-once", "writer") as consumer:
        assert len(consumer.assignment()) == 2


async def test_another_client_s_place_is_left_alone(
    topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await killed(topic, "another", "somebody", monkeypatch)
    done = await run(topic, "another", "writer")
    assert (done.exit_code, done.output) == (0, "")
    assert await members(topic, "another") == ["somebody"]


async def test_a_group_that_nobody_knows_is_no_error(topic: str) -> None:
    done = await run(topic, "unknown", "writer")
    assert (done.exit_code, done.output) == (0, "")


async def test_a_start_is_not_held_up_without_kafka() -> None:
    with socket.socket() as taken:
        # Bound, and so nobody else's; listened to by nobody.
        taken.bind(("127.0.0.10", 0))
        done = await run(f"127.0.0.10:{taken.getsockname()[1]}", "any", "writer")
    assert done.exit_code == 0
    assert "gives up no place of writer" in done.output
