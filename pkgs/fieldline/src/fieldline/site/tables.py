"""The tables of `site.toml` as closed pydantic models: its shape, and its JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, WithJsonSchema

from fieldline.site.forms import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Duration,
    Items,
    Number,
    Text,
    Whole,
    Word,
)
from fieldline.site.sources import SourceTable
from fieldline.site.table import CLOSED, TAG
from fieldline.site.texts import (
    AddressText,
    AdminName,
    AssetNames,
    Endpoint,
    HostName,
    Name,
    Node,
    Port,
    PublicKey,
    ServerName,
    TimeServer,
    TopicName,
    Unit,
    VariableName,
)

ROLES = ("opc-server", "collector", "kafka", "stream-model", "writer", "influxdb", "grafana")
PLATFORMS = ("raspberry", "vbox")


class Table(BaseModel):
    """A table that is closed: a key it does not know is a mistake."""

    model_config = CLOSED


class NetworkTable(Table):
    """The plant's network."""

    gateway: AddressText
    """The address of the router, such as "192.168.0.1"."""
    prefix: Annotated[int, Whole(8, 126)]
    """The bits of the network: 8 to 30 for IPv4, 16 to 126 for IPv6."""
    device: Annotated[str, Text("[a-z][a-z0-9]{0,14}", 'a device such as "eth0"')] = "enp0s3"
    """The network device of the hosts."""
    nameservers: Annotated[list[AddressText], Items()]
    """The addresses of the nameservers."""
    ntp: Annotated[list[TimeServer], Items()] = ["0.nixos.pool.ntp.org"]
    """Where the time comes from: names or addresses."""


class SettingsTable(Table):
    """Settings laid over what is derived for a part; without floats."""

    telegraf: dict[str, Any] | None = None
    """Over Telegraf's."""
    apache_kafka: dict[str, Any] | None = Field(default=None, alias="apache-kafka")
    """Over Kafka's."""
    influxdb2: dict[str, Any] | None = None
    """Over InfluxDB's."""
    grafana: dict[str, Any] | None = None
    """Over Grafana's."""


class HostTable(Table):
    """A host: where it is and what runs on it."""

    address: AddressText
    """Its address, inside the network."""
    platforms: Annotated[list[Annotated[str, Word(PLATFORMS)]], Items(repeats=False)]
    """What it runs on."""
    roles: Annotated[list[Annotated[str, Word(ROLES)]], Items(repeats=False)]
    """What runs on it."""
    memory: Annotated[int, Whole(256, 1048576)] = Field(default=2048)
    """MiB of memory."""
    settings: SettingsTable = SettingsTable()
    """Settings laid over what is derived for a part."""


class OwnServerTable(Table):
    """An OPC UA server of ours, on one of the hosts."""

    host: HostName
    """The host it runs on, with the role opc-server."""
    port: Port = 4840
    """Its port."""
    record: Annotated[int, Duration(MINUTE, 90 * DAY)] = Field(
        default=DAY, json_schema_extra={"default": "1d"}
    )
    """How long it keeps its own record."""
    record_flush: Annotated[int, Duration(0, 10 * MINUTE)] = Field(
        default=10 * SECOND, json_schema_extra={"default": "10s"}
    )
    """How often the disk is made to hold the record: what a power cut may cost."""
    seed: Annotated[int, Whole(0, 2147483647)] | None = None
    """Makes random walks repeatable."""
    collector: HostName | None = None
    """The host that collects it; needed where several hosts collect."""


class ExistingServerTable(Table):
    """An OPC UA server that exists already, such as a PLC."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["namespace"]}, {"required": ["namespace_uri"]}],
        }
    )
    endpoint: Endpoint
    """Where it is, such as "opc.tcp://192.168.0.20:4840"."""
    namespace: Annotated[int, Whole(1, 65535)] | None = None
    """The index of its namespace."""
    namespace_uri: (
        Annotated[str, Text("[A-Za-z0-9:/._#?=&%~+-]{1,255}", 'a URI such as "urn:plc"')] | None
    ) = None
    """The URI of its namespace."""
    security_policy: Annotated[
        str, Word(("None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"))
    ] = "None"
    """How the connection is secured."""
    security_mode: Annotated[str, Word(("None", "Sign", "SignAndEncrypt"))] = "None"
    """What of the messages is secured."""
    username: Annotated[str, Text("[A-Za-z0-9._@-]{1,64}", 'a user such as "reader"')] | None = None
    """The user; the password is the secret opcua-NAME-password."""
    collector: HostName | None = None
    """The host that collects it; needed where several hosts collect."""


class UndecidedServerTable(Table):
    """A server with neither or both of `host` and `endpoint`: only its keys are checked."""

    host: Any = None
    port: Any = None
    record: Any = None
    record_flush: Any = None
    seed: Any = None
    endpoint: Any = None
    namespace: Any = None
    namespace_uri: Any = None
    security_policy: Any = None
    security_mode: Any = None
    username: Any = None
    collector: Any = None


def _kind_of_server(value: object) -> str | None:
    if not isinstance(value, dict):
        return None
    if ("host" in value) == ("endpoint" in value):
        return TAG + "undecided"
    return TAG + ("own" if "host" in value else "existing")


ServerTable = Annotated[
    Annotated[OwnServerTable, Tag(TAG + "own")]
    | Annotated[ExistingServerTable, Tag(TAG + "existing")]
    | Annotated[UndecidedServerTable, WithJsonSchema({"not": {}}), Tag(TAG + "undecided")],
    Discriminator(_kind_of_server),
]


class VariableTable(Table):
    """A variable of an asset type."""

    unit: Unit = ""
    """Its unit, such as "°C"."""
    range: list[Annotated[float, Number(-1e15, 1e15)]] | None = Field(
        default=None, json_schema_extra={"minItems": 2, "maxItems": 2}
    )
    """The low and the high end of its values."""
    period: Annotated[int, Duration(10, DAY)]
    """How often it is sampled, such as "200ms"."""
    source: SourceTable | None = None
    """Where the values come from, on a server of ours."""


class ModelTable(Table):
    """A model: a function of some variables of the same asset."""

    function: Annotated[str, Text("[a-z][a-z0-9-]{0,63}", 'a function such as "mean-absolute"')]
    """Its function, an entry point of the group fieldline.models."""
    inputs: Annotated[list[VariableName], Items(at_most=64, repeats=False)]
    """The variables it takes, in order."""
    unit: Unit = ""
    """The unit of its results."""


class AssetTypeTable(Table):
    """What assets of one kind have in common."""

    variables: Annotated[dict[VariableName, VariableTable], Items()]
    """What is measured."""
    models: dict[Name, ModelTable] = {}
    """What is computed from the variables."""


def _kind_of_nodes(value: object) -> str | None:
    if isinstance(value, str):
        return TAG + "pattern"
    return TAG + "table" if isinstance(value, dict) else None


class AssetTable(Table):
    """Some assets of one type on one server."""

    names: Annotated[list[AssetNames], Items()]
    """Names such as "press1", or ranges such as "press{001..120}"."""
    type: Name
    """The asset type."""
    server: ServerName
    """The server that has their values."""
    nodes: Annotated[
        Annotated[Node, Tag(TAG + "pattern")] | Annotated[dict[str, Node], Tag(TAG + "table")],
        Discriminator(_kind_of_nodes),
    ] = "s={asset}.{variable}"
    """Their nodes: one pattern, or a table of variable and node."""


class CollectionTable(Table):
    """How values are collected."""

    outage: Annotated[int, Duration(SECOND, 7 * DAY)] = Field(
        default=10 * MINUTE,
        json_schema_extra={"default": "10min"},
    )
    """How long Kafka may be unreachable before values are lost."""
    buffer: Annotated[int, Whole(1000, 100_000_000)] | None = None
    """The metrics a collector holds, if not derived from the outage."""
    publishing_interval: Annotated[int, Duration(10, 60 * SECOND)] = Field(
        default=100, json_schema_extra={"default": "100ms"}
    )
    """How often a server sends what has changed."""


class TopicTable(Table):
    """A Kafka topic."""

    partitions: Annotated[int, Whole(1, 256)] = 4
    """Fixed once the topic exists."""
    retention: Annotated[int, Duration(MINUTE, 3650 * DAY)] = Field(
        default=7 * DAY, json_schema_extra={"default": "7d"}
    )
    """How long records are kept."""


class KafkaTable(Table):
    """Kafka's ports."""

    port: Port = 9092
    """Where clients connect."""
    controller_port: Port = 9093
    """Where its controller listens."""


class InfluxdbTable(Table):
    """InfluxDB: organization, bucket, user."""

    organization: Name
    """The organization, such as "plant"."""
    bucket: Name
    """The bucket of the values."""
    user: Name
    """The user that owns them."""
    retention: Annotated[int, Duration(HOUR, 36500 * DAY)] = Field(
        default=30 * DAY, json_schema_extra={"default": "30d"}
    )
    """How long values are kept."""
    port: Port = 8086
    """Where it listens."""


class GrafanaTable(Table):
    """Grafana's port."""

    port: Port = 3000
    """Where it listens."""


class DeployTable(Table):
    """How a host is switched to another system."""

    within: Annotated[int, Duration(30 * SECOND, HOUR)] = Field(
        default=3 * MINUTE, json_schema_extra={"default": "3min"}
    )
    """How long a switch and its confirmation may take before the host goes back by itself."""


class MetricsTable(Table):
    """Where the services show their Prometheus metrics."""

    opc_server: Port = Field(default=9101, alias="opc-server")
    """The port of opc-server."""
    stream_model: Port = Field(default=9102, alias="stream-model")
    """The port of stream-model."""
    telegraf: Port = 9103
    """The port of Telegraf."""
    gap_filler: Port = Field(default=9104, alias="gap-filler")
    """The port of gap-filler."""
    ledger: Port = 9105
    """The port of ledger."""


class SiteTable(Table):
    """`site.toml`: the plant, from which everything else is derived."""

    model_config = ConfigDict(title="site.toml")
    schema_: Annotated[int, Whole(1, 1)] = Field(alias="schema")
    """The format of this file: 1."""
    network: NetworkTable
    """The network of the plant."""
    hosts: Annotated[dict[HostName, HostTable], Items()]
    """The hosts by name."""
    admins: dict[AdminName, Annotated[list[PublicKey], Items()]] = {}
    """The ssh keys of those who administer the hosts, by name."""
    servers: Annotated[dict[ServerName, ServerTable], Items()]
    """The OPC UA servers by name."""
    asset_types: Annotated[dict[Name, AssetTypeTable], Items()]
    """The asset types by name: variables and models."""
    assets: Annotated[list[AssetTable], Items()]
    """The assets: names, type, server."""
    collection: CollectionTable = CollectionTable()
    topics: dict[TopicName, TopicTable] = Field(json_schema_extra={"required": ["opc", "model"]})
    """Kafka's topics by name, among them opc and model."""
    kafka: KafkaTable = KafkaTable()
    influxdb: InfluxdbTable
    """The database: organization, bucket, user."""
    grafana: GrafanaTable = GrafanaTable()
    deploy: DeployTable = DeployTable()
    metrics: MetricsTable = MetricsTable()
