"""Exactly once: crashes at every point, zombies and rebalances change nothing of what is read."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

import pytest
from fieldline.messages import OpcValue
from fieldline.stream import Output, Poll, Record, UnavailableError, changelog, engine, memory
from fieldline.stream.memory import MemoryBroker, MemoryLog, MemoryRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_model import recompute
from stream_model.repairs import REVISION
from stream_model_reference import SECOND, START, final, make_plan, reference, value
from stream_model_run import Runner, drained, fill, make_log, results

ASSETS = "pqrs"
PLAN = make_plan(ASSETS)


class CrashError(Exception):
    """The process is gone: nothing of it runs any more."""


class CrashingBroker(MemoryBroker):
    """Dies at the n-th of the points at which a process can die; lives if there are fewer.

    A point lies before and after each request, and within each that writes.
    """

    def __init__(self, log: MemoryLog, last: int | None = None) -> None:
        super().__init__(log)
        self.points = 0
        self._last = last

    def _point(self) -> None:
        self.points += 1
        if self._last is not None and self.points >= self._last:
            raise CrashError

    async def poll(self, timeout_s: float, max_records: int) -> Poll:
        self._point()
        return await super().poll(timeout_s, max_records)

    async def claim(self, partitions: Sequence[int]) -> Mapping[int, int | None]:
        self._point()
        claimed = await super().claim(partitions)
        self._point()
        return claimed

    async def changelog(self, partition: int) -> AsyncIterator[Sequence[Record]]:
        self._point()
        async for records in super().changelog(partition):
            yield records
            self._point()

    async def read(
        self, partition: int, start: int, end: int
    ) -> AsyncGenerator[Sequence[MemoryRecord], None]:
        self._point()
        async for records in super().read(partition, start, end):
            yield records
            self._point()

    async def send(self, partition: int, outputs: Mapping[str, Sequence[Output]]) -> None:
        for topic, records in outputs.items():
            half = len(records) // 2
            await super().send(partition, {topic: records[:half]})
            self._point()
            await super().send(partition, {topic: records[half:]})
            self._point()

    async def commit(self, offsets: Mapping[int, int]) -> None:
        for partition, offset in offsets.items():
            self._point()
            await super().commit({partition: offset})
        self._point()


@pytest.fixture(autouse=True, scope="module")
def _small() -> AsyncIterator[None]:
    """Small batches, transactions and changelogs, so that a short log has many of each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "MAX_RECORDS", 7)
        patch.setattr(engine, "_COMMIT_RECORDS", 15)
        patch.setattr(engine, "POLL_S", 0.001)
        patch.setattr(memory, "_CHUNK", 17)
        patch.setattr(recompute, "_MOST_VALUES", 60)
        patch.setattr(recompute, "_CELLS", 100)
        patch.setattr(recompute, "_RESULTS", 20)
        patch.setattr(changelog, "_LEAST_ENTRIES_BYTES", 200)
        yield


def plant(count: int, seed: int) -> list[OpcValue]:
    """Values of some assets, a fifth of them late, some twice."""
    rng = random.Random(seed)
    items = []
    for number in range(count):
        behind = rng.randrange(30) * (rng.random() < 0.2)
        time = START + (60 + number // 4 - behind) * SECOND // 4
        items.append(value(rng.choice(ASSETS), rng.choice("AAABBC"), time, number % 90))
    seen: dict[tuple[str, str, int], OpcValue] = {}
    return [seen.setdefault((v.asset, v.variable, v.time), v) for v in items]


def with_holes(count: int, seed: int) -> list[OpcValue]:
    """Some minutes of values; parts of them come later, in any order, of one asset or of all."""
    items = [
        value(v.asset, v.variable, START + 8 * (v.time - START), int(v.value))
        for v in plant(count, seed)
    ]
    rng = random.Random(seed)
    for _ in range(3):
        start = START + rng.randrange(120, 120 + count // 2) * SECOND
        end = start + rng.randrange(60) * SECOND
        assets = rng.choice([ASSETS, rng.choice(ASSETS)])
        hole = [v for v in items if v.asset in assets and start <= v.time < end]
        kept = [v for v in items if v not in hole]
        rng.shuffle(hole)
        place = rng.randrange(len(kept) + 1)
        items = [*kept[:place], *hole, *kept[place:]]
    return items


async def run_until_crash(log: MemoryLog, last: int | None) -> int:
    """Drain the log with a process that dies at a point; gives the points it had."""
    broker = CrashingBroker(log, last)
    runner = Runner(log, broker=broker, plan=PLAN)
    try:
        await broker.open()
        async with asyncio.timeout(20):
            while not runner.done():
                await runner.engine.round()
        await broker.close()
    except CrashError:
        await runner.engine.close()
        # It neither leaves the group nor aborts anything.
        await log.expire(broker)
    return broker.points


async def test_a_crash_at_every_point_and_another_one_after_it() -> None:
    items = plant(80, seed=1)
    whole = make_log(2, outputs=2)
    await fill(whole, items)
    points = await run_until_crash(whole, None)
    expected = reference(items)
    assert final(results(whole)) == expected
    assert points > 50
    for last in range(1, points + 1):
        log = make_log(2, outputs=2)
        await fill(log, items)
        await run_until_crash(log, last)
        await run_until_crash(log, 1 + last % 13)
        await run_until_crash(log, None)
        assert final(results(log)) == expected, last


@settings(max_examples=60)
@given(data=st.data())
async def test_crashes_compaction_and_new_members_in_any_order(data: st.DataObject) -> None:
    log = make_log(data.draw(st.integers(1, 3)), outputs=2)
    items = plant(120, data.draw(st.integers(0, 10**6)))
    done = 0
    while done < len(items):
        count = data.draw(st.integers(1, 60))
        await fill(log, items[done : done + count])
        done += count
        await run_until_crash(log, data.draw(st.integers(1, 40)))
        if data.draw(st.booleans()):
            log.compact()
    await run_until_crash(log, None)
    assert final(results(log)) == reference(items)


async def test_a_crash_at_every_point_of_a_recomputation() -> None:
    items = with_holes(240, seed=4)
    whole = make_log(2, outputs=2)
    await fill(whole, items)
    points = await run_until_crash(whole, None)
    given = results(whole)
    assert final(given) == reference(items)
    assert sum(r.revision > REVISION for r in given) > 50
    for last in range(1, points + 1, 7):
        log = make_log(2, outputs=2)
        await fill(log, items)
        await run_until_crash(log, last)
        await run_until_crash(log, 1 + last % 13)
        await run_until_crash(log, None)
        assert final(results(log)) == reference(items), last


@settings(max_examples=30)
@given(data=st.data())
async def test_holes_crashes_compaction_and_new_members_in_any_order(data: st.DataObject) -> None:
    log = make_log(data.draw(st.integers(1, 3)), outputs=2)
    items = with_holes(300, data.draw(st.integers(0, 10**6)))
    done = 0
    while done < len(items):
        count = data.draw(st.integers(1, 150))
        await fill(log, items[done : done + count])
        done += count
        await run_until_crash(log, data.draw(st.integers(1, 120)))
        if data.draw(st.booleans()):
            log.compact()
    await run_until_crash(log, None)
    assert final(results(log)) == reference(items)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), polls=st.integers(0, 60), holes=st.booleans())
async def test_a_zombie_that_wakes_changes_nothing(seed: int, polls: int, holes: bool) -> None:
    items = with_holes(240, seed) if holes else plant(120, seed)
    half = len(items) // 2
    log = make_log(2, outputs=2)
    await fill(log, items[:half])
    zombie = Runner(log, plan=PLAN)
    await zombie.broker.open()
    for _ in range(polls):
        await zombie.engine.round()
    # It is stopped for longer than its session; its partitions move, others do its work.
    await log.expire(zombie.broker)  # type: ignore[arg-type]
    heir = Runner(log, plan=PLAN)
    await heir.drain()
    await fill(log, items[half:])
    try:
        for _ in range(8):
            await zombie.engine.round()
    except UnavailableError:
        pass
    await zombie.engine.close()
    await Runner(log, plan=PLAN).drain()
    assert final(results(log)) == reference(items)


async def test_a_rebalance_commits_what_is_under_way() -> None:
    log = make_log(2, outputs=2)
    items = plant(200, seed=5)
    await fill(log, items)
    runners = [Runner(log, plan=PLAN) for _ in range(3)]
    await runners[0].broker.open()
    await runners[0].engine.round()
    open_before = dict(log.open)
    committed = dict(log.offsets)
    assert open_before
    await runners[1].broker.open()
    assert not log.open
    assert sum(log.offsets.values()) > sum(committed.values())
    await runners[2].broker.open()
    async with asyncio.timeout(20):
        while not drained(log):
            await asyncio.gather(*(runner.engine.round() for runner in runners))
    for runner in runners:
        await runner.broker.close()
    assert final(results(log)) == reference(items)
