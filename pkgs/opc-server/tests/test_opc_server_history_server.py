"""Historical access through a real client on the loopback, beside live values."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from fieldline.record import RecordWriter
from opc_server.history import manager as manager_module
from opc_server.opcua import at
from opc_server.status import BAD_NO_COMMUNICATION, GOOD

from .opc_history_requests import (
    COUNT,
    NODES,
    SECOND,
    ask,
    counting,
    earlier,
    fill,
    raw,
    seen,
    time,
)
from .opc_running import Running, hear

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRESS = """
[asset_types.press.variables.T]
period = "20ms"
range = [-50, 150]
source = { kind = "random-walk", start = 20, step = 1 }
[[assets]]
names = ["press{1..3}"]
type = "press"
server = "opc"
"""
OVEN = """
[asset_types.oven.variables.Board]
period = "20ms"
source = { kind = "sysfs", path = "/nonexistent/{asset}" }
[[assets]]
names = ["oven"]
type = "oven"
server = "opc"
"""
CELL = """
[asset_types.cell.variables.Level]
period = "20ms"
source = { kind = "random-walk", start = 1, step = 1 }
[[assets]]
names = ["cell"]
type = "cell"
server = "opc"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    tmp_path_factory: pytest.TempPathFactory, write_site: Callable[[Path, str], Path]
) -> AsyncIterator[Running]:
    directory = tmp_path_factory.mktemp("opc")
    # So that the earlier run's segments are not too old.
    plant = PRESS + OVEN
    site = write_site(directory, plant)
    site.write_text(site.read_text().replace("seed = 7\n", 'seed = 7\nrecord = "90d"\n'))
    fill(directory)
    with pytest.MonkeyPatch.context() as patch:
        # Nor pruned: the demonstration's times are long past.
        patch.setattr(RecordWriter, "_prune", lambda _self, _time_ns: None)
        made = Running(directory, site)
        await made.started()
        yield made
        made.stop.set()
        await made.task


@pytest_asyncio.fixture(loop_scope="module")
async def client(running: Running) -> AsyncIterator[Client]:
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    async with Client(running.url) as made:
        yield made


async def test_history_is_what_subscribers_were_told(client: Client) -> None:
    node = NODES[2]
    live = (await hear(client, [node], 20))[node]
    begin, end = live[0].SourceTimestamp, live[-1].SourceTimestamp
    (result,) = await ask(client, raw(begin, end + timedelta(microseconds=1)), [node])
    stored = result.HistoryData.DataValues
    assert [seen(value) for value in stored] == [seen(value) for value in live]
    assert {value.StatusCode.value for value in stored} == {GOOD}


async def test_the_history_of_a_missing_sensor_is_bad_without_values(client: Client) -> None:
    node = "ns=2;s=oven.Board"
    (told,) = (await hear(client, [node], 1))[node]
    (result,) = await ask(client, raw(told.SourceTimestamp, None, 1), [node])
    (stored,) = result.HistoryData.DataValues
    assert seen(stored) == seen(told)
    assert (stored.Value.Value, stored.StatusCode.value) == (None, BAD_NO_COMMUNICATION)


async def test_a_clients_own_way_of_reading_gets_all_pages(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager_module, "VALUES_PER_ANSWER", 50)
    node = client.get_node(NODES[1])
    values = await node.read_raw_history(time(0), time(COUNT), return_bounds=False)
    assert earlier(values) == [(second, second + 0.1) for second in range(COUNT)]
    # Backward, with the bounds that it asks for by default.
    values = await node.read_raw_history(time(600.5), time(99.5))
    assert [second for second, _value in earlier(values)] == list(range(601, 98, -1))
    values = await node.read_raw_history(time(10), None, numvalues=3)
    assert [second for second, _value in earlier(values)] == [10, 11, 12]
    values = await node.read_raw_history(None, time(10), numvalues=3)
    assert [second for second, _value in earlier(values)] == [10, 9, 8]


async def test_several_variables_share_an_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager_module, "VALUES_PER_ANSWER", 100)
    details = raw(time(0), time(200))
    got: dict[str, list[float]] = {node: [] for node in NODES[:2]}
    points: dict[str, bytes | None] = dict.fromkeys(got)
    answers = 0
    while points:
        results = await ask(client, details, list(points), list(points.values()))
        answers += 1
        assert sum(len(result.HistoryData.DataValues) for result in results) <= 100
        for node, result in zip(list(points), results, strict=True):
            got[node] += [second for second, _value in earlier(result.HistoryData.DataValues)]
            points[node] = result.ContinuationPoint
            if result.ContinuationPoint is None:
                del points[node]
    assert list(got.values()) == [list(range(200))] * 2
    assert answers == 4


async def test_a_slow_disk_gives_what_it_has_and_goes_on(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager_module, "ANSWER_S", 0.0)
    values = await client.get_node(NODES[0]).read_raw_history(time(0), time(COUNT))
    assert len(values) == COUNT + 1  # And the bound: the first value of today.
    # Several variables: the ones that there was no time for have to be asked for again.
    points: dict[str, bytes | None] = dict.fromkeys(NODES[:2])
    counts = dict.fromkeys(points, 0)
    while points:
        results = await ask(client, raw(time(0), time(60)), list(points), list(points.values()))
        assert all(result.StatusCode.name == "Good" for result in results)
        for node, result in zip(list(points), results, strict=True):
            counts[node] += len(result.HistoryData.DataValues)
            points[node] = result.ContinuationPoint
            if result.ContinuationPoint is None:
                del points[node]
    assert list(counts.values()) == [60, 60]


async def test_all_variables_are_counted_in_one_request(client: Client) -> None:
    details = counting(time(0), time(60), 20_000, len(NODES))
    results = await ask(client, details, NODES)
    counts = [[value.Value.Value for value in result.HistoryData.DataValues] for result in results]
    assert counts == [[20, 20, 20], [20, 20, 20], [0, 0, 0]]
    for result in results:
        assert earlier(result.HistoryData.DataValues)[1][0] == 20
        assert {value.StatusCode.value for value in result.HistoryData.DataValues} == {0x401}
        assert result.ContinuationPoint is None


async def test_counts_come_in_pages_too(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager_module, "VALUES_PER_ANSWER", 10)
    details = counting(time(-1), time(11), 1000, 2)
    points: list[bytes | None] = [None, None]
    counts: list[list[int | None]] = [[], []]
    while True:
        results = await ask(client, details, NODES[:2], points)
        for found, result in zip(counts, results, strict=True):
            assert len(result.HistoryData.DataValues) <= 5
            found += [value.Value.Value for value in result.HistoryData.DataValues]
        points = [result.ContinuationPoint for result in results]
        if points == [None, None]:
            break
    assert counts == [[None] + [1] * 11] * 2


async def test_variables_say_that_they_have_a_history(client: Client) -> None:
    node = client.get_node(NODES[0])
    assert (await node.read_attribute(ua.AttributeIds.Historizing)).Value.Value is True
    both = {ua.AccessLevel.CurrentRead, ua.AccessLevel.HistoryRead}
    assert await node.get_access_level() == both
    assert await node.get_user_access_level() == both
    (configuration,) = await node.get_referenced_nodes(ObjectIds.HasHistoricalConfiguration)
    assert (await configuration.read_browse_name()).Name == "HA Configuration"
    kind = await configuration.read_type_definition()
    assert kind == ua.NodeId(ObjectIds.HistoricalDataConfigurationType)
    stepped = await configuration.get_child("0:Stepped")
    assert await stepped.read_value() is False
    treated = await configuration.get_child(["0:AggregateConfiguration", "0:TreatUncertainAsBad"])
    assert await treated.read_value() is False
    range_of = await node.get_child("0:EURange")
    assert (await range_of.read_attribute(ua.AttributeIds.Historizing)).Value.Value is False


async def test_the_server_says_what_it_can(client: Client) -> None:
    capabilities = client.get_node(ua.NodeId(ObjectIds.HistoryServerCapabilities))

    async def value(name: str) -> Any:
        return await (await capabilities.get_child(f"0:{name}")).read_value()

    assert await value("AccessHistoryDataCapability") is True
    assert await value("AccessHistoryEventsCapability") is False
    assert await value("UpdateDataCapability") is False
    assert await value("ServerTimestampSupported") is False
    assert await value("MaxReturnDataValues") == manager_module.VALUES_PER_ANSWER
    limit = ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData
    assert await client.get_node(ua.NodeId(limit)).read_value() == manager_module.NODES_PER_REQUEST
    for folder in (
        ObjectIds.Server_ServerCapabilities_AggregateFunctions,
        ObjectIds.HistoryServerCapabilities_AggregateFunctions,
    ):
        (found,) = await client.get_node(ua.NodeId(folder)).get_children()
        assert found.nodeid == ua.NodeId(ObjectIds.AggregateFunction_Count)


AVERAGE = [ua.NodeId(ObjectIds.AggregateFunction_Average)]
REJECTED = ua.AggregateConfiguration(False, True, 0, 0, False)


@pytest.mark.parametrize(
    ("details", "changes", "expected"),
    [
        (raw(time(0), ua.get_win_epoch()), {}, "BadHistoryOperationInvalid"),
        (ua.ReadRawModifiedDetails(True, time(0), time(1)), {}, "BadHistoryOperationUnsupported"),
        (ua.ReadAtTimeDetails([time(0)]), {}, "BadHistoryOperationUnsupported"),
        (ua.ReadEventDetails(), {}, "BadHistoryOperationUnsupported"),
        (raw(time(0), time(1)), {"IndexRange": "0:1"}, "BadIndexRangeInvalid"),
        (
            raw(time(0), time(1)),
            {"DataEncoding": ua.QualifiedName("Default XML", 0)},
            "BadDataEncodingInvalid",
        ),
        (
            raw(time(0), time(1)),
            {"TimestampsToReturn": ua.TimestampsToReturn.Server},
            "BadTimestampNotSupported",
        ),
        (counting(time(0), time(0), 1000), {}, "BadInvalidArgument"),
        (counting(time(0), time(1), -1), {}, "BadInvalidArgument"),
        (counting(ua.get_win_epoch(), time(1), 0), {}, "BadInvalidArgument"),
        (counting(time(0), time(1), 0, 2), {}, "BadAggregateListMismatch"),
        (ua.ReadProcessedDetails(time(0), time(1), 0, AVERAGE), {}, "BadAggregateNotSupported"),
        (
            ua.ReadProcessedDetails(time(0), time(1), 0, counting(0, 0, 0).AggregateType, REJECTED),
            {},
            "BadAggregateConfigurationRejected",
        ),
        (raw(time(-9), time(-5)), {}, "GoodNoData"),
        (raw(time(0), at(250_000_000_000 * SECOND)), {}, "Good"),
    ],
)
async def test_each_request_has_its_status(
    client: Client, details: Any, changes: dict[str, Any], expected: str
) -> None:
    (result,) = await ask(client, details, NODES[:1], **changes)
    assert result.StatusCode.name == expected
    if result.StatusCode.is_good():
        assert isinstance(result.HistoryData.DataValues, list)
    else:
        assert not isinstance(result.HistoryData, ua.HistoryData)


async def test_a_wrong_node_leaves_the_others_their_answer(client: Client) -> None:
    nodes = ["ns=2;s=absent", "i=85", NODES[0], "ns=1;s=press1.T.EURange"]
    results = await ask(client, raw(time(0), time(3)), nodes)
    assert [result.StatusCode.name for result in results] == [
        "BadNodeIdUnknown",
        "BadHistoryOperationUnsupported",
        "Good",
        "BadHistoryOperationUnsupported",
    ]
    assert len(results[2].HistoryData.DataValues) == 3


async def test_continuation_points_are_checked_and_released(client: Client) -> None:
    (first,) = await ask(client, raw(time(0), time(9), 2), NODES[:1])
    point = first.ContinuationPoint
    assert len(first.HistoryData.DataValues) == 2
    details = raw(time(0), time(9), 2)
    changed = bytes([9]) + point[1:]
    for wrong in (b"nonsense", changed, point + b"\0"):
        (result,) = await ask(client, details, NODES[:1], [wrong])
        assert result.StatusCode.name == "BadContinuationPointInvalid"
    released = await ask(
        client, details, NODES[:2], [point, b"nonsense"], ReleaseContinuationPoints=True
    )
    assert [result.StatusCode.name for result in released] == [
        "Good",
        "BadContinuationPointInvalid",
    ]
    # A forged one is answered, whatever that may be.
    for place in range(1, len(point)):
        forged = point[:place] + bytes([point[place] ^ 0xFF]) + point[place + 1 :]
        await ask(client, details, NODES[:1], [forged])


async def test_wrong_requests_are_refused_as_a_whole(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    details = raw(time(0), time(1))
    with pytest.raises(ua.UaStatusCodeError) as caught:
        await ask(client, details, [])
    assert caught.value.code == StatusCodes.BadNothingToDo
    with pytest.raises(ua.UaStatusCodeError) as caught:
        await ask(client, details, NODES, TimestampsToReturn=ua.TimestampsToReturn.Neither)
    assert caught.value.code == StatusCodes.BadTimestampsToReturnInvalid
    monkeypatch.setattr(manager_module, "NODES_PER_REQUEST", 2)
    with pytest.raises(ua.UaStatusCodeError) as caught:
        await ask(client, details, NODES)
    assert caught.value.code == StatusCodes.BadTooManyOperations


async def test_what_is_read_is_counted(client: Client, running: Running) -> None:
    def metric(name: str, **labels: str) -> float:
        return running.service.metrics.registry.get_sample_value(f"opc_server_{name}", labels) or 0

    before = metric("history_values_total")
    reads = [metric("history_reads_total", kind=kind) for kind in ("raw", "count")]
    await ask(client, raw(time(0), time(30)), NODES[:2])
    await ask(client, counting(time(0), time(30), 0, 2), NODES[:2])
    assert metric("history_values_total") - before == 62
    after = [metric("history_reads_total", kind=kind) for kind in ("raw", "count")]
    assert [b - a for a, b in zip(reads, after, strict=True)] == [2, 2]
    assert metric("history_seconds_total") > 0
    assert metric("record_disk_bytes") > COUNT * 2 * 24


async def test_history_survives_a_restart_a_changed_node_and_a_damage(
    tmp_path: Path, write_site: Callable[[Path, str], Path]
) -> None:
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    heard: list[set[Any]] = []
    for nodes, node in (("", "ns=2;s=cell.Level"), ('nodes = { Level = "i=99" }', "ns=2;i=99")):
        running = Running(tmp_path, write_site(tmp_path, CELL + nodes))
        await running.started()
        async with Client(running.url) as client:
            live = (await hear(client, [node], 5))[node]
            heard.append({value.SourceTimestamp for value in live})
            history = client.get_node(node).read_raw_history
            values = await history(at(1), at(2**62), return_bounds=False)
        kept = {value.SourceTimestamp for value in values}
        metric = running.service.metrics.registry.get_sample_value
        damages = metric("opc_server_record_damages_total", {"kind": "header"})
        running.stop.set()
        await running.task
        broken = tmp_path / "state" / "record" / f"{5:020d}.rec"
        await asyncio.to_thread(broken.write_bytes, b"PAR1")
    assert heard[0] | heard[1] <= kept
    assert damages == 1
    assert broken.exists()
