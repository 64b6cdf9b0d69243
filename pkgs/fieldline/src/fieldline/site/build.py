"""From checked tables to the site: stage 2, buffers, and the resolved dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fieldline.site import model
from fieldline.site.address import in_url
from fieldline.site.assets import OWN_NAMESPACE, check_types, expand
from fieldline.site.hosts import (
    check_network,
    check_ports,
    check_roles,
    check_servers,
    collector_of,
    collectors,
)
from fieldline.site.mistakes import Finding
from fieldline.site.sources import RandomWalkTable, ReplayTable, SysfsTable
from fieldline.site.tables import (
    AssetTypeTable,
    OwnServerTable,
    SiteTable,
    VariableTable,
)

# Telegraf's own default is 10,000 metrics; less would make short interruptions worse.
SMALLEST_BUFFER = 10_000

# About what a metric with its tags takes in Telegraf's memory.
METRIC_KIB = 1


def build(site: SiteTable, path: Path) -> model.Site | list[Finding]:
    """Give the site, or what is wrong in it beyond its shape."""
    findings = [
        *check_network(site),
        *check_roles(site),
        *check_servers(site),
        *check_types(site),
        *check_ports(site),
    ]
    expansion = expand(site)
    findings += expansion.findings
    needed = _needed(site, expansion.assets) if expansion.complete else {}
    buffers = _buffers(site, needed, findings)
    if findings:
        return findings
    network = site.network
    return model.Site(
        network=model.Network(
            gateway=network.gateway,
            prefix=network.prefix,
            device=network.device,
            nameservers=tuple(network.nameservers),
            ntp=tuple(network.ntp),
            family=6 if ":" in network.gateway else 4,
        ),
        hosts={
            name: model.Host(
                name=name,
                address=host.address,
                platforms=tuple(host.platforms),
                roles=tuple(host.roles),
                memory=host.memory,
                settings=host.settings.model_dump(by_alias=True, exclude_unset=True),
            )
            for name, host in site.hosts.items()
        },
        admins={name: tuple(keys) for name, keys in site.admins.items()},
        servers={name: _server(site, name) for name in site.servers},
        types={name: _type(name, table) for name, table in site.asset_types.items()},
        assets=tuple(expansion.assets),
        collection=model.Collection(
            outage_ms=site.collection.outage,
            buffer=site.collection.buffer,
            publishing_interval_ms=site.collection.publishing_interval,
        ),
        collectors=buffers,
        topics={
            name: model.Topic(name, topic.partitions, topic.retention)
            for name, topic in site.topics.items()
        },
        kafka=model.Kafka(site.kafka.port, site.kafka.controller_port),
        influxdb=model.Influxdb(
            organization=site.influxdb.organization,
            bucket=site.influxdb.bucket,
            user=site.influxdb.user,
            retention_ms=site.influxdb.retention,
            port=site.influxdb.port,
        ),
        grafana=model.Grafana(site.grafana.port),
        deploy=model.Deploy(site.deploy.within),
        metrics=model.Metrics(
            opc_server=site.metrics.opc_server,
            stream_model=site.metrics.stream_model,
            telegraf=site.metrics.telegraf,
            gap_filler=site.metrics.gap_filler,
            ledger=site.metrics.ledger,
        ),
        path=path,
    )


def _needed(site: SiteTable, assets: list[model.Asset]) -> dict[str, int]:
    """The metrics that each collector must hold during the declared outage."""
    outage = site.collection.outage
    per_type = {
        name: sum(-(-outage // variable.period) for variable in table.variables.values())
        for name, table in site.asset_types.items()
    }
    collector = {name: collector_of(site, name) for name in site.servers}
    needed = dict.fromkeys(collectors(site), 0)
    for asset in assets:
        host = collector[asset.server]
        if host is not None:
            needed[host] += per_type[asset.type]
    return needed


def _buffers(
    site: SiteTable, needed: Mapping[str, int], findings: list[Finding]
) -> dict[str, model.Collector]:
    declared = site.collection.buffer
    result = {}
    for host, metrics in needed.items():
        if declared is not None and declared < metrics:
            findings.append(
                Finding(
                    ("collection", "buffer"),
                    "buffer",
                    f'{declared} is less than host "{host}" needs',
                    f"write at least {metrics}, or leave it out",
                )
            )
        used = max(metrics + -(-metrics // 4), SMALLEST_BUFFER) if declared is None else declared
        memory = site.hosts[host].memory
        if used * METRIC_KIB * 2 > memory * 1024:
            findings.append(
                Finding(
                    ("hosts", host, "memory"),
                    "memory",
                    f"{memory} MiB is too little for a buffer of {used} metrics (half of it)",
                    f"write at least {-(-used * METRIC_KIB * 2 // 1024)},"
                    " or shorten collection.outage",
                )
            )
        result[host] = model.Collector(metrics, used)
    return result


def _server(site: SiteTable, name: str) -> model.Server:
    table = site.servers[name]
    collector = collector_of(site, name)
    assert collector is not None, "a server without collector is refused"
    if isinstance(table, OwnServerTable):
        address = in_url(site.hosts[table.host].address)
        return model.Server(
            name=name,
            own=True,
            host=table.host,
            port=table.port,
            record_ms=table.record,
            record_flush_ms=table.record_flush,
            seed=table.seed,
            endpoint=f"opc.tcp://{address}:{table.port}",
            namespace=OWN_NAMESPACE,
            namespace_uri=None,
            security_policy="None",
            security_mode="None",
            username=None,
            collector=collector,
        )
    return model.Server(
        name=name,
        own=False,
        host=None,
        port=None,
        record_ms=None,
        record_flush_ms=None,
        seed=None,
        endpoint=table.endpoint,
        namespace=table.namespace,
        namespace_uri=table.namespace_uri,
        security_policy=table.security_policy,
        security_mode=table.security_mode,
        username=table.username,
        collector=collector,
    )


def _type(name: str, table: AssetTypeTable) -> model.AssetType:
    return model.AssetType(
        name=name,
        variables={v: _variable(v, variable) for v, variable in table.variables.items()},
        models={
            m: model.Model(m, declared.function, tuple(declared.inputs), declared.unit)
            for m, declared in table.models.items()
        },
    )


def _variable(name: str, table: VariableTable) -> model.Variable:
    limits = None if table.range is None else (table.range[0], table.range[1])
    return model.Variable(name, table.unit, limits, table.period, _source(table))


def _source(table: VariableTable) -> model.Source | None:
    source = table.source
    if isinstance(source, RandomWalkTable):
        return model.RandomWalk(source.step, source.start)
    if isinstance(source, ReplayTable):
        return model.Replay(
            source.file, source.column, source.time_column, source.speed, source.loop
        )
    if isinstance(source, SysfsTable):
        return model.Sysfs(source.path, source.scale, source.offset)
    return None
