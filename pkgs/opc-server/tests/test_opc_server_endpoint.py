"""The real server and a real client on the loopback."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
import pytest_asyncio
from asyncua import Client, ua
from fieldline.record import fetch_record
from fieldline.service import ServiceError
from opc_server.service import Service, Settings
from opc_server.status import BAD_NO_COMMUNICATION, GOOD

from .opc_running import Heard, Running, hear

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLANT = """
[asset_types.press.variables.Temperature]
unit = "°C"
range = [-50, 150]
period = "20ms"
source = { kind = "random-walk", start = 20, step = 1 }
[asset_types.press.variables.Strokes]
period = "100ms"
source = { kind = "replay", file = "run.csv", column = "{variable}", speed = 10 }
[asset_types.press.variables.Board]
unit = "furlong"
period = "20ms"
source = { kind = "sysfs", path = "SENSORS/{asset}", scale = 0.001 }
[[assets]]
names = ["press{1..3}"]
type = "press"
server = "opc"
nodes = { Temperature = "s={asset}/T", Strokes = "s={asset}/S", Board = "s={asset}/B" }
[asset_types.cell.variables.Level]
unit = "%"
range = [0, 1]
period = "50ms"
source = { kind = "random-walk", start = 0.5, step = 0.1 }
[[assets]]
names = ["cell"]
type = "cell"
server = "opc"
nodes = { Level = "g=09087e75-8e5e-499b-954f-f2a9603db28a" }
[asset_types.oven.variables.Heat]
period = "1s"
source = { kind = "random-walk", start = 0.5, step = 0.1 }
[[assets]]
names = ["oven"]
type = "oven"
server = "opc"
nodes = { Heat = "i=4711" }
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    tmp_path_factory: pytest.TempPathFactory, write_site: Callable[[Path, str], Path]
) -> AsyncIterator[Running]:
    directory = tmp_path_factory.mktemp("opc")
    (directory / "sensors").mkdir()
    for name in ("press1", "press3"):
        (directory / "sensors" / name).write_text("21500\n")
    (directory / "run.csv").write_text(
        "time,Strokes\n" + "".join(f"{n},{n * n}\n" for n in range(100))
    )
    site = write_site(directory, PLANT.replace("SENSORS", str(directory / "sensors")))
    made = Running(directory, site)
    await made.started()
    yield made
    made.stop.set()
    await made.task


@pytest_asyncio.fixture(loop_scope="module")
async def client(running: Running) -> AsyncIterator[Client]:
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    async with Client(running.url) as made:
        yield made


async def test_namespaces_have_their_declared_places(client: Client) -> None:
    assert await client.get_namespace_array() == [
        "http://opcfoundation.org/UA/",
        "urn:fieldline:opc-server:opc",
        "urn:fieldline:opc-server",
    ]


async def test_assets_are_objects_with_their_declared_variables(client: Client) -> None:
    objects = {node.nodeid.to_string() for node in await client.nodes.objects.get_children()}
    assets = {"ns=1;s=press1", "ns=1;s=press2", "ns=1;s=press3", "ns=1;s=cell", "ns=1;s=oven"}
    assert assets <= objects
    press = client.get_node("ns=1;s=press2")
    found = [node.nodeid.to_string() for node in await press.get_children()]
    assert found == ["ns=2;s=press2/T", "ns=2;s=press2/S", "ns=2;s=press2/B"]
    assert (await press.get_parent()).nodeid == client.nodes.objects.nodeid
    by_path = await client.nodes.objects.get_child(["1:press2", "2:Strokes", "0:EURange"][:2])
    assert by_path.nodeid.to_string() == "ns=2;s=press2/S"
    for node in ("ns=2;g=09087e75-8e5e-499b-954f-f2a9603db28a", "ns=2;i=4711"):
        assert (await client.get_node(node).read_data_value()).StatusCode.is_good()


async def test_variables_have_type_unit_and_range(client: Client) -> None:
    node = client.get_node("ns=2;s=press1/T")
    assert await node.read_data_type() == ua.NodeId(ua.ObjectIds.Double)
    assert await node.read_type_definition() == ua.NodeId(ua.ObjectIds.AnalogItemType)
    unit = await (await node.get_child("0:EngineeringUnits")).read_value()
    # "CEL" in ASCII: 0x43, 0x45, 0x4C.
    assert (unit.UnitId, unit.DisplayName.Text) == (0x43454C, "°C")
    assert unit.NamespaceUri == "http://www.opcfoundation.org/UA/units/un/cefact"
    span = await (await node.get_child("0:EURange")).read_value()
    assert (span.Low, span.High) == (-50.0, 150.0)


async def test_variables_without_unit_or_range_have_none(client: Client) -> None:
    strokes, board = client.get_node("ns=2;s=press1/S"), client.get_node("ns=2;s=press1/B")
    assert await strokes.read_type_definition() == ua.NodeId(ua.ObjectIds.BaseAnalogType)
    assert await strokes.get_properties() == []
    (unit,) = [await node.read_value() for node in await board.get_properties()]
    assert (unit.UnitId, unit.DisplayName.Text) == (-1, "furlong")


@pytest.mark.parametrize("node", ["ns=2;s=press1/T", "ns=1;s=press1.Temperature.EURange"])
async def test_clients_may_only_read(client: Client, node: str) -> None:
    with pytest.raises(ua.UaStatusCodeError):
        await client.get_node(node).write_value(1.0)


async def test_nobody_becomes_an_administrator_by_name(running: Running) -> None:
    client = Client(running.url)
    client.set_user("admin")
    with pytest.raises((ua.UaStatusCodeError, ua.UaError)):
        async with client:
            await client.get_node("ns=2;s=press1/T").write_value(1.0)


async def test_a_subscription_gets_values_times_and_status(client: Client) -> None:
    heard = await hear(client, ["ns=2;s=press1/T", "ns=2;s=press3/T"], 5)
    first, other = heard["ns=2;s=press1/T"], heard["ns=2;s=press3/T"]
    times = [value.SourceTimestamp for value in first]
    assert times == sorted(set(times))
    assert all(value.StatusCode.value == GOOD for value in first + other)
    assert all(value.ServerTimestamp >= value.SourceTimestamp for value in first + other)
    assert all(isinstance(value.Value.Value, float) for value in first + other)
    # One tick, one time: both variables have it.
    shared = set(times) & {value.SourceTimestamp for value in other}
    assert len(shared) >= 4


async def test_the_first_notification_holds_a_value(client: Client) -> None:
    heard = await hear(client, ["ns=2;s=press1/T", "ns=2;s=press1/S", "ns=2;s=press1/B"], 1)
    for values in heard.values():
        assert values[0].StatusCode.value == GOOD
        assert values[0].SourceTimestamp is not None


async def test_a_sensor_that_is_missing_is_bad_and_recovers(
    client: Client, running: Running
) -> None:
    node = client.get_node("ns=2;s=press2/B")
    value = await node.read_data_value(raise_on_bad_status=False)
    assert value.StatusCode.value == BAD_NO_COMMUNICATION
    assert value.Value.Value is None
    assert value.SourceTimestamp is not None
    # More of the missing sensor may come before the file is there.
    heard = Heard(1, 1, lambda value: value.StatusCode is not None and value.StatusCode.is_good())
    subscription = await client.create_subscription(20, heard)
    await subscription.subscribe_data_change(node)
    await asyncio.to_thread((running.directory / "sensors" / "press2").write_text, "-4250\n")
    await asyncio.wait_for(heard.enough.wait(), 4)
    await subscription.delete()
    last = heard.values["ns=2;s=press2/B"][-1]
    assert (last.StatusCode.value, last.Value.Value) == (GOOD, -4.25)


@pytest.mark.parametrize(
    "wanted",
    [None, ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp)],
    ids=["as Telegraf does, without a filter", "by timestamp"],
)
async def test_an_unchanged_value_comes_with_each_tick(
    client: Client, wanted: ua.DataChangeFilter | None
) -> None:
    heard = Heard(1, 6)
    subscription = await client.create_subscription(20, heard)
    node = client.get_node("ns=2;s=press1/B")  # A sensor that always says the same.
    await subscription._subscribe(
        node,
        ua.AttributeIds.Value,
        wanted,
        queuesize=100,
    )
    await asyncio.wait_for(heard.enough.wait(), 4)
    await subscription.delete()
    values = heard.values["ns=2;s=press1/B"]
    assert len({value.SourceTimestamp for value in values}) == len(values) >= 6
    assert {value.Value.Value for value in values} == {21.5}


async def test_what_a_client_gets_is_in_the_record(client: Client, running: Running) -> None:
    heard = await hear(client, ["ns=2;s=press1/T"], 10)
    table = await asyncio.to_thread(fetch_record, running.http, 0, 2**62)
    place = next(n for n, item in enumerate(table.variables) if item.id == "ns=2;s=press1/T")
    mine = table.variable == place
    recorded = dict(zip(table.time[mine].tolist(), table.value[mine].tolist(), strict=True))
    for value in heard["ns=2;s=press1/T"]:
        since = value.SourceTimestamp - ua.get_win_epoch()
        time_ns = (since // ua.uatypes._microsecond - 11_644_473_600_000_000) * 1000
        assert recorded[time_ns] == value.Value.Value
    assert (np.diff(table.time[mine]) > 0).all()


async def test_metrics_tell_what_goes_on(client: Client, running: Running) -> None:
    await hear(client, ["ns=2;s=press1/T"], 3)

    def scrape() -> str:
        with urlopen(running.http + "/metrics", timeout=4) as answer:
            text: str = answer.read().decode()
        return text

    text = await asyncio.to_thread(scrape)
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    values = {name: float(value) for name, _space, value in lines}
    assert values["opc_server_sessions"] >= 1
    assert values["opc_server_variables"] == 11
    assert values["opc_server_values_total"] > 0
    assert values["opc_server_ticks_total"] > 0
    assert values["opc_server_record_bytes_total"] > 0
    assert abs(values["opc_server_newest_source_time_seconds"] - time.time()) < 5


async def test_a_taken_port_is_one_clear_error(running: Running, tmp_path: Path) -> None:
    assert running.service.http is not None
    taken = running.service.endpoint.port
    again = Settings(
        site=running.settings.site,
        server="opc",
        state=tmp_path,
        listen=("127.0.0.1", taken),
        metrics=("127.0.0.1", 0),
        require_time_sync=False,
    )
    with pytest.raises(ServiceError, match=f"127.0.0.1 port {taken}") as caught:
        await Service(again).run(asyncio.Event())
    assert caught.value.code == 69
    free = socket.socket()
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    metrics = Settings(
        site=running.settings.site,
        server="opc",
        state=tmp_path,
        listen=("127.0.0.1", port),
        metrics=("127.0.0.1", running.service.http.port),
        require_time_sync=False,
    )
    with pytest.raises(ServiceError, match="Metrics cannot be served") as caught:
        await Service(metrics).run(asyncio.Event())
    assert caught.value.code == 69


async def test_a_state_that_cannot_be_written_is_refused(running: Running, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    settings = Settings(
        site=running.settings.site,
        server="opc",
        state=tmp_path / "state",
        listen=("127.0.0.1", 0),
        metrics=("127.0.0.1", 0),
        require_time_sync=False,
    )
    with pytest.raises(ServiceError, match="--state") as caught:
        await Service(settings).run(asyncio.Event())
    assert caught.value.code == 78


async def test_a_start_can_be_stopped(running: Running, tmp_path: Path) -> None:
    begun = Running(tmp_path, running.settings.site)
    begun.stop.set()
    await asyncio.wait_for(begun.task, 4)
    assert not begun.ready.is_set()
