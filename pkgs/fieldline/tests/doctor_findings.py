"""What the tests of `fieldline doctor` share: a context of fakes, and findings by subject."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from fieldline.doctor import Context, Finding, Verdict
from fieldline.local import UnitState
from fieldline.site import Site
from where_plant import NOW, SITE, Plant

TOKEN = Path("/var/lib/influxdb-provision/influxdb-reader-token")


def context(plant: Plant | None = None, root: Path = Path("/nowhere")) -> Context:
    plant = plant or Plant()
    return Context(plant.site, plant.readings(), TOKEN, NOW, root)


def found(findings: Iterable[Finding]) -> dict[str, tuple[Verdict, str]]:
    return {finding.subject: (finding.verdict, finding.text) for finding in findings}


def verdicts(findings: Iterable[Finding]) -> dict[str, Verdict]:
    return {finding.subject: finding.verdict for finding in findings}


def unit(name: str, active: str = "active", **more: object) -> UnitState:
    return UnitState(name, active, **{"sub": "", "result": "", **more})  # type: ignore[arg-type]


def local_site(taken: Mapping[str, int]) -> Site:
    """The demonstration plant with all hosts on the loopback; ports of `taken` are listened to."""
    hosts = {name: replace(host, address="127.0.0.1") for name, host in SITE.hosts.items()}
    closed = 1
    servers = {n: replace(s, port=closed) for n, s in SITE.servers.items()}
    metrics = replace(
        SITE.metrics,
        opc_server=closed,
        stream_model=closed,
        telegraf=closed,
        gap_filler=closed,
        ledger=closed,
    )
    return replace(
        SITE,
        hosts=hosts,
        servers=servers,
        metrics=replace(metrics, **{k: v for k, v in taken.items() if k == "telegraf"}),
        kafka=replace(SITE.kafka, port=closed),
        influxdb=replace(SITE.influxdb, port=closed),
        grafana=replace(SITE.grafana, port=closed),
    )
