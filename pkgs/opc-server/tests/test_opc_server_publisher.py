"""Publishing: in order, in pieces, without what a Bad value never had."""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from asyncua import ua
from opc_server import publisher as publisher_module
from opc_server.opcua import at, status_code
from opc_server.published import PublishedValue
from opc_server.publisher import Batch, Publisher
from opc_server.sources import Tick
from opc_server.status import BAD_SENSOR_FAILURE, GOOD

SECOND = 1_000_000_000


class Space:
    """An address space that keeps what is written; `answer` is its status."""

    def __init__(self) -> None:
        self.written: list[tuple[ua.NodeId, ua.DataValue]] = []
        self.answer = status_code(GOOD)

    async def write_attribute_value(self, node: Any, _attribute: Any, value: Any) -> Any:
        self.written.append((node, value))
        return self.answer


@pytest.fixture
def space() -> Space:
    return Space()


@pytest.fixture
def done() -> list[Tick]:
    return []


@pytest.fixture
def publisher(space: Space, done: list[Tick], make_point: Any) -> Publisher:
    points = [make_point(index) for index in range(1000)]
    server: Any = SimpleNamespace(iserver=SimpleNamespace(aspace=space))
    return Publisher(server, points, lambda: 1_700_000_000 * SECOND, done.append)


def batch(tick: Tick, indices: Iterable[int], status: int = GOOD, value: float = 1.0) -> Batch:
    places = np.array(list(indices), np.intp)
    size = len(places)
    return Batch(tick, places, np.full(size, status, np.uint32), np.full(size, value), True)


def test_a_published_value_is_its_own_copy() -> None:
    value = PublishedValue(ua.Variant(1.0, ua.VariantType.Double), status_code(GOOD), at(0), at(0))
    assert copy.deepcopy(value) is value


@pytest.mark.asyncio
async def test_batches_of_a_period_stay_in_order(
    publisher: Publisher, space: Space, make_tick: Any, done: list[Tick]
) -> None:
    publisher.start([SECOND])
    ticks = [make_tick(second) for second in range(3)]
    for tick in ticks:
        publisher.put(batch(tick, range(300)))
    assert publisher.busy(SECOND)
    assert publisher.oldest_ns() == 0
    await publisher.drain()
    times = [value.SourceTimestamp for _node, value in space.written]
    assert times == sorted(times)
    assert len(times) == 900
    assert done == ticks
    assert not publisher.busy(SECOND)
    assert publisher.oldest_ns() is None
    await publisher.stop()


@pytest.mark.asyncio
async def test_a_large_period_does_not_hold_up_a_fast_one(
    publisher: Publisher, space: Space, make_tick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "PIECE_S", 0.0)
    publisher.start([SECOND, SECOND // 10])
    publisher.put(batch(make_tick(0), range(1, 1000)))
    publisher.put(batch(make_tick(0, period_s=0.1), [0]))
    await publisher.drain()
    order = [node.Identifier for node, _value in space.written]
    assert order.index(1) < 2 * publisher_module.STRIDE
    assert len(order) == 1000
    await publisher.stop()


@pytest.mark.asyncio
async def test_a_bad_value_is_none(publisher: Publisher, space: Space, make_tick: Any) -> None:
    publisher.start([SECOND])
    publisher.put(batch(make_tick(0), [3], BAD_SENSOR_FAILURE, math.nan))
    await publisher.drain()
    ((node, value),) = space.written
    assert node.Identifier == 4
    assert value.Value.Value is None
    assert value.StatusCode.value == BAD_SENSOR_FAILURE
    assert value.SourceTimestamp == at(make_tick(0).time_ns)
    await publisher.stop()


@pytest.mark.asyncio
async def test_a_refused_value_ends_the_service(
    publisher: Publisher, space: Space, make_tick: Any
) -> None:
    space.answer = status_code(ua.StatusCodes.BadTypeMismatch)
    publisher.start([SECOND])
    publisher.put(batch(make_tick(0), [0]))
    with pytest.raises(RuntimeError, match="BadTypeMismatch"):
        await asyncio.wait_for(publisher.failed(), 2)
    await publisher.stop()
