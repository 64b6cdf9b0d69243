"""The service as systemd starts it, on a real Kafka: kills, outages, several instances."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stream_model_instance import Instance, complete, inputs, produce
from stream_model_kafka import KafkaCluster, RealKafka

pytestmark = pytest.mark.kafka

Instances = Callable[[KafkaCluster], Instance]


async def test_killed_at_any_time_nothing_is_lost(
    cluster: KafkaCluster, instances: Instances
) -> None:
    instance = instances(cluster)
    items = inputs(3000)
    for start in range(0, 3000, 750):
        await instance.start()
        await instance.until_told("READY=1")
        feeding = asyncio.ensure_future(produce(cluster, items[start : start + 750]))
        if start < 2250:
            # In the midst of the work: some hundred records are there, more are coming.
            await cluster.results(start * 2 + 300)
            assert await instance.end(signal.SIGKILL) == -signal.SIGKILL
        await feeding
    await complete(cluster, items)
    begin = time.monotonic()
    assert await instance.end(signal.SIGTERM) == 0
    assert time.monotonic() - begin < 5
    assert "Traceback" not in instance.log()


async def test_two_instances_share_and_one_dies(
    cluster: KafkaCluster, instances: Instances
) -> None:
    first, second = instances(cluster), instances(cluster)
    await first.start()
    await first.until_told("partitions 0, 1, 2 of")
    items = inputs(600)
    await produce(cluster, items[:200])
    await second.start()
    await second.until_told("READY=1")
    await produce(cluster, items[200:400])
    # Whichever has partition 0, the other must take it over.
    assert await first.end(signal.SIGKILL) == -signal.SIGKILL
    await produce(cluster, items[400:])
    await second.until_told("partitions 0, 1, 2 of")
    await complete(cluster, items)
    assert await second.end(signal.SIGTERM) == 0


async def test_kafka_comes_late_without_topics_goes_and_comes_back(
    tmp_path: Path, instances: Instances
) -> None:
    own = RealKafka(tmp_path)
    cluster = KafkaCluster(own.address)
    instance = instances(cluster)
    await instance.start()
    await instance.until_told("cannot be reached")
    await asyncio.to_thread(own.start)
    try:
        await instance.until_told("has no topic")
        await cluster.open()
        await instance.until_told("READY=1")
        items = inputs(400)
        await produce(cluster, items[:200])
        await complete(cluster, items[:200])
        await cluster.close()
        own.kill()
        await instance.until_told("cannot be reached")
        await asyncio.to_thread(own.start)
        await instance.until_told("works on partitions")
        await cluster.reopen()
        await produce(cluster, items[200:])
        await complete(cluster, items)
        assert await instance.end(signal.SIGTERM) == 0
        await cluster.close()
    finally:
        own.kill()
    said = [str(event["event"]) for event in instance.events()]
    assert sum("cannot be reached" in text for text in said) == 2
    assert sum("has no topic" in text for text in said) == 1
    assert "Kafka is there again" in said
    assert "Traceback" not in instance.log()
    assert len(said) < 60, instance.log()
