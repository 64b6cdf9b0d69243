"""What is asked at each hop, all at once, so that one that does not answer delays no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from fieldline.local import Entry, LocalHost
from fieldline.provision.topics import DEAD_LETTER, LEDGER
from fieldline.remote.endpoint import Endpoint, Reach
from fieldline.remote.offsets import GROUPS, KafkaProbe, KafkaReading
from fieldline.remote.scrape import Scrape, Scraper
from fieldline.site import Site
from fieldline.site.address import in_url
from fieldline.states import STATE_PATH, StreamModelState, decode_state
from fieldline.where.here import Here

# How long a hop is waited for, s. One that takes longer is shown as not answering, and asked again
# once it has answered or given up.
PATIENCE = 0.8

_SILENT = "does not answer"

# The roles whose hosts Kafka's firewall lets in (lib/plant.nix).
KAFKA_CLIENTS = frozenset({"collector", "stream-model", "writer", "influxdb"})


@dataclass(frozen=True, slots=True)
class Told:
    """The state that a service told, or `problem`, in plain words, why it did not."""

    state: StreamModelState | None = None
    problem: str = ""
    reach: Reach = "answers"


@dataclass(frozen=True, slots=True)
class Readings:
    """What the hops told, each at about the same moment.

    Attributes:
        servers: own server to its metrics; telegrafs: host to Telegraf's, of collectors and
            writers; models: host to its stream model's state.
        here: the host that asked; words: unit of it to its last error, or last words.
    """

    servers: Mapping[str, Scrape]
    telegrafs: Mapping[str, Scrape]
    kafka: KafkaReading
    models: Mapping[str, Told] = field(default_factory=dict)
    here: LocalHost = field(default_factory=LocalHost)
    words: Mapping[str, Entry] = field(default_factory=dict)


class Probes:
    """Asks the site's own servers, every Telegraf, the stream models and Kafka."""

    def __init__(self, site: Site) -> None:
        self._servers = {
            name: Scraper(url_of(site, server.host, site.metrics.opc_server), "opc_server_")
            for name, server in site.servers.items()
            if server.own and server.host is not None
        }
        self._telegrafs = {
            name: Scraper(url_of(site, name, site.metrics.telegraf), "internal_")
            for name in {
                **dict.fromkeys(site.collectors),
                **dict.fromkeys(hosts_of(site, "writer")),
            }
        }
        self._models = {
            name: Endpoint(url_of(site, name, site.metrics.stream_model))
            for name in hosts_of(site, "stream-model")
        }
        topics = {topic.name: topic.partitions for topic in site.topics.values()} | {
            DEAD_LETTER: 1,
            LEDGER: 1,
        }
        self._kafka = KafkaProbe(bootstrap_of(site), topics, list(GROUPS))
        self._here = Here(site)
        self._near = self._here.read()
        self._asks_kafka = may_ask_kafka(site, self._near[0].name)
        count = len(self._servers) + len(self._telegrafs) + len(self._models) + 2
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="probe")
        self._pending: dict[str, Future[Any]] = {}

    def read(self, patience: float = PATIENCE) -> Readings:
        """Ask all, and take what has been answered within `patience` seconds."""
        kafka = self._ask("kafka", self._kafka.read if self._asks_kafka else _unasked)
        here = self._ask("here", self._here.read)
        servers = {n: self._ask(f"server {n}", s.read) for n, s in self._servers.items()}
        telegrafs = {n: self._ask(f"telegraf {n}", s.read) for n, s in self._telegrafs.items()}
        models = {n: self._ask(f"model {n}", partial(_told, e)) for n, e in self._models.items()}
        wait(self._pending.values(), patience)
        # Of itself a host knows no less than a moment ago.
        self._near = _result(here, self._near)
        late = Scrape(problem=_SILENT, reach="silent")
        readings = Readings(
            {name: _result(future, late) for name, future in servers.items()},
            {name: _result(future, late) for name, future in telegrafs.items()},
            _result(kafka, KafkaReading(problem=_SILENT, reach="silent")),
            {
                name: _result(future, Told(problem=_SILENT, reach="silent"))
                for name, future in models.items()
            },
            *self._near,
        )
        self._pending = {key: f for key, f in self._pending.items() if not f.done()}
        return readings

    def close(self) -> None:
        """Close the connections; a question under way is waited for, a few seconds at most."""
        self._pool.shutdown(wait=True)
        self._kafka.close()

    def _ask(self, key: str, question: Callable[[], Any]) -> Future[Any]:
        if key not in self._pending:
            self._pending[key] = self._pool.submit(question)
        return self._pending[key]


def url_of(site: Site, host: str, port: int) -> str:
    """The URL of a port of a host."""
    return f"http://{in_url(site.hosts[host].address)}:{port}"


def hosts_of(site: Site, role: str) -> list[str]:
    """The hosts that have a role."""
    return [host.name for host in site.hosts.values() if role in host.roles]


def may_ask_kafka(site: Site, here: str | None) -> bool:
    """Whether Kafka's firewall lets a host in; whoever is none of the site's hosts just tries."""
    roles = () if here is None else site.hosts[here].roles
    return here is None or bool({*KAFKA_CLIENTS, "kafka"} & set(roles))


def _unasked() -> KafkaReading:
    return KafkaReading(problem="this host may not reach it", reach="unasked")


def bootstrap_of(site: Site) -> str:
    """Kafka's ADDRESS:PORT."""
    return f"{in_url(site.hosts[hosts_of(site, 'kafka')[0]].address)}:{site.kafka.port}"


def _told(endpoint: Endpoint) -> Told:
    answer = endpoint.get(STATE_PATH)
    if answer.problem:
        return Told(problem=answer.problem, reach=answer.reach)
    try:
        return Told(decode_state(answer.body, StreamModelState))
    except msgspec.DecodeError as error:
        return Told(problem=f"its state cannot be read: {error}", reach="odd")


def _result(future: Future[Any], late: Any) -> Any:
    return future.result() if future.done() else late
