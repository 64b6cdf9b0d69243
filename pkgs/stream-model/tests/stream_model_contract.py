"""What every broker must do, the one in memory and the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import pytest
from fieldline.messages import FORMAT_HEADERS, DeadLetterOrigin, Headers, dead_letter_headers
from stream_model.broker import Broker, DeadLetter, Delivery, MovedError, Record

PARTITIONS = 3


class Read(NamedTuple):
    """A record read back from an output topic."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Cluster(Protocol):
    """The outside of a broker: what a test does to it and sees of it."""

    async def produce(
        self, partition: int, value: bytes | None, key: bytes | None = None, timestamp_ms: int = 0
    ) -> None: ...

    def member(self) -> Broker: ...

    async def results(self, count: int) -> Sequence[Read]:
        """At least `count` records of the output topic, waiting for them."""
        ...

    async def dead_letters(self, count: int) -> Sequence[Read]: ...


async def opened(cluster: Cluster) -> Broker:
    broker = cluster.member()
    await broker.open()
    return broker


async def until(brokers: Sequence[Broker], condition: Callable[[], bool]) -> None:
    """Let the members poll until something holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.gather(*(broker.poll(0.05, 1) for broker in brokers))


async def take(broker: Broker, count: int) -> list[tuple[int, Record]]:
    """Poll until so many records have come; of one assignment."""
    taken: list[tuple[int, Record]] = []
    generation = broker.generation
    async with asyncio.timeout(30):
        while len(taken) < count:
            poll = await broker.poll(0.1, 100)
            if poll.generation != generation:
                generation, taken = poll.generation, []
            taken += [(p, r) for p, records in poll.records.items() for r in records]
    return taken


def shared(broker: Broker) -> frozenset[int]:
    """Its partitions, none while they are shared out."""
    return broker.assignment or frozenset()


class Contract:
    """Inherit and give a fixture `cluster` with `PARTITIONS` of input and two of each output."""

    async def test_a_first_start_reads_from_the_earliest_record(self, cluster: Cluster) -> None:
        for number in range(5):
            await cluster.produce(1, b"v%d" % number, b"k", 1000 + number)
        broker = await opened(cluster)
        try:
            taken = await take(broker, 5)
            assert [(p, r.offset, r.key, r.value, r.timestamp) for p, r in taken] == [
                (1, n, b"k", b"v%d" % n, 1000 + n) for n in range(5)
            ]
            assert await broker.committed(1) is None
        finally:
            await broker.close()

    async def test_what_is_delivered_is_there_and_committed(self, cluster: Cluster) -> None:
        await cluster.produce(2, b"in", b"k")
        broker = await opened(cluster)
        headers = dead_letter_headers(DeadLetterOrigin("unparsable", "opc", 2, 0))
        try:
            await take(broker, 1)
            results = [(b"a%d" % n, b"%d" % n) for n in range(3)]
            delivery = Delivery(1, results, [DeadLetter(None, b"in", headers)])
            await broker.deliver({2: delivery})
            assert await broker.committed(2) == 1
            assert await broker.committed(0) is None
        finally:
            await broker.close()
        assert await cluster.results(3) == [
            Read(0, b"a%d" % n, b"%d" % n, FORMAT_HEADERS) for n in range(3)
        ]
        assert await cluster.dead_letters(1) == [Read(0, None, b"in", headers)]

    async def test_many_results_keep_their_order(self, cluster: Cluster) -> None:
        await cluster.produce(1, b"in", b"k")
        broker = await opened(cluster)
        expected = [b"%06d" % n + b"." * 100 for n in range(20_000)]
        try:
            await take(broker, 1)
            await broker.deliver({1: Delivery(1, [(b"k", v) for v in expected])})
        finally:
            await broker.close()
        assert [read.value for read in await cluster.results(20_000)] == expected

    async def test_a_new_session_goes_on_where_the_last_committed(self, cluster: Cluster) -> None:
        for number in range(4):
            await cluster.produce(0, b"%d" % number)
        broker = await opened(cluster)
        await take(broker, 4)
        await broker.deliver({0: Delivery(3)})
        await broker.close()
        again = await opened(cluster)
        try:
            taken = await take(again, 1)
            assert [r.offset for _, r in taken] == [3]
            assert await again.committed(0) == 3
        finally:
            await again.close()

    async def test_members_share_the_partitions(self, cluster: Cluster) -> None:
        everything = frozenset(range(PARTITIONS))
        first = await opened(cluster)
        second = None
        try:
            await until([first], lambda: first.assignment == everything)
            before = first.generation
            second = await opened(cluster)
            await until(
                [first, second],
                lambda: bool(second.assignment) and shared(first) < everything,
            )
            await until([first, second], lambda: shared(first) | shared(second) == everything)
            assert not shared(first) & shared(second)
            assert first.generation > before
            (unowned, *_) = everything - shared(first)
            with pytest.raises(MovedError):
                first.seek(unowned, 0)
            await second.close()
            second = None
            await until([first], lambda: first.assignment == everything)
        finally:
            await first.close()
            if second is not None:
                await second.close()

    async def test_a_revocation_waits_for_work_in_flight(self, cluster: Cluster) -> None:
        for partition in range(PARTITIONS):
            await cluster.produce(partition, b"in", b"k")
        first = await opened(cluster)
        second = cluster.member()
        try:
            await take(first, PARTITIONS)
            async with first.busy:
                generation = first.generation
                joining = asyncio.ensure_future(second.open())
                # The other one asks for its share; a poll or two later the request is known here.
                await asyncio.wait({joining}, timeout=0.5)
                assert first.generation == generation
                await first.deliver({p: Delivery(1) for p in range(PARTITIONS)})
                assert first.generation == generation
            await joining
            await until([first, second], lambda: bool(first.assignment and second.assignment))
            for broker in (first, second):
                for partition in shared(broker):
                    assert await broker.committed(partition) == 1
        finally:
            await first.close()
            await second.close()

    async def test_places_in_the_log(self, cluster: Cluster) -> None:
        for number, timestamp in enumerate((100, 300, 200, 400)):
            await cluster.produce(0, b"%d" % number, None, timestamp)
        broker = await opened(cluster)
        try:
            await take(broker, 4)
            assert await broker.beginning(0) == 0
            assert await broker.offset_at(0, 0) == 0
            assert await broker.offset_at(0, 150) == 1
            assert await broker.offset_at(0, 200) == 1
            assert await broker.offset_at(0, 301) == 3
            assert await broker.offset_at(0, 401) is None
            assert [r.offset for r in await broker.before(0, 3, 2)] == [1, 2]
            assert [r.offset for r in await broker.before(0, 4, 100)] == [0, 1, 2, 3]
            assert list(await broker.before(0, 0, 5)) == []
            broker.seek(0, 2)
            assert [r.offset for _, r in await take(broker, 2)] == [2, 3]
            assert broker.lag(0, 1) == 3
        finally:
            await broker.close()

    async def test_an_empty_poll_tells_that_the_broker_answered(self, cluster: Cluster) -> None:
        broker = await opened(cluster)
        try:
            await until([broker], lambda: bool(broker.assignment))
            async with asyncio.timeout(30):
                for _ in range(3):
                    while not (poll := await broker.poll(0.2, 10)).reached:
                        pass
                    assert not poll.records
        finally:
            await broker.close()
