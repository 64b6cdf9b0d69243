"""The real broker keeps the contract, and the changelog's topic is really compacted."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from fieldline.provision.topics import CHANGELOG, declared_topics
from fieldline.service import ServiceError
from fieldline.site import load_site
from fieldline.stream import Broker, Changelog, Topics, UnavailableError
from fieldline.stream.changelog import Position, Reader
from fieldline.stream.kafka import KafkaBroker
from stream_contract import PARTITIONS, Contract, Read, assigned, claimed, collect, until

pytestmark = [pytest.mark.servers, pytest.mark.kafka]

_numbers = itertools.count()


class KafkaCluster:
    """Topics of their own on a real Kafka, as the contract sees them."""

    def __init__(self, bootstrap: str) -> None:
        number = next(_numbers)
        self.topics = Topics(
            f"group{number}", f"in{number}", f"state{number}", (f"out{number}", f"dead{number}")
        )
        self.bootstrap = bootstrap
        self._producer: AIOKafkaProducer | None = None
        self._readers: dict[str, tuple[AIOKafkaConsumer, list[Read]]] = {}

    async def open(
        self, changelogs: int = PARTITIONS, configs: dict[str, str] | None = None
    ) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        topics = self.topics
        await admin.create_topics(
            [
                NewTopic(topics.input, PARTITIONS, 1),
                NewTopic(topics.changelog, changelogs, 1, topic_configs=configs or {}),
                *(NewTopic(name, 2, 1) for name in topics.outputs),
            ]
        )
        async with asyncio.timeout(30):
            # The controller has them at once, the broker a moment later.
            while not await self._shown(admin):
                pass
        await admin.close()
        self._producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap)
        await self._producer.start()

    async def _shown(self, admin: AIOKafkaAdminClient) -> bool:
        shown = {topic["topic"] for topic in await admin.describe_topics()}
        return shown >= set(self.topics.all)

    async def close(self) -> None:
        assert self._producer is not None
        await self._producer.stop()
        for consumer, _ in self._readers.values():
            await consumer.stop()

    async def produce(
        self, partition: int, value: bytes | None, key: bytes | None = None, timestamp_ms: int = 0
    ) -> None:
        assert self._producer is not None
        topic = self.topics.input
        await self._producer.send_and_wait(topic, value, key, partition, timestamp_ms or None)

    def member(self, instance: str | None = None) -> Broker:
        return KafkaBroker(self.bootstrap, "test", self.topics, instance)

    async def committed(self, topic: str, count: int) -> Sequence[Read]:
        if topic not in self._readers:
            consumer = AIOKafkaConsumer(
                topic,
                bootstrap_servers=self.bootstrap,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
            )
            await consumer.start()
            self._readers[topic] = (consumer, [])
        consumer, found = self._readers[topic]
        async with asyncio.timeout(60):
            while len(found) < count:
                for records in (await consumer.getmany(timeout_ms=50)).values():
                    found += [Read(r.partition, r.key, r.value, list(r.headers)) for r in records]
        return found

    async def forget(self, partition: int, first: int, topic: str = "") -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        place = TopicPartition(topic or self.topics.input, partition)
        await admin.delete_records({place: RecordsToDelete(first)})
        await admin.close()

    async def steal(self, partition: int) -> None:
        name = f"{self.topics.group}-{self.topics.input}-{partition}"
        thief = AIOKafkaProducer(bootstrap_servers=self.bootstrap, transactional_id=name)
        await thief.start()
        await thief.stop()


def shared_out(members: Sequence[Broker]) -> bool:
    """Whether each has some of the partitions, and all of them are somebody's."""
    had = [member.assignment or frozenset() for member in members]
    return all(had) and sum(map(len, had)) == PARTITIONS


@pytest.fixture
async def cluster(kafka: Any) -> AsyncIterator[KafkaCluster]:
    made = KafkaCluster(kafka.bootstrap)
    await made.open()
    yield made
    await made.close()


class TestKafka(Contract):
    async def test_no_broker_is_unavailable(self) -> None:
        broker = KafkaCluster("127.0.0.1:1").member()
        with pytest.raises(UnavailableError, match="cannot be reached"):
            await broker.open()
        await broker.close()

    async def test_missing_topics_are_named(self, kafka: Any) -> None:
        missing = KafkaCluster(kafka.bootstrap)
        broker = missing.member()
        with pytest.raises(UnavailableError) as error:
            await broker.open()
        await broker.close()
        for name in missing.topics.all:
            assert name in str(error.value)

    async def test_a_changelog_of_other_partitions_is_refused(self, kafka: Any) -> None:
        other = KafkaCluster(kafka.bootstrap)
        await other.open(changelogs=PARTITIONS + 1)
        broker = other.member()
        await broker.open()
        await assigned(broker)
        with pytest.raises(ServiceError, match="as many partitions") as error:
            await broker.claim([0])
        assert error.value.code == 78
        await broker.close()
        await other.close()

    async def test_a_named_member_has_its_partitions_back_without_a_rebalance(
        self, cluster: KafkaCluster
    ) -> None:
        members = [cluster.member("a"), cluster.member("b")]
        for member in members:
            await member.open()
        await until(members, lambda: shared_out(members))
        before, other = members
        had, generation = before.assignment, other.generation
        # It does not leave, so for the group this is as if it had been killed.
        await before.close()
        again = cluster.member("a")
        await again.open()
        await until([again, other], lambda: again.assignment is not None)
        assert again.assignment == had
        assert other.generation == generation
        await again.close()
        await other.close()

    async def test_a_member_without_a_name_gives_its_partitions_away(
        self, cluster: KafkaCluster
    ) -> None:
        members = [cluster.member(), cluster.member()]
        for member in members:
            await member.open()
        await until(members, lambda: shared_out(members))
        before, other = members
        await before.close()
        await until([other], lambda: len(other.assignment or ()) == PARTITIONS)
        await other.close()

    async def test_of_two_with_one_name_the_later_has_the_partitions(
        self, cluster: KafkaCluster
    ) -> None:
        first, second = cluster.member("a"), cluster.member("a")
        await first.open()
        await assigned(first)
        await first.claim(range(PARTITIONS))
        await second.open()
        await assigned(second)
        await second.claim(range(PARTITIONS))
        await first.send(0, {cluster.topics.outputs[0]: [(b"k", b"zombie", [])]})
        with pytest.raises(UnavailableError, match="taken our partitions over"):
            await first.commit({0: 1})
        await first.close()
        await second.close()

    async def test_what_retention_has_removed_may_have_been_written(
        self, cluster: KafkaCluster
    ) -> None:
        topic = cluster.topics.outputs[0]
        broker = await claimed(cluster)
        try:
            await broker.send(0, {topic: [(b"k", b"%d" % n, []) for n in range(3)]})
            await broker.commit({0: 1})
            await broker.claim(range(PARTITIONS))
            assert not await broker.has_written(0, topic, 0, lambda r: r.value == b"x")
            await cluster.forget(0, 2, topic)
            assert await broker.has_written(0, topic, 0, lambda r: r.value == b"x")
        finally:
            await broker.close()

    async def test_a_broker_that_was_silent_may_be_another_one(
        self, cluster: KafkaCluster, kafka: Any
    ) -> None:
        broker = await claimed(cluster)
        try:
            async with asyncio.timeout(60):
                while not (found := await broker.poll(0.1, 10)).reached or found.renewed:
                    pass
                kafka.process.process.send_signal(signal.SIGSTOP)
                silent = 0
                while silent < 20:
                    silent += not (await broker.poll(0.1, 10)).reached
                kafka.process.process.send_signal(signal.SIGCONT)
                while not (found := await broker.poll(0.1, 10)).reached:
                    pass
            assert found.renewed
        finally:
            kafka.process.process.send_signal(signal.SIGCONT)
            await broker.close()

    async def test_the_provisioned_changelog_is_really_compacted(self, kafka: Any) -> None:
        site = load_site(Path(__file__).parents[4] / "site.toml")
        (declared,) = (t for t in declared_topics(site) if t.name == CHANGELOG)
        # The least that a broker takes, so that a test need not write 16 MiB.
        configs = {**declared.configs, "segment.bytes": str(1024 * 1024)}
        cluster = KafkaCluster(kafka.bootstrap)
        await cluster.open(configs=configs)
        broker = await claimed(cluster)
        changelog = Changelog()
        parts = {b"asset%d" % n: b"" for n in range(10)}
        written = 0
        for step in range(1, 1001):
            changes = [(key, b"%05d" % step * 200) for key in parts]
            parts = dict(changes)
            records = changelog.add(Position(step, 0), b"", changes, parts.__getitem__)
            written += len(records)
            await broker.send(0, {cluster.topics.changelog: records})
            await broker.commit({0: step})
        async with asyncio.timeout(60):
            while True:
                kept = await collect(broker.changelog(0))
                if len(kept) < written * 3 // 4:
                    break
        reader = Reader()
        reader.add(kept)
        restored = reader.end()
        assert restored.position == (1000, 0)
        found = dict(restored.snapshots)
        for _, changes in restored.entries:
            found.update(changes)
        assert found == parts
        await broker.close()
        await cluster.close()
