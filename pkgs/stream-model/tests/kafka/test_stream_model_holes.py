"""Holes of minutes on a real Kafka, filled after the live values have moved on."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fieldline.messages import ModelResult, OpcValue, decode_result
from stream_model.repairs import REVISION
from stream_model_instance import Instance, expected, inputs, plant_site, produce
from stream_model_kafka import KafkaCluster
from stream_model_reference import START

pytestmark = pytest.mark.kafka

Instances = Callable[..., Instance]


def of_the_last_hour(count: int, asset: str = "Sensors") -> list[OpcValue]:
    """Values each 10 ms, so that retention has them still; the horizon is the last 6,000."""
    begin = (time.time_ns() // 10**9 - 3600) * 10**9
    return [
        OpcValue(v.asset, v.variable, v.time - START + begin, v.value, v.quality)
        for v in inputs(count, 0, asset)
    ]


def final(results: Sequence[ModelResult]) -> dict[tuple[str, str, int], float]:
    """What a reader has in the end: revisions rise, so that none is there twice."""
    revisions: dict[tuple[str, str, int], int] = {}
    values = {}
    for result in results:
        key = (result.asset, result.name, result.timestamp)
        assert result.revision > revisions.get(key, -1), result
        revisions[key], values[key] = result.revision, result.value
    return values


async def read(cluster: KafkaCluster) -> list[ModelResult]:
    return [decode_result(record.value or b"") for record in await cluster.results(0)]


async def given_again(cluster: KafkaCluster, least: int) -> int:
    """Wait until so many results have come from recomputations; how many there are."""
    async with asyncio.timeout(60):
        while True:
            count = sum(r.revision >= REVISION for r in await read(cluster))
            if count >= least:
                return count


async def complete(cluster: KafkaCluster, items: Sequence[OpcValue]) -> list[ModelResult]:
    """Wait until what is there is what a batch over all values gives."""
    wanted = pytest.approx(expected(items))
    async with asyncio.timeout(120):
        while True:
            results = await read(cluster)
            if final(results) == wanted:
                return results


async def test_killed_in_the_middle_of_a_recomputation(
    cluster: KafkaCluster, instances: Instances
) -> None:
    instance = instances(cluster)
    items = of_the_last_hour(60_000)
    live, hole = [*items[:10_000], *items[50_000:]], items[10_000:50_000]
    await instance.start()
    await produce(cluster, live)
    await complete(cluster, live)
    await produce(cluster, hole)
    kills, last = 0, 0
    for _ in range(3):
        count = await given_again(cluster, last + 1)
        assert await instance.end(signal.SIGKILL) == -signal.SIGKILL
        last = await given_again(cluster, count)
        kills += last < 2 * len(hole)
        await instance.start()
        if last >= 2 * len(hole):
            break
    assert kills
    results = await complete(cluster, items)
    # Nothing beside the hole was given again, but for what its last values change.
    assert sum(r.revision >= REVISION for r in results) <= 2 * (len(hole) + 3)
    assert await cluster.dead_letters(0) == []
    assert await instance.end(signal.SIGTERM) == 0
    assert "Traceback" not in instance.log()


async def test_partitions_move_in_the_middle_of_a_recomputation(
    cluster: KafkaCluster, instances: Instances, tmp_path: Path
) -> None:
    site = plant_site(tmp_path, 2)
    first, second = (instances(cluster, site) for _ in range(2))
    live, hole = [], []
    for asset in ("Sensors", "a1", "a2"):
        items = of_the_last_hour(30_000, asset)
        live += [*items[:4_000], *items[20_000:]]
        hole += items[4_000:20_000]
    await first.start()
    await produce(cluster, live)
    await complete(cluster, live)
    await second.start()
    await second.until_told("READY=1")
    await produce(cluster, hole)
    # Each has assets of its own to recompute; one leaves in the midst of it.
    await given_again(cluster, 1)
    assert await first.end(signal.SIGTERM) == 0
    assert await given_again(cluster, 1) < 2 * len(hole)
    await second.until_told("partitions 0, 1, 2 of")
    await complete(cluster, live + hole)
    assert await second.end(signal.SIGTERM) == 0
    for instance in (first, second):
        assert "Traceback" not in instance.log()


async def test_live_results_go_on_during_a_recomputation(
    cluster: KafkaCluster, instances: Instances
) -> None:
    instance = instances(cluster)
    items = of_the_last_hour(80_000)
    hole, sent = items[5_000:45_000], 59_000
    live = [*items[:5_000], *items[45_000:sent]]
    await instance.start()
    await produce(cluster, live)
    await complete(cluster, live)
    await produce(cluster, hole)
    # New values from before the recomputation on, until most of it is done.
    recomputing = asyncio.ensure_future(given_again(cluster, len(hole)))
    while not recomputing.done():
        await produce(cluster, items[sent : sent + 1])
        sent += 1
    await recomputing
    results = await complete(cluster, items[:sent])
    # Results of the new values stand among those that were given again.
    again = [n for n, r in enumerate(results) if r.revision >= REVISION]
    new = {item.time for item in items[59_000:sent]}
    among = results[again[0] : again[-1]]
    assert any(r.timestamp in new and r.revision < REVISION for r in among)
    assert await instance.end(signal.SIGTERM) == 0
