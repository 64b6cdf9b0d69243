"""Any OPC UA server with a history, in this process, that can be told to misbehave."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from fieldline.site import Site, load_site

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMESPACE = 2
SECOND = 1_000_000_000
MILLISECOND = 1_000_000
UNSUPPORTED = 0x80710000

# A value of a variable: source time in ns, value, status code.
Sample = tuple[int, Any, int]


def at(time_ns: int) -> datetime:
    return EPOCH + timedelta(microseconds=time_ns // 1_000)


def ns(time: datetime) -> int:
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (time - EPOCH) // timedelta(microseconds=1) * 1_000


def data_value(sample: Sample) -> ua.DataValue:
    time_ns, value, status = sample
    variant = value if isinstance(value, ua.Variant) else ua.Variant(value)
    return ua.DataValue(
        variant, ua.StatusCode(ua.UInt32(status)), SourceTimestamp=at(time_ns) if time_ns else None
    )


@dataclass
class History:
    """What the server holds, by node id, and how it answers.

    Attributes:
        counts: whether it offers the aggregate Count; offered: a history at all.
        page: values in one answer; refused: node to the status it gets.
        endless: a continuation point is always given; hang: it never answers.
    """

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    counts: bool = True
    offered: bool = True
    page: int = 1_000
    refused: dict[str, int] = field(default_factory=dict)
    endless: bool = False
    hang: bool = False
    requests: list[Any] = field(default_factory=list)

    async def read(self, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        self.requests.append(params)
        if self.hang:
            await asyncio.Event().wait()
        return [self._one(params, wanted) for wanted in params.NodesToRead]

    def _one(self, params: Any, wanted: Any) -> ua.HistoryReadResult:
        details, node = params.HistoryReadDetails, wanted.NodeId.to_string()
        result = ua.HistoryReadResult()
        status = self.refused.get(node) or (0 if self.offered else UNSUPPORTED)
        processed = isinstance(details, ua.ReadProcessedDetails)
        if processed and not self.counts:
            status = 0x80D50000
        if status:
            result.StatusCode = ua.StatusCode(ua.UInt32(status))
            return result
        since, until = ns(details.StartTime), ns(details.EndTime)
        rows = [s for s in self.samples.get(node, []) if since <= s[0] < until or not s[0]]
        result.HistoryData = ua.HistoryData()
        if processed:
            good = sum(status == 0 for _, _, status in rows)
            told = 0 if good == len(rows) else 0x40A40000
            count = ua.Variant(good, ua.VariantType.Int32)
            result.HistoryData.DataValues = [data_value((since, count, told))]
            return result
        if params.ReleaseContinuationPoints:
            return result
        first = int(wanted.ContinuationPoint or 0)
        page = min(self.page, details.NumValuesPerNode or self.page)
        result.HistoryData.DataValues = [data_value(s) for s in rows[first : first + page]]
        if self.endless:
            result.ContinuationPoint = b"0"
        elif first + page < len(rows):
            result.ContinuationPoint = str(first + page).encode()
        return result


class FakeServer:
    """A server with the nodes of a site, a settable current value each, and a history.

    Args:
        port: 0 lets the kernel choose.
    """

    def __init__(self, nodes: list[str], port: int = 0) -> None:
        self.nodes = nodes
        self.port = port
        self.history = History()
        self._server: Server | None = None

    @property
    def endpoint(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/"

    async def start(self) -> None:
        server = Server()
        await server.init()
        server.set_endpoint(self.endpoint)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        await server.register_namespace("urn:example:first")
        await server.register_namespace("urn:example:second")
        for node in self.nodes:
            await server.nodes.objects.add_variable(
                ua.NodeId.from_string(node), ua.QualifiedName(node, NAMESPACE), 0.0
            )
        # A node takes every value, as those of a PLC with variables of all types.
        server.iserver.aspace._is_expected_variant_type = lambda *_: True
        server.iserver.history_manager.read_history = self._read
        await server.start()
        assert server.bserver is not None
        self.port = server.bserver.port
        self._server = server

    async def _read(self, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        return await self.history.read(params)

    def forget(self) -> None:
        """Have a new history, which behaves well."""
        self.history = History()

    async def write(self, node: str, sample: Sample, *, record: bool = True) -> None:
        """Give a variable a value, and its history too."""
        assert self._server is not None
        if record:
            self.history.samples.setdefault(node, []).append(sample)
        value = data_value(sample)
        space = self._server.iserver.aspace
        name = ua.NodeId.from_string(node)
        (await space.write_attribute_value(name, ua.AttributeIds.Value, value)).check()

    async def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop()


PLANT = """
schema = 1
[network]
gateway = "10.0.0.1"
prefix = 24
device = "eth0"
nameservers = ["10.0.0.1"]
ntp = ["10.0.0.1"]
[hosts.all]
address = "10.0.0.2"
platforms = ["vbox"]
roles = ["collector", "kafka", "influxdb", "writer", "grafana", "stream-model"]
memory = 4096
[servers.plc]
endpoint = "{endpoint}"
namespace = 2
{security}
[asset_types.pump.variables.Flow]
unit = "l/min"
period = "1s"
[asset_types.pump.variables.Level]
unit = "m"
period = "1s"
[[assets]]
names = ["pump{{1..{pumps}}}"]
type = "pump"
server = "plc"
nodes = "s={{asset}}.{{variable}}"
[topics.opc]
partitions = 3
retention = "7d"
[topics.model]
partitions = 1
retention = "7d"
[influxdb]
organization = "o"
bucket = "b"
user = "u"
retention = "30d"
"""


def write_site(folder: Path, endpoint: str, *, pumps: int = 2, security: str = "") -> Path:
    """A plant with pumps on somebody else's server; the path of its declaration."""
    path = folder / "site.toml"
    path.write_text(PLANT.format(endpoint=endpoint, pumps=pumps, security=security))
    return path


def site_of(folder: Path, endpoint: str, *, pumps: int = 2) -> Site:
    return load_site(write_site(folder, endpoint, pumps=pumps))
