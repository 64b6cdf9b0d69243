"""Kafka loses the end of its log, with records that it had acknowledged; they come again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fieldline.messages.telegraf import partition_of
from gap_filler_plant import FLOW, PARTITIONS, Plant, filled, node, past, samples, serve
from gap_filler_server import SECOND, Sample

pytestmark = pytest.mark.kafka


async def collected(plant: Plant) -> int:
    """A plant of which the gap filler has found all complete; when that ends."""
    begin = past(60)
    serve(plant, 30, begin)
    for variable in plant.variables:
        await plant.collect(variable, samples(30, begin))
    await plant.start()
    await filled(plant, begin + 30 * SECOND)
    assert plant.metric("filled_values_total", server="plc") == 0
    return begin


async def cut(plant: Plant, kafka: Any, *, left: int) -> None:
    """Kill Kafka, take all but some records from the end of a partition, and start it again."""
    kafka.kill()
    kafka.cut(plant.topic("opc"), partition_of(FLOW[0].encode(), PARTITIONS), left)
    await asyncio.to_thread(kafka.start)


async def whole(plant: Plant, begin: int, until: int, more: list[int]) -> None:
    """Wait until the gap filler has been through it again, and see that all is there."""
    await filled(plant, until)
    for variable in plant.variables:
        times = [s[0] for s in samples(30, begin)] + (more if variable == FLOW else [])
        assert sorted(set(await plant.times(variable))) == times


@pytest.mark.parametrize("grown", [0, 90], ids=["shorter", "longer"])
@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
async def test_what_kafka_has_lost_comes_again(
    plants: Callable[..., Any], kafka: Any, running: bool, grown: int
) -> None:
    plant: Plant = await plants(1)
    begin = await collected(plant)
    if not running:
        await plant.stop()
    await cut(plant, kafka, left=20)
    more: list[Sample] = [
        (begin + 31 * SECOND + i * SECOND // 10, i + 0.5, 0) for i in range(grown)
    ]
    await plant.collect(FLOW, more)
    plant.server.history.samples[node(*FLOW)] += more
    if not running:
        await plant.start()
    await plant.until(lambda: plant.metric("lost_ends_total") == 1)
    await whole(plant, begin, begin + 40 * SECOND, [s[0] for s in more])
    assert plant.metric("filled_values_total", server="plc") == 60 - 20


async def test_a_kafka_that_has_lost_nothing_is_read_on(
    plants: Callable[..., Any], kafka: Any
) -> None:
    plant: Plant = await plants(1)
    begin = await collected(plant)
    await cut(plant, kafka, left=60)
    more = samples(3, past(5))
    plant.server.history.samples[node(*FLOW)] += more
    await plant.collect(FLOW, more)
    await whole(plant, begin, more[-1][0] + 1, [s[0] for s in more])
    assert plant.metric("lost_ends_total") == 0
    assert plant.metric("filled_values_total", server="plc") == 0
