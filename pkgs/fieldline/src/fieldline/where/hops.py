"""The hops of a site from what they told: rates, lags and ages, in the order of the way."""

from __future__ import annotations

from dataclasses import replace

from fieldline.provision.topics import DEAD_LETTER
from fieldline.remote.offsets import GROUPS, KafkaReading
from fieldline.remote.scrape import Scrape
from fieldline.site import Site
from fieldline.where.errors import last_errors
from fieldline.where.probes import Readings, hosts_of
from fieldline.where.rate import RateMeter
from fieldline.where.state import OK, Hop, HopKind


class HopTable:
    """Makes hops of readings, and remembers counters for their rates."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._meters: dict[str, RateMeter] = {}

    def hops(self, readings: Readings, at: float, now_ns: int) -> list[Hop]:
        """All hops before InfluxDB.

        Args:
            at: monotonic time of the readings, s; now_ns: their time of day, ns.
        """
        kafka = readings.kafka
        hops: list[Hop] = []
        for name, server in self._site.servers.items():
            if server.own:
                hops.append(self._server(name, readings.servers[name], at, now_ns))
            else:
                text = "an existing server, seen through its collector only"
                hops.append(Hop("server", name, text))
        telegrafs = readings.telegrafs
        hops += [self._collector(name, telegrafs[name], at) for name in self._site.collectors]
        hops.append(self._topic("opc", kafka, at, now_ns))
        hops.append(self._group("stream-model", kafka, at))
        hops.append(self._topic("model", kafka, at, now_ns))
        hops += [self._group(name, kafka, at) for name in GROUPS if name != "stream-model"]
        hops.append(self._topic(DEAD_LETTER, kafka, at, now_ns))
        hops += [self._writer(name, telegrafs[name], at) for name in hosts_of(self._site, "writer")]
        errors = last_errors(self._site, readings)
        return [replace(hop, last_error=errors.get((hop.kind, hop.name))) for hop in hops]

    def _rate(self, kind: HopKind, name: str, at: float, count: float | None) -> float | None:
        if count is None:
            return None
        return self._meters.setdefault(f"{kind} {name}", RateMeter()).add(at, count)

    def _server(self, name: str, scrape: Scrape, at: float, now_ns: int) -> Hop:
        if scrape.problem:
            return Hop("server", name, scrape.problem)
        rate = self._rate("server", name, at, scrape.total("opc_server_values_total"))
        newest = scrape.total("opc_server_newest_source_time_seconds")
        newest_ns = round(newest * 1e9) if newest else None
        sessions = scrape.total("opc_server_sessions")
        notes = [] if sessions is None else [f"{sessions:.0f} session(s)"]
        if scrape.total("opc_server_time_certain") == 0:
            notes.append("its time is not synchronised")
        return Hop(
            "server",
            name,
            OK,
            rate=rate,
            newest_ns=newest_ns,
            age_s=_age(newest_ns, now_ns),
            detail=", ".join(notes),
        )

    def _collector(self, name: str, scrape: Scrape, at: float) -> Hop:
        return self._telegraf("collector", name, scrape, at, "kafka")

    def _writer(self, name: str, scrape: Scrape, at: float) -> Hop:
        return self._telegraf("writer", name, scrape, at, "influxdb_v2")

    def _telegraf(self, kind: HopKind, name: str, scrape: Scrape, at: float, output: str) -> Hop:
        if scrape.problem:
            return Hop(kind, name, scrape.problem)
        written = scrape.total("internal_write_metrics_written", output=output)
        if written is None:
            return Hop(kind, name, f"Telegraf has told nothing of its output {output} yet")
        waiting = scrape.total("internal_write_buffer_size", output=output)
        dropped = scrape.total("internal_write_metrics_dropped", output=output)
        return Hop(
            kind,
            name,
            OK,
            rate=self._rate(kind, name, at, written),
            lag=None if waiting is None else round(waiting),
            detail=f"{dropped:.0f} dropped" if dropped else "",
        )

    def _topic(self, name: str, kafka: KafkaReading, at: float, now_ns: int) -> Hop:
        if kafka.problem:
            return Hop("topic", name, kafka.problem)
        topic = kafka.topics.get(name)
        if topic is None:
            return Hop("topic", name, "it does not exist: see `systemctl status kafka-provision`")
        newest_ns = topic.newest_ms * 10**6 if topic.newest_ms >= 0 else None
        count = sum(topic.ends.values())
        return Hop(
            "topic",
            name,
            OK,
            rate=self._rate("topic", name, at, count),
            newest_ns=newest_ns,
            age_s=_age(newest_ns, now_ns),
            detail="empty" if newest_ns is None and not count else "",
        )

    def _group(self, name: str, kafka: KafkaReading, at: float) -> Hop:
        if kafka.problem:
            return Hop("group", name, kafka.problem)
        lag = kafka.lag(name)
        if lag is None:
            return Hop("group", name, "it has not read anything yet")
        read = sum(kafka.committed[name].values())
        return Hop("group", name, OK, rate=self._rate("group", name, at, read), lag=lag)


def _age(newest_ns: int | None, now_ns: int) -> float | None:
    return None if newest_ns is None else (now_ns - newest_ns) / 1e9
