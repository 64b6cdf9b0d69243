"""What every broker must do, the one in memory and the real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple, Protocol

import pytest
from fieldline.messages import FORMAT_HEADERS, Headers
from fieldline.stream import Broker, MovedError, Record, Topics, UnavailableError

PARTITIONS = 3


class Read(NamedTuple):
    """A record read back from an output topic."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Cluster(Protocol):
    """The outside of a broker: what a test does to it and sees of it.

    topics: with two outputs, of two partitions each; input and changelog have `PARTITIONS`.
    """

    topics: Topics

    async def produce(
        self, partition: int, value: bytes | None, key: bytes | None = None, timestamp_ms: int = 0
    ) -> None: ...

    def member(self) -> Broker: ...

    async def committed(self, topic: str, count: int) -> Sequence[Read]:
        """Committed records of a topic, waiting until there are at least `count`."""
        ...

    async def forget(self, partition: int, first: int) -> None:
        """Remove the input's records before this offset, as retention does."""
        ...

    async def steal(self, partition: int) -> None:
        """Claim a partition as another member would that believes it to be its own."""
        ...


async def opened(cluster: Cluster) -> Broker:
    broker = cluster.member()
    await broker.open()
    return broker


async def until(brokers: Sequence[Broker], condition: Callable[[], bool]) -> None:
    """Let the members poll until something holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.gather(*(poll(broker) for broker in brokers))


async def poll(broker: Broker, count: int = 1) -> list[tuple[int, Record]]:
    """One poll: partition and record of each that came."""
    found = await broker.poll(0.05, count)
    return [(p, r) for p, records in found.records.items() for r in records]


async def claimed(cluster: Cluster, start: int = 0) -> Broker:
    """A member that has all partitions, claimed and sought."""
    broker = await opened(cluster)
    await assigned(broker)
    await broker.claim(range(PARTITIONS))
    for partition in range(PARTITIONS):
        broker.seek(partition, start)
    return broker


async def assigned(broker: Broker) -> None:
    """Wait until it has all partitions."""
    await until([broker], lambda: broker.assignment == frozenset(range(PARTITIONS)))


async def take(broker: Broker, count: int) -> list[tuple[int, Record]]:
    """Poll until so many records have come."""
    taken: list[tuple[int, Record]] = []
    async with asyncio.timeout(30):
        while len(taken) < count:
            taken += await poll(broker, 100)
    return taken


async def collect(source: AsyncIterator[Sequence[Record]]) -> list[Record]:
    return [record async for records in source for record in records]


def shared(broker: Broker) -> frozenset[int]:
    """Its partitions, none while they are shared out."""
    return broker.assignment or frozenset()


class Contract:
    """Inherit and give a fixture `cluster`."""

    async def test_records_come_in_order_from_where_one_seeks(self, cluster: Cluster) -> None:
        for number in range(5):
            await cluster.produce(1, b"v%d" % number, b"k", 1000 + number)
        broker = await claimed(cluster)
        try:
            taken = await take(broker, 5)
            assert [(p, r.offset, r.key, r.value, r.timestamp) for p, r in taken] == [
                (1, n, b"k", b"v%d" % n, 1000 + n) for n in range(5)
            ]
            broker.seek(1, 3)
            assert [r.offset for _, r in await take(broker, 2)] == [3, 4]
            assert broker.lag(1, 1) == 4
        finally:
            await broker.close()

    async def test_what_is_sent_is_seen_with_its_offset_or_not_at_all(
        self, cluster: Cluster
    ) -> None:
        first, second = cluster.topics.outputs
        broker = await claimed(cluster)
        headers: Headers = [("reason", b"none")]
        try:
            assert await broker.claim([2]) == {2: None}
            one = [(b"a%d" % n, b"%d" % n, FORMAT_HEADERS) for n in range(3)]
            await broker.send(2, {first: one, second: [(None, b"in", headers)]})
            await broker.send(2, {cluster.topics.changelog: [(b"s", b"state", FORMAT_HEADERS)]})
            await broker.commit({2: 7})
            # Never committed: whoever claims the partition aborts it.
            await broker.send(2, {first: [(b"x", b"lost", FORMAT_HEADERS)]})
            assert await broker.claim([2]) == {2: 7}
            await broker.send(2, {first: [(b"y", b"last", FORMAT_HEADERS)]})
            await broker.commit({2: 8})
            assert await broker.claim([2, 0]) == {2: 8, 0: None}
            state = await collect(broker.changelog(2))
            assert [(r.key, r.value, list(r.headers)) for r in state] == [
                (b"s", b"state", FORMAT_HEADERS)
            ]
            assert await collect(broker.changelog(1)) == []
        finally:
            await broker.close()
        assert await cluster.committed(first, 4) == [
            *(Read(0, b"a%d" % n, b"%d" % n, FORMAT_HEADERS) for n in range(3)),
            Read(0, b"y", b"last", FORMAT_HEADERS),
        ]
        assert await cluster.committed(second, 1) == [Read(0, None, b"in", headers)]

    async def test_what_was_written_is_found_once_it_is_committed(self, cluster: Cluster) -> None:
        topic = cluster.topics.outputs[0]
        broker = await claimed(cluster)
        try:

            async def found(value: bytes) -> bool:
                return await broker.has_written(2, topic, 0, lambda r: r.value == value)

            await broker.send(2, {topic: [(b"k", b"%d" % n, FORMAT_HEADERS) for n in range(3)]})
            assert not await found(b"1")
            await broker.commit({2: 1})
            await broker.claim(range(PARTITIONS))
            assert await found(b"0")
            assert await found(b"2")
            assert not await found(b"3")
            assert await broker.has_written(2, "another", 0, lambda r: r.value == b"3")
        finally:
            await broker.close()

    async def test_partitions_are_committed_each_for_itself(self, cluster: Cluster) -> None:
        topic = cluster.topics.outputs[0]
        broker = await claimed(cluster)
        try:
            for partition in range(PARTITIONS):
                value = b"%d" % partition
                await broker.send(partition, {topic: [(b"k", value, FORMAT_HEADERS)]})
            await broker.commit({0: 1, 2: 3})
            assert await broker.claim([0, 1, 2]) == {0: 1, 1: None, 2: 3}
            await broker.send(1, {topic: [(b"k", b"end", FORMAT_HEADERS)]})
            await broker.commit({1: 9})
        finally:
            await broker.close()
        read = await cluster.committed(topic, 3)
        assert sorted(r.value or b"" for r in read) == [b"0", b"2", b"end"]

    async def test_a_commit_without_records_moves_the_offset(self, cluster: Cluster) -> None:
        broker = await claimed(cluster)
        try:
            await broker.commit({0: 5})
            assert await broker.claim([0]) == {0: 5}
        finally:
            await broker.close()

    async def test_many_records_keep_their_order(self, cluster: Cluster) -> None:
        topic = cluster.topics.outputs[0]
        broker = await claimed(cluster)
        expected = [b"%06d" % n + b"." * 100 for n in range(20_000)]
        try:
            for start in range(0, 20_000, 4000):
                part = expected[start : start + 4000]
                await broker.send(1, {topic: [(b"k", v, FORMAT_HEADERS) for v in part]})
            changes = [(b"%d" % n, b"x" * 1000, FORMAT_HEADERS) for n in range(3000)]
            await broker.send(1, {cluster.topics.changelog: changes})
            await broker.commit({1: 1})
            # As the engine does: Kafka answers a commit before readers see it, a claim waits.
            assert await broker.claim([1]) == {1: 1}
            state = await collect(broker.changelog(1))
            assert [r.key for r in state] == [key for key, _, _ in changes]
        finally:
            await broker.close()
        assert [read.value for read in await cluster.committed(topic, 20_000)] == expected

    async def test_whoever_claims_last_fences_all_others(self, cluster: Cluster) -> None:
        topic = cluster.topics.outputs[0]
        broker = await claimed(cluster)
        try:
            await broker.send(0, {topic: [(b"k", b"zombie", FORMAT_HEADERS)]})
            await cluster.steal(0)
            with pytest.raises(UnavailableError):
                await broker.commit({0: 1})
            # The others are still ours.
            await broker.send(1, {topic: [(b"k", b"ours", FORMAT_HEADERS)]})
            await broker.commit({1: 1})
            assert await broker.claim([0, 1]) == {0: None, 1: 1}
        finally:
            await broker.close()
        assert [r.value for r in await cluster.committed(topic, 1)] == [b"ours"]

    async def test_members_share_the_partitions(self, cluster: Cluster) -> None:
        everything = frozenset(range(PARTITIONS))
        first = await claimed(cluster)
        second = None
        try:
            before = first.generation
            second = await opened(cluster)
            both = [first, second]
            await until(both, lambda: bool(shared(both[1]) and shared(first) < everything))
            await until(both, lambda: shared(first) | shared(both[1]) == everything)
            assert not shared(first) & shared(second)
            assert first.generation > before
            (unowned, *_) = everything - shared(first)
            with pytest.raises(MovedError):
                first.seek(unowned, 0)
            with pytest.raises(MovedError):
                await first.claim([unowned])
            await second.close()
            second = None
            await assigned(first)
        finally:
            await first.close()
            if second is not None:
                await second.close()

    async def test_a_revocation_waits_and_is_the_last_chance_to_commit(
        self, cluster: Cluster
    ) -> None:
        topic = cluster.topics.outputs[0]
        first = await claimed(cluster)
        second = cluster.member()
        called = 0

        async def commit() -> None:
            nonlocal called
            called += 1
            await first.commit(dict.fromkeys(range(PARTITIONS), 1))

        try:
            for partition in range(PARTITIONS):
                await first.send(partition, {topic: [(b"k", b"v", FORMAT_HEADERS)]})
            first.before_revocation = commit
            async with first.busy:
                generation = first.generation
                joining = asyncio.ensure_future(second.open())
                # The other one asks for its share; soon after, the request is known here.
                await asyncio.wait({joining}, timeout=0.5)
                assert (first.generation, called) == (generation, 0)
            await joining
            await until([first, second], lambda: bool(first.assignment and second.assignment))
            assert called == 1
            for broker in (first, second):
                mine = sorted(shared(broker))
                assert await broker.claim(mine) == dict.fromkeys(mine, 1)
        finally:
            first.before_revocation = second.before_revocation
            await first.close()
            await second.close()
        assert len(await cluster.committed(topic, PARTITIONS)) == PARTITIONS

    async def test_places_in_the_log(self, cluster: Cluster) -> None:
        for number, timestamp in enumerate((100, 300, 200, 400)):
            await cluster.produce(0, b"%d" % number, None, timestamp)
        broker = await claimed(cluster)
        try:
            assert await broker.ends(0) == (0, 4)
            assert await broker.offset_at(0, 0) == 0
            assert await broker.offset_at(0, 150) == 1
            assert await broker.offset_at(0, 200) == 1
            assert await broker.offset_at(0, 301) == 3
            assert await broker.offset_at(0, 401) is None
            assert [r.offset for r in await collect(broker.read(0, 1, 3))] == [1, 2]
            assert [r.offset for r in await collect(broker.read(0, 0, 4))] == [0, 1, 2, 3]
            assert await collect(broker.read(0, 2, 2)) == []
        finally:
            await broker.close()

    async def test_reading_goes_on_beside_polling(self, cluster: Cluster) -> None:
        for number in range(300):
            await cluster.produce(0, b"%d" % number)
        broker = await claimed(cluster)
        try:
            await take(broker, 300)
            reading = broker.read(0, 10, 290)
            read = [r.offset for r in await anext(reading)]
            await cluster.produce(0, b"new")
            assert [r.value for _, r in await take(broker, 1)] == [b"new"]
            read += [r.offset for r in await collect(reading)]
            assert read == list(range(10, 290))
            # Another one is left in the middle, as by a cancelled task.
            left = broker.read(0, 0, 300)
            await anext(left)
            await left.aclose()
            await cluster.produce(0, b"newer")
            assert [r.value for _, r in await take(broker, 1)] == [b"newer"]
        finally:
            await broker.close()

    async def test_what_a_log_has_lost_is_not_read(self, cluster: Cluster) -> None:
        for number in range(5):
            await cluster.produce(0, b"%d" % number, None, 1000 + number)
        await cluster.forget(0, 3)
        broker = await claimed(cluster, start=3)
        try:
            assert await broker.ends(0) == (3, 5)
            assert await broker.offset_at(0, 1001) == 3
            assert await collect(broker.read(0, 1, 5)) == []
            assert [r.offset for r in await collect(broker.read(0, 3, 5))] == [3, 4]
        finally:
            await broker.close()

    async def test_a_commit_that_moves_no_offset(self, cluster: Cluster) -> None:
        topic = cluster.topics.outputs[0]
        broker = await claimed(cluster)
        try:
            for value in (b"a", b"b"):
                await broker.send(0, {topic: [(b"k", value, FORMAT_HEADERS)]})
                await broker.commit({0: 4})
            assert await broker.claim([0]) == {0: 4}
        finally:
            await broker.close()
        assert [r.value for r in await cluster.committed(topic, 2)] == [b"a", b"b"]

    async def test_a_place_behind_the_end_is_noticed(self, cluster: Cluster) -> None:
        await cluster.produce(0, b"v")
        broker = await claimed(cluster)
        try:
            broker.seek(0, 5)
            with pytest.raises(UnavailableError, match="lost records"):
                await take(broker, 1)
        finally:
            await broker.close()

    async def test_an_empty_poll_tells_that_the_broker_answered(self, cluster: Cluster) -> None:
        broker = await claimed(cluster)
        try:
            async with asyncio.timeout(30):
                for _ in range(3):
                    while not (found := await broker.poll(0.2, 10)).reached:
                        pass
                    assert not found.records
        finally:
            await broker.close()
