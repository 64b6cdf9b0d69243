"""The site as programs use it: checked, defaults filled in, assets expanded, durations in ms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


class NodeId(NamedTuple):
    """The id of an OPC UA node; exactly one of `namespace` and `namespace_uri` is there.

    `kind` is `i` (number), `s` (text) or `g` (GUID).
    """

    namespace: int | None
    namespace_uri: str | None
    kind: str
    identifier: str

    def __str__(self) -> str:
        where = f"nsu={self.namespace_uri}" if self.namespace is None else f"ns={self.namespace}"
        return f"{where};{self.kind}={self.identifier}"


@dataclass(frozen=True, slots=True)
class Network:
    """The plant's network; `family` is 4 or 6."""

    gateway: str
    prefix: int
    device: str
    nameservers: tuple[str, ...]
    ntp: tuple[str, ...]
    family: int


@dataclass(frozen=True, slots=True)
class Host:
    """A host; `memory` is in MiB."""

    name: str
    address: str
    platforms: tuple[str, ...]
    roles: tuple[str, ...]
    memory: int
    settings: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Server:
    """An OPC UA server: ours (`own`; with host, port, record, flush, seed) or an existing one."""

    name: str
    own: bool
    host: str | None
    port: int | None
    record_ms: int | None
    record_flush_ms: int | None
    seed: int | None
    endpoint: str
    namespace: int | None
    namespace_uri: str | None
    security_policy: str
    security_mode: str
    username: str | None
    collector: str


@dataclass(frozen=True, slots=True)
class RandomWalk:
    """A source that moves by at most `step` at a time."""

    step: float
    start: float


@dataclass(frozen=True, slots=True)
class Replay:
    """A source that replays a recording; `file` and `column` may hold `{asset}`, `{variable}`."""

    file: str
    column: str
    time_column: str
    speed: int
    loop: bool


@dataclass(frozen=True, slots=True)
class Sysfs:
    """A source that reads a file of Linux; `path` may hold `{asset}`, `{variable}` and globs."""

    path: str
    scale: float
    offset: float


Source = RandomWalk | Replay | Sysfs


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of an asset type."""

    name: str
    unit: str
    range: tuple[float, float] | None
    period_ms: int
    source: Source | None


@dataclass(frozen=True, slots=True)
class Model:
    """A model of an asset type."""

    name: str
    function: str
    inputs: tuple[str, ...]
    unit: str


@dataclass(frozen=True, slots=True)
class AssetType:
    """What assets of one kind have in common."""

    name: str
    variables: Mapping[str, Variable]
    models: Mapping[str, Model]


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset; `nodes` has each variable of its type."""

    name: str
    type: str
    server: str
    nodes: Mapping[str, NodeId]


@dataclass(frozen=True, slots=True)
class Collection:
    """How values are collected; `buffer` is the declared one, if there is one."""

    outage_ms: int
    buffer: int | None
    publishing_interval_ms: int


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector's buffer in metrics: what the outage needs, and what is used."""

    needed: int
    buffer: int


@dataclass(frozen=True, slots=True)
class Topic:
    """A Kafka topic."""

    name: str
    partitions: int
    retention_ms: int


@dataclass(frozen=True, slots=True)
class Kafka:
    """Kafka's ports."""

    port: int
    controller_port: int


@dataclass(frozen=True, slots=True)
class Influxdb:
    """InfluxDB: organization, bucket, user, retention and port."""

    organization: str
    bucket: str
    user: str
    retention_ms: int
    port: int


@dataclass(frozen=True, slots=True)
class Grafana:
    """Grafana's port."""

    port: int


@dataclass(frozen=True, slots=True)
class Deploy:
    """How long a switch to another system may stay unconfirmed."""

    within_ms: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """The ports of the services' Prometheus metrics."""

    opc_server: int
    stream_model: int
    telegraf: int
    gap_filler: int
    ledger: int


@dataclass(frozen=True, slots=True)
class Site:
    """A site that is right in every respect that docs/site.md names."""

    network: Network
    hosts: Mapping[str, Host]
    admins: Mapping[str, tuple[str, ...]]
    servers: Mapping[str, Server]
    types: Mapping[str, AssetType]
    assets: tuple[Asset, ...]
    collection: Collection
    collectors: Mapping[str, Collector]
    topics: Mapping[str, Topic]
    kafka: Kafka
    influxdb: Influxdb
    grafana: Grafana
    deploy: Deploy
    metrics: Metrics
    path: Path = field(compare=False)

    @property
    def only_admin(self) -> str | None:
        """The admin to log in as where none is named; None where the site has several, or none."""
        return next(iter(self.admins)) if len(self.admins) == 1 else None
