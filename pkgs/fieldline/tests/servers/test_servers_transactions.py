"""Transactions whose coordinator has lost them, on a real broker whose disk has lost some of it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from fieldline.provision.kafka_admin import connect
from fieldline.provision.transactions import end_hanging, hanging
from fieldline.stream import Topics, UnavailableError
from fieldline.stream.kafka import KafkaBroker

from .conftest import Kafka, start_kafka

pytestmark = [pytest.mark.servers, pytest.mark.kafka]

TOPICS = Topics("group", "in", "state", ("out",))
MODEL = TopicPartition("out", 0)
INPUT = TopicPartition("in", 0)


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[Kafka]:
    """A new broker for each test, since it is hurt."""
    broker = start_kafka(tmp_path / "kafka")
    yield broker
    broker.process.stop()


async def admin(kafka: Kafka) -> Any:
    client = await connect(kafka.bootstrap, 60, lambda _passed, _cause: None)
    await client.create_topics([NewTopic(name, 1, 1) for name in TOPICS.all])
    async with asyncio.timeout(30):
        while not set(TOPICS.all) <= {topic["topic"] for topic in await client.describe_topics()}:
            pass
    return client


async def begin(kafka: Kafka, *, offset: bool = True) -> AIOKafkaProducer:
    """A transaction with a result, a state and the group's offset, not yet ended."""
    writer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap, transactional_id="group-in-0", request_timeout_ms=2000
    )
    await writer.start()
    await writer.begin_transaction()
    await writer.send_and_wait("out", b"lost", partition=0)
    await writer.send_and_wait("state", b"lost", partition=0)
    if offset:
        await writer.send_offsets_to_transaction({INPUT: 1}, "group")
    return writer


def lose_coordinator(kafka: Kafka) -> None:
    """Kill it, and take away what it had written of transactions."""
    kafka.process.process.kill()
    kafka.process.process.wait()
    for folder in (kafka.folder / "data").glob("__transaction_state-*"):
        shutil.rmtree(folder)
    kafka.start_again()


async def committed(kafka: Kafka) -> list[bytes]:
    """The committed values of the output."""
    reader = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    await reader.start()
    try:
        reader.assign([MODEL])
        await reader.seek_to_beginning(MODEL)
        end = (await reader.end_offsets([MODEL]))[MODEL]
        found: list[bytes] = []
        while await reader.position(MODEL) < end:
            for records in (await reader.getmany(timeout_ms=50)).values():
                found += [record.value for record in records]
        return found
    finally:
        await reader.stop()


async def take_over(kafka: Kafka) -> list[Any]:
    """What a stream service does first; gives the records of its changelog."""
    broker = KafkaBroker(kafka.bootstrap, "test", TOPICS)
    await broker.open()
    try:
        async with asyncio.timeout(60):
            while not broker.assignment:
                await broker.poll(0.1, 1)
            assert await broker.claim([0]) == {0: None}
            return [record async for records in broker.changelog(0) for record in records]
    finally:
        await broker.close()


async def test_a_transaction_that_nobody_will_end_is_aborted(kafka: Kafka) -> None:
    await (await admin(kafka)).close()
    await begin(kafka)
    lose_coordinator(kafka)
    client = await admin(kafka)
    try:
        places = {(one.topic, one.partition) for one in await hanging(client)}
        assert places == {("out", 0), ("state", 0), ("__consumer_offsets", 0)}
        plain = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
        await plain.start()
        await plain.send_and_wait("out", b"after", partition=0)
        await plain.stop()
        # Nobody gets past it.
        assert await committed(kafka) == []
        actions = await end_hanging(client)
        assert {a.name for a in actions} == {"out-0", "state-0", "__consumer_offsets-0"}
        assert {a.outcome for a in actions} == {"changed"}
        assert await hanging(client) == []
        assert await end_hanging(client) == []
    finally:
        await client.close()
    assert await committed(kafka) == [b"after"]
    assert await take_over(kafka) == []


async def test_a_service_does_not_write_behind_such_a_transaction(kafka: Kafka) -> None:
    client = await admin(kafka)
    # One that is whole, so that the changelog has a beginning.
    await (await begin(kafka, offset=False)).commit_transaction()
    await begin(kafka, offset=False)
    await client.close()
    lose_coordinator(kafka)
    with pytest.raises(UnavailableError, match="open transaction of a writer that is gone"):
        await take_over(kafka)
    client = await admin(kafka)
    assert len(await end_hanging(client)) == 2
    await client.close()
    assert len(await take_over(kafka)) == 1


async def test_a_transaction_that_is_under_way_is_left_alone(kafka: Kafka) -> None:
    client = await admin(kafka)
    try:
        writer = await begin(kafka)
        assert await hanging(client) == []
        assert await end_hanging(client) == []
        await writer.commit_transaction()
        await writer.stop()
    finally:
        await client.close()
    assert await committed(kafka) == [b"lost"]
