"""Exactly once on a real Kafka: zombies, rebalances, open transactions, offsets that were lost."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from fieldline.messages import ModelResult, decode_result
from fieldline.provision.kafka_admin import connect
from fieldline.provision.transactions import end_hanging
from stream_model_instance import Instance, complete, expected, inputs, plant_site, produce
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


async def move_offset(cluster: KafkaCluster, by: int) -> int:
    """Move the group's offset of a partition by hand; gives the one before."""
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
    await consumer.commit({tp: before + by})
    await consumer.stop()
    return before


# Of the asset `Sensors`.
PART = sum(b"Sensors") % PARTITIONS


@pytest.mark.parametrize("by", [-100, 100])
async def test_an_offset_that_is_not_the_states_is_told_and_made_good(
    cluster: KafkaCluster, instances: Instances, by: int
) -> None:
    instance = instances(cluster)
    items = inputs(900)
    await produce(cluster, items[:600])
    await instance.start()
    await complete(cluster, items[:600])
    assert await instance.end(signal.SIGTERM) == 0
    await produce(cluster, items[600:])
    before = await move_offset(cluster, by)
    await instance.start()
    # Results of those that were skipped come too; it cannot know that they were never given.
    await complete(cluster, items, [0] if by < 0 else [0, 1])
    assert await instance.end(signal.SIGTERM) == 0
    said = instance.log()
    assert ("the group's offset is behind the state" in said) == (by < 0)
    assert ("the state is behind the group's offset" in said) == (by > 0)
    assert f'"committed": {before + by}' in said
    assert f'"next_offset": {before}' in said
    assert "Traceback" not in said


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
    # With a topic Kafka forgets the offsets of its groups; the state says where we were.
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


@pytest.mark.parametrize(
    ("topic", "left", "told"),
    [
        ("output", 700, "the last outputs are not in their topic"),
        ("changelog", 7, "the state is behind the group's offset"),
    ],
)
async def test_what_the_disk_has_lost_of_results_or_state_is_made_good(
    cluster: KafkaCluster, instances: Instances, kafka: RealKafka, topic: str, left: int, told: str
) -> None:
    instance = instances(cluster)
    items = inputs(900)
    await instance.start()
    for count in range(100, 700, 100):
        await produce(cluster, items[count - 100 : count])
        await complete(cluster, items[:count])
    assert await instance.end(signal.SIGTERM) == 0
    await cluster.close()
    kafka.kill()
    name: str = getattr(cluster.settings, topic)
    kafka.cut(name, PART % (2 if topic == "output" else PARTITIONS), left)
    await asyncio.to_thread(kafka.start)
    # As kafka-provision does: the mark that ended a transaction may be gone, too.
    admin = await connect(cluster.settings.bootstrap_servers, 30, lambda _passed, _cause: None)
    await end_hanging(admin)
    await admin.close()
    await cluster.reopen()
    await produce(cluster, items[600:])
    await instance.start()
    wanted = expected(items)
    found: dict[tuple[str, str, int], float] = {}
    results: list[ModelResult] = []
    async with asyncio.timeout(60):
        while found.keys() != wanted.keys():
            records = await cluster.results(len(results) + 1)
            results = [decode_result(record.value or b"") for record in records]
            found = {(r.asset, r.name, r.timestamp): r.value for r in results}
    assert found == pytest.approx(wanted)
    given = [(r.name, r.timestamp, r.revision) for r in results]
    assert len(set(given)) == len(given)
    assert any(revision for *_, revision in given)
    assert told in instance.log()
    assert await instance.end(signal.SIGTERM) == 0
