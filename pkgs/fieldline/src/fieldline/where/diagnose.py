"""The diagnosis of a site: what stopped, what else is wrong, what could not be seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fieldline.local import plain
from fieldline.provision.topics import DEAD_LETTER
from fieldline.site import Site
from fieldline.states import Restarts
from fieldline.verify.catalogue import Catalogue
from fieldline.where.causes import cause
from fieldline.where.diagnosis import Diagnosis, Note, StopHop, grouped
from fieldline.where.evidence import CLOCK_S, Evidence
from fieldline.where.judge_models import Models
from fieldline.where.judge_variables import Variables
from fieldline.where.probes import hosts_of

# What happened longer ago is history.
_MINUTE_NS = 60 * 10**9
_HOUR_NS = 3600 * 10**9

# At which hop a unit works; a Telegraf that collects and writes is shown where it collects.
_HOP_OF_UNIT: dict[str, StopHop] = {
    "opc-server": "server",
    "telegraf": "subscription",
    "gap-filler": "subscription",
    "apache-kafka": "kafka",
    "kafka-provision": "kafka",
    "stream-model": "stream-model",
    "influxdb2": "influxdb",
    "influxdb-provision": "influxdb",
    "ledger": "influxdb",
    "grafana": "influxdb",
}
# At which the ledger's host has what the ledger restarts.
_HOP_OF_STORE: dict[str, StopHop] = {"influxdb2": "influxdb", "telegraf": "writer"}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Indices of the catalogue's variables and models that are looked at."""

    variables: Sequence[int]
    models: Sequence[int]


def diagnose(site: Site, catalogue: Catalogue, evidence: Evidence, chosen: Chosen) -> Diagnosis:
    """Judge the chosen series; a model's inputs are judged with it."""
    inputs = {i for m in chosen.models for i in catalogue.models[m].inputs}
    wanted = set(chosen.variables)
    variables = Variables(site, catalogue, evidence, sorted(wanted | inputs))
    stops = variables.stops()
    models = Models(site, catalogue, evidence, chosen.models, variables, stops)
    found = [stop for index, stop in stops.items() if index in wanted] + models.stops()
    refused = any(stop.hop == "influxdb" for stop in found)
    return Diagnosis(
        evidence.now_ns,
        evidence.here.name,
        len(chosen.variables) + len(chosen.models),
        len(variables.arriving & wanted) + models.arriving,
        _seen_at(evidence),
        grouped(found),
        list(_notes(site, evidence, variables, stopped_there=refused)),
        list(_unseen(site, evidence)),
    )


def _seen_at(evidence: Evidence) -> str:
    if evidence.stored is not None:
        return "InfluxDB"
    looked = evidence.tail is not None and not evidence.tail.problem
    return "Kafka" if looked or evidence.gap_fillers else ""


def _notes(
    site: Site, evidence: Evidence, variables: Variables, *, stopped_there: bool
) -> Iterator[Note]:
    yield from _clocks(site, evidence, variables)
    for host in site.collectors:
        scrape = evidence.readings.telegrafs.get(host)
        dropped = (
            None
            if scrape is None
            else scrape.total("internal_write_metrics_dropped", output="kafka")
        )
        if dropped:
            yield _note("subscription", host, "values-dropped", host=host, count=f"{dropped:.0f}")
    yield from _restarts(site, evidence)
    refused = (
        []
        if evidence.tail is None
        else [
            r for r in evidence.tail.refused if evidence.now_ns - r.arrival_ms * 10**6 < _MINUTE_NS
        ]
    )
    for host in hosts_of(site, "writer"):
        # What InfluxDB refuses may be seen in it for a while: it is in its memory, and not on disk.
        why = variables.blame.refused(host)
        if why is not None and not stopped_there:
            yield Note("influxdb", "InfluxDB", why.code, why.text, why.what_to_do)
    if refused:
        last = refused[-1]
        series = (
            f"{last.asset}/{last.variable}" if last.variable else last.asset or "no known asset"
        )
        yield _note(
            "stream-model",
            DEAD_LETTER,
            "records-refused",
            count=len(refused),
            reason=last.reason,
            series=series,
            topic=DEAD_LETTER,
        )


def _clocks(site: Site, evidence: Evidence, variables: Variables) -> Iterator[Note]:
    for name, server in site.servers.items():
        scrape = evidence.readings.servers.get(name)
        clock = evidence.clock_s(name)
        ahead = max(clock, variables.ahead_s(name))
        if ahead > CLOCK_S:
            yield _note("server", name, "clock-ahead", server=name, seconds=round(ahead))
        behind = max(-clock, variables.dated_back.get(name, 0))
        if behind > CLOCK_S:
            yield _note("server", name, "clock-behind", server=name, seconds=round(behind))
        if server.own and scrape is not None and scrape.total("opc_server_time_certain") == 0:
            yield _note("server", name, "time-uncertain", server=name)


def _restarts(site: Site, evidence: Evidence) -> Iterator[Note]:
    here = evidence.here
    for unit, state in here.units.items():
        recent = state.since_ns is not None and evidence.now_ns - state.since_ns < _HOUR_NS
        if not state.restarts or not recent:
            continue
        entry = evidence.words.get(unit)
        reason = "" if entry is None else f": {plain(entry.message.text).text}"
        yield _note(
            _HOP_OF_UNIT.get(unit, "server"),
            here.name or "",
            "restarts",
            what=unit,
            unit=unit,
            host=here.name,
            count=state.restarts,
            reason=reason,
        )
    for collector, filler in evidence.gap_fillers.items():
        for unit, restarts in filler.restarts.items():
            yield from _asked("the gap filler", unit, collector, "subscription", restarts, evidence)
    if evidence.ledger is not None:
        for host in hosts_of(site, "influxdb"):
            for unit, restarts in evidence.ledger.restarts.items():
                hop = _HOP_OF_STORE.get(unit, "influxdb")
                yield from _asked("the ledger", unit, host, hop, restarts, evidence)


def _asked(
    by: str, unit: str, host: str, hop: StopHop, restarts: Restarts, evidence: Evidence
) -> Iterator[Note]:
    """Restarts that a service of ours has asked for."""
    if restarts.last_ns is None or evidence.now_ns - restarts.last_ns > _HOUR_NS:
        return
    reason = f", by {by}: {restarts.reason}"
    count = restarts.count
    yield _note(hop, host, "restarts", what=unit, unit=unit, host=host, count=count, reason=reason)


def _note(hop: StopHop, name: str, code: str, **fields: object) -> Note:
    found = cause(code, **fields)
    return Note(hop, name, code, found.text, found.what_to_do)


def _unseen(site: Site, evidence: Evidence) -> Iterator[str]:
    here = evidence.here
    if here.name is None:
        yield "units and journal: this machine is none of the site's hosts"
    elif here.problem:
        yield f"units and journal of {here.name}: {here.problem}"
    if evidence.store_unseen:
        yield f"InfluxDB: {evidence.store_unseen}"
    if evidence.readings.kafka.reach == "unasked":
        yield f"Kafka: {evidence.readings.kafka.problem}"
    if evidence.tail is not None:
        if evidence.tail.problem:
            yield f"the newest values in Kafka: {evidence.tail.problem}"
        for host in site.collectors:
            if host not in evidence.gap_fillers:
                yield f"what the servers themselves have: no gap filler answers on {host}"
