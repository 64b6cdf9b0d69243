"""Exactly once on a real Kafka: zombies, rebalances, open transactions, states that do not fit."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from stream_model_instance import Instance, complete, inputs, plant_site, produce
from stream_model_kafka import PARTITIONS, KafkaCluster, RealKafka

pytestmark = pytest.mark.kafka

Instances = Callable[..., Instance]


class Ends:
    """How many offsets the output has, for readers of any and of committed records."""

    def __init__(self, cluster: KafkaCluster) -> None:
        settings = cluster.settings
        self._output = [TopicPartition(settings.output, n) for n in range(2)]
        self._readers = [
            AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers, isolation_level=level)
            for level in ("read_uncommitted", "read_committed")
        ]

    async def __aenter__(self) -> Self:
        for reader in self._readers:
            await reader.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for reader in self._readers:
            await reader.stop()

    async def read(self) -> tuple[int, int]:
        any_, committed = [
            sum((await reader.end_offsets(self._output)).values()) for reader in self._readers
        ]
        return any_, committed


async def test_a_kill_in_the_middle_of_a_transaction(
    cluster: KafkaCluster, instances: Instances
) -> None:
    instance = instances(cluster)
    items = inputs(80_000)
    await produce(cluster, items)
    kills = 0
    async with Ends(cluster) as ends:
        for _ in range(3):
            await instance.start()
            async with asyncio.timeout(60):
                while True:
                    written, committed = await ends.read()
                    # It has written, and what it has written is in no transaction that has ended.
                    if written > committed or committed >= 2 * len(items) - 4:
                        break
            kills += written > committed
            assert await instance.end(signal.SIGKILL) == -signal.SIGKILL
        assert kills
        await instance.start()
        await complete(cluster, items)
        assert await instance.end(signal.SIGTERM) == 0
        # The aborted ones are still there, for readers who do not care.
        written, _ = await ends.read()
        assert written > len(await cluster.results(0)) + 100


async def test_a_stopped_process_that_wakes_after_its_partitions_moved(
    cluster: KafkaCluster, instances: Instances
) -> None:
    zombie, heir = instances(cluster), instances(cluster)
    await zombie.start()
    await zombie.until_told("partitions 0, 1, 2 of")
    items = inputs(40_000)
    feeding = asyncio.ensure_future(produce(cluster, items))
    await cluster.results(2000)
    zombie.signal(signal.SIGSTOP)
    await heir.start()
    await heir.until_told("partitions 0, 1, 2 of")
    await cluster.results(20_000)
    # It wakes in the midst of whatever it did, and believes that the partitions are its own.
    zombie.signal(signal.SIGCONT)
    await feeding
    await complete(cluster, items)
    await zombie.until_told("works on partitions")
    more = inputs(300, start=40_000)
    await produce(cluster, more)
    await complete(cluster, [*items, *more])
    for instance in (zombie, heir):
        assert await instance.end(signal.SIGTERM) == 0
        assert "Traceback" not in instance.log()


async def test_instances_come_and_go_under_load(
    cluster: KafkaCluster, instances: Instances, tmp_path: Path
) -> None:
    site = plant_site(tmp_path, 8)
    assets = ["Sensors", *(f"a{n}" for n in range(1, 9))]
    items = [v for n in range(500) for asset in assets for v in inputs(3, 3 * n, asset)]
    first, second, third = (instances(cluster, site) for _ in range(3))
    await first.start()
    await first.until_told("READY=1")
    feeding = asyncio.ensure_future(produce(cluster, items))
    await second.start()
    await second.until_told("READY=1")
    await cluster.results(1000)
    await third.start()
    await third.until_told("READY=1")
    await cluster.results(4000)
    assert await first.end(signal.SIGTERM) == 0
    await cluster.results(6000)
    assert await second.end(signal.SIGKILL) == -signal.SIGKILL
    await feeding
    await third.until_told("partitions 0, 1, 2 of")
    await complete(cluster, items)
    assert await third.end(signal.SIGTERM) == 0
    assert "Traceback" not in third.log()


async def set_offset(cluster: KafkaCluster, offset: int) -> int:
    """Set the group's offset of partition 0 by hand; gives the one before."""
    settings = cluster.settings
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        group_id=settings.group,
        enable_auto_commit=False,
    )
    await consumer.start()
    tp = TopicPartition(settings.input, PART)
    consumer.assign([tp])
    before: int = await consumer.committed(tp) or 0
    await consumer.commit({tp: offset})
    await consumer.stop()
    return before


# Of the asset `Sensors`.
PART = sum(b"Sensors") % PARTITIONS


async def test_a_changelog_that_does_not_fit_the_offset_is_refused(
    cluster: KafkaCluster, instances: Instances
) -> None:
    instance = instances(cluster)
    items = inputs(900)
    await produce(cluster, items[:600])
    await instance.start()
    await complete(cluster, items[:600])
    assert await instance.end(signal.SIGTERM) == 0
    before = await set_offset(cluster, 17)
    await instance.start()
    assert await instance.ended() == 78
    said = instance.log()
    assert f"partition {PART} does not fit the group's offset" in said
    assert f"set the group's offset to {before}" in said
    assert f"cause: partition {PART}: the group's offset is 17" in said
    assert "Traceback" not in said
    # What it says is what helps.
    await set_offset(cluster, before)
    await produce(cluster, items[600:])
    await instance.start()
    await complete(cluster, items)
    assert await instance.end(signal.SIGTERM) == 0


async def test_a_topic_that_was_made_anew_is_read_from_what_is_new(
    cluster: KafkaCluster, instances: Instances
) -> None:
    instance = instances(cluster)
    items = inputs(900)
    await produce(cluster, items[:600])
    await instance.start()
    await complete(cluster, items[:600])
    assert await instance.end(signal.SIGTERM) == 0
    settings = cluster.settings
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    await admin.delete_topics([settings.input])
    async with asyncio.timeout(30):
        while settings.input in {t["topic"] for t in await admin.describe_topics()}:
            pass
        await admin.create_topics([NewTopic(settings.input, PARTITIONS, 1)])
        while settings.input not in {t["topic"] for t in await admin.describe_topics()}:
            pass
    await admin.close()
    await cluster.reopen()
    await produce(cluster, items[600:])
    # With a topic Kafka forgets the offsets of its groups: nothing says any more where we were.
    await instance.start()
    assert await instance.ended() == 78
    assert "the group's offset is None" in instance.log()
    assert "set the group's offset to 600" in instance.log()
    await set_offset(cluster, 600)
    await instance.start()
    await complete(cluster, items)
    assert "the log has not the last record that was taken" in instance.log()
    assert await instance.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
async def test_a_log_that_was_cut_and_has_grown_again_is_read_from_what_is_new(
    cluster: KafkaCluster, instances: Instances, kafka: RealKafka, running: bool
) -> None:
    instance = instances(cluster)
    items = inputs(900)
    await produce(cluster, items[:600])
    await instance.start()
    await complete(cluster, items[:600])
    if not running:
        assert await instance.end(signal.SIGTERM) == 0
    await cluster.close()
    kafka.kill()
    kafka.cut(cluster.settings.input, PART, 300)
    await asyncio.to_thread(kafka.start)
    await cluster.reopen()
    # First what is new, where the lost ones were; then those, as the gap filler sends them.
    await produce(cluster, items[600:])
    await produce(cluster, items[300:600])
    if not running:
        await instance.start()
    await complete(cluster, items)
    assert "the log has not the last record that was taken" in instance.log()
    assert await instance.end(signal.SIGTERM) == 0
