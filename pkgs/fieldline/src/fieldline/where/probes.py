"""What is asked at each hop, all at once, so that one that does not answer delays no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from fieldline.provision.topics import DEAD_LETTER, LEDGER
from fieldline.site import Site
from fieldline.site.address import in_url
from fieldline.where.offsets import KafkaProbe, KafkaReading
from fieldline.where.scrape import Scrape, Scraper

# The consumer groups of the site, and the topic that each reads (lib/services, lib/telegraf).
GROUPS: Mapping[str, str] = {
    "stream-model": "opc",
    "telegraf-opc": "opc",
    "telegraf-model": "model",
    "telegraf-ledger": LEDGER,
}


# How long a hop is waited for, s. One that takes longer is shown as not answering, and asked again
# once it has answered or given up.
PATIENCE = 0.8

_SILENT = "does not answer"


@dataclass(frozen=True, slots=True)
class Readings:
    """What the hops told, each at about the same moment.

    Attributes:
        servers: own server to its metrics; collectors: host to Telegraf's.
    """

    servers: Mapping[str, Scrape]
    collectors: Mapping[str, Scrape]
    kafka: KafkaReading


class Probes:
    """Asks the site's own servers, the collectors and Kafka."""

    def __init__(self, site: Site) -> None:
        def url(host: str, port: int) -> str:
            return f"http://{in_url(site.hosts[host].address)}:{port}"

        self._servers = {
            name: Scraper(url(server.host, site.metrics.opc_server), "opc_server_")
            for name, server in site.servers.items()
            if server.own and server.host is not None
        }
        self._collectors = {
            name: Scraper(url(name, site.metrics.telegraf), "internal_write_")
            for name in site.collectors
        }
        topics = {topic.name: topic.partitions for topic in site.topics.values()}
        topics |= {DEAD_LETTER: 1, LEDGER: 1}
        broker = next(h for h in site.hosts.values() if "kafka" in h.roles)
        self._kafka = KafkaProbe(
            f"{in_url(broker.address)}:{site.kafka.port}", topics, list(GROUPS)
        )
        self._pool = ThreadPoolExecutor(
            len(self._servers) + len(self._collectors) + 1, thread_name_prefix="probe"
        )
        self._pending: dict[str, Future[Any]] = {}

    def read(self) -> Readings:
        """Ask all, and take what has been answered within `PATIENCE`."""
        kafka = self._ask("kafka", self._kafka.read)
        servers = {n: self._ask(f"server {n}", s.read) for n, s in self._servers.items()}
        collectors = {n: self._ask(f"collector {n}", s.read) for n, s in self._collectors.items()}
        wait(self._pending.values(), PATIENCE)
        readings = Readings(
            {name: _scraped(future) for name, future in servers.items()},
            {name: _scraped(future) for name, future in collectors.items()},
            kafka.result() if kafka.done() else KafkaReading(problem=_SILENT),
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


def _scraped(future: Future[Any]) -> Scrape:
    result: Scrape = future.result() if future.done() else Scrape(problem=_SILENT)
    return result
