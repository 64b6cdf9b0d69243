"""The engine with the models: what is given, once, over restarts and rebalances."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

import pytest
from fieldline.messages import FORMAT, FORMAT_HEADER, OpcValue, read_origin
from fieldline.stream import Poll, UnavailableError
from fieldline.stream.memory import MemoryBroker, MemoryLog
from prometheus_client import CollectorRegistry
from stream_model.metrics import Metrics
from stream_model_reference import SECOND, START, final, make_plan, reference, value
from stream_model_run import (
    Runner,
    dead_letters,
    drained,
    fill,
    make_log,
    records,
    results,
    telegraf,
)


def plant(count: int, seed: int = 1, assets: str = "xy") -> list[OpcValue]:
    """Values of some assets with some disorder and repeats, far within the horizon."""
    rng = random.Random(seed)
    values = []
    for number in range(count):
        time = START + (number // 2 + rng.randrange(-8, 8) * (rng.random() < 0.2)) * SECOND // 4
        item = value(rng.choice(assets), rng.choice("AAAABBC"), time + 10 * SECOND, number % 90)
        values.append(item)
        if rng.random() < 0.05:
            values.append(item)
    seen: dict[tuple[str, str, int], OpcValue] = {}
    return [seen.setdefault((v.asset, v.variable, v.time), v) for v in values]


def latest(log: MemoryLog) -> dict[tuple[str, str, int], float]:
    return {(r.asset, r.name, r.timestamp): r.value for r in results(log)}


async def test_results_are_produced_with_key_format_and_offset() -> None:
    log = make_log(2, outputs=2)
    items = plant(300)
    await fill(log, items)
    runner = Runner(log)
    await runner.drain()
    assert final(results(log)) == reference(items)
    for number, topic in enumerate(records(log)):
        for record in topic:
            assert record.headers == [(FORMAT_HEADER, FORMAT)]
            assert ord((record.key or b"")[:1]) % 2 == number
    assert runner.metric("inputs_total", kind="used") == len(set(items))
    assert runner.metric("inputs_total", kind="repeated") == len(items) - len(set(items))
    given = sum(
        runner.metric("results_total", model=f"type.{m}") for m in ("all", "again", "pair", "one")
    )
    assert given == len(results(log))
    assert runner.metric("revisions_total") == sum(1 for r in results(log) if r.revision)
    assert runner.metric("newest_input_seconds") > START / SECOND
    assert runner.metric("lag_records", partition="0") == 0


async def test_a_clean_restart_gives_nothing_again_and_misses_nothing() -> None:
    log = make_log(2, outputs=2)
    items = plant(600)
    await fill(log, items[:300])
    await Runner(log).drain()
    before = len(results(log))
    idle = Runner(log)
    await idle.until(lambda: bool(idle.settled))
    assert len(results(log)) == before
    await fill(log, items[300:])
    again = Runner(log)
    await again.drain()
    assert again.metric("replayed_total") == 0
    assert final(results(log)) == reference(items)


async def test_a_first_start_with_a_changelog_rebuilds_from_the_lookback() -> None:
    log = make_log()
    items = [value("x", v, START + k * SECOND, k % 90) for k in range(1000) for v in "ABC"]
    await fill(log, items)
    await Runner(log).drain()
    # As a service without a changelog leaves it.
    log.records["model.changelog"] = [[]]
    again = Runner(log, lookback_ms=60_000)
    later = [value("x", "A", START + 1000 * SECOND, 5), value("x", "B", START + 970 * SECOND, 7)]
    await fill(log, later[:1])
    await again.drain()
    # 60 s before the median of the 200 records before the offset, which is 33 s before it.
    assert 90 * 3 <= again.metric("replayed_total") <= 100 * 3
    # The next one has it all in the changelog.
    await fill(log, later[1:])
    third = Runner(log)
    await third.drain()
    assert third.metric("replayed_total") == 0
    assert third.metric("revisions_total") > 0
    assert latest(log) == reference([*items, *later])
    keys = [(r.asset, r.name, r.timestamp, r.revision) for r in results(log)]
    assert len(keys) == len(set(keys))


async def test_members_take_over_from_each_other() -> None:
    log = make_log(4, outputs=4)
    items = plant(1200, assets="pqrstu")
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    stop = asyncio.Event()
    plan = make_plan("pqrstu")
    runners = [Runner(log, plan=plan, metrics=metrics, registry=registry) for _ in range(3)]
    running = []
    for number, runner in enumerate(runners):
        await runner.broker.open()
        running.append(asyncio.ensure_future(runner.engine.run(stop)))
        await fill(log, items[number * 300 : (number + 1) * 300])
    first = runners[0]
    await fill(log, items[900:1000])
    running[0].cancel()
    await asyncio.gather(running[0], return_exceptions=True)
    await first.broker.close()
    await fill(log, items[1000:])
    async with asyncio.timeout(20), log.changed:
        await log.changed.wait_for(lambda: drained(log))
    stop.set()
    await asyncio.gather(*running[1:])
    assert latest(log) == reference(items)


async def test_a_partition_that_comes_back_unchanged_keeps_its_state() -> None:
    log = make_log()
    await fill(log, plant(100, assets="x"))
    runner = Runner(log)
    await runner.broker.open()
    while not drained(log):
        await runner.engine.round()
    kept = runner.engine.partitions[0]
    await log.rebalance()
    await fill(log, plant(10, assets="x", seed=2))
    while not drained(log):
        await runner.engine.round()
    assert runner.engine.partitions[0] is kept
    assert runner.metric("replayed_total") == 0
    await runner.broker.close()


async def test_records_polled_before_a_rebalance_are_dropped() -> None:
    log = make_log()
    items = plant(50, assets="x")
    await fill(log, items)

    class Rebalanced(MemoryBroker):
        once = True

        async def poll(self, timeout_s: float, max_records: int) -> Poll:
            poll = await super().poll(timeout_s, max_records)
            if self.once and poll.records:
                self.once = False
                await log.rebalance()
            return poll

    runner = Runner(log, broker=Rebalanced(log))
    await runner.drain()
    assert runner.metric("inputs_total", kind="used") == len(set(items))
    assert final(results(log)) == reference(items)


async def test_records_that_retention_removed_are_counted() -> None:
    log = make_log()
    await fill(log, plant(100, assets="x"))
    log.offsets[0] = 10
    log.first[0] = 40
    runner = Runner(log)
    await runner.drain()
    assert runner.metric("lost_total") == 30


async def test_a_dead_letter_is_the_record_as_it_came() -> None:
    log = make_log(2, outputs=1)
    await log.produce(1, telegraf(value("x", "A", START)), b"x", START // 10**6)
    await log.produce(1, b"\xff no json", b"\x00key")
    await log.produce(1, None, b"tombstone")
    await log.produce(1, None, None)
    await log.produce(1, b"x" * 1_000_001, b"large")
    runner = Runner(log)
    await runner.drain()
    letters = dead_letters(log)
    assert [(r.key, r.value) for r in letters] == [
        (b"\x00key", b"\xff no json"),
        (b"tombstone", None),
        (None, b""),
        (b"large", None),
    ]
    origins = [read_origin(list(record.headers)) for record in letters]
    assert [(o.reason, o.topic, o.partition, o.offset) for o in origins] == [
        ("unparsable", "opc", 1, n) for n in (1, 2, 3, 4)
    ]
    assert ("fieldline-too-large", b"1000001") in letters[3].headers
    assert runner.metric("dead_letters_total") == 4
    assert runner.metric("rejected_total", reason="unparsable") == 4


async def test_only_an_answer_of_the_broker_is_progress() -> None:
    log = make_log()

    class Silent(MemoryBroker):
        async def poll(self, timeout_s: float, max_records: int) -> Poll:
            poll = await super().poll(timeout_s / 100, max_records)
            return Poll(poll.generation, poll.records, False)

    silent = Runner(log, broker=Silent(log))
    await silent.broker.open()
    for _ in range(3):
        await silent.engine.round()
    # One for the assignment, which was an answer; none for the polls.
    assert silent.rounds == 1
    await silent.broker.close()
    answering = Runner(log)
    await answering.until(lambda: answering.rounds >= 2)


async def test_nothing_is_counted_before_it_is_committed() -> None:
    class Failing(MemoryBroker):
        async def commit(self, offsets: Mapping[int, int]) -> None:
            raise UnavailableError(f"crashed before the commit of {offsets}")

    log = make_log()
    await fill(log, plant(20, assets="x"))
    runner = Runner(log, broker=Failing(log))
    with pytest.raises(UnavailableError):
        await runner.drain()
    assert runner.metric("inputs_total", kind="used") == 0
    assert results(log) == []
