"""Publishing: in order, in pieces, without what a Bad value never had."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from asyncua import ua
from asyncua.server.address_space import AddressSpace, NodeData
from opc_server import publisher as publisher_module
from opc_server.opcua import AttributeIds, AttributeValue, at, status_code
from opc_server.points import Point
from opc_server.published import PublishedValue, Stamp
from opc_server.publisher import Batch, Publisher
from opc_server.sources import Tick
from opc_server.status import BAD_SENSOR_FAILURE, GOOD

SECOND = 1_000_000_000


class Space(AddressSpace):
    """Nodes with one subscription to each, that keeps what it is told."""

    def __init__(self, points: Iterable[Point]) -> None:
        super().__init__()
        self.written: list[tuple[ua.NodeId, ua.DataValue]] = []
        for point in points:
            self[point.node] = node = NodeData(point.node)
            node.attributes[AttributeIds.Value] = value = AttributeValue(ua.DataValue())
            value.datachange_callbacks[1] = partial(self.tell, node)

    async def tell(self, node: NodeData, _handle: int, value: ua.DataValue) -> None:
        # It can be read, too.
        assert node.attributes[AttributeIds.Value].value is value
        self.written.append((node.nodeid, value))


@pytest.fixture
def points(make_point: Any) -> list[Point]:
    return [make_point(index) for index in range(1000)]


@pytest.fixture
def space(points: list[Point]) -> Space:
    return Space(points)


@pytest.fixture
def done() -> list[Tick]:
    return []


@pytest.fixture
def publisher(space: Space, done: list[Tick], points: list[Point]) -> Publisher:
    server: Any = SimpleNamespace(iserver=SimpleNamespace(aspace=space))
    return Publisher(server, points, lambda: 1_700_000_000 * SECOND, done.append)


def batch(tick: Tick, indices: Iterable[int], status: int = GOOD, value: float = 1.0) -> Batch:
    places = np.array(list(indices), np.intp)
    size = len(places)
    return Batch(tick, places, np.full(size, status, np.uint32), np.full(size, value), True)


def test_a_published_value_is_its_own_copy() -> None:
    value = PublishedValue(1.0, Stamp(status_code(GOOD), 0, 0))
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
async def test_a_subscription_that_fails_or_leaves_keeps_nothing_from_the_others(
    publisher: Publisher, space: Space, make_tick: Any, points: list[Point]
) -> None:
    callbacks = space[points[0].node].attributes[AttributeIds.Value].datachange_callbacks

    async def leave(handle: int, _value: Any) -> None:
        del callbacks[handle]
        raise KeyError(handle)

    callbacks[-1], callbacks[1] = leave, callbacks.pop(1)
    publisher.start([SECOND])
    publisher.put(batch(make_tick(0), [0, 1]))
    publisher.put(batch(make_tick(1), [0, 1]))
    await publisher.drain()
    assert -1 not in callbacks
    assert [node.Identifier for node, _ in space.written] == [1, 2, 1, 2]
    await publisher.stop()
