"""The service's Prometheus metrics."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge


class Metrics:
    """Counters and gauges, by server where it says so."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"gap_filler_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"gap_filler_{name}", text, labels, registry=registry)

        self.records = counter("records", "Records read from the topic of values", "server")
        self.unused = counter("unused", "Records that could not be used, by reason", "reason")
        self.windows = counter("windows", "Windows of source time that were closed", "server")
        self.missing = counter("missing_values", "Values found missing in Kafka", "server")
        self.filled = counter("filled_values", "Values sent from a server's history", "server")
        self.unfilled = counter(
            "unfilled_values", "Values sent, but not seen in Kafka afterwards", "server"
        )
        self.mended = counter(
            "mended_values", "Values sent again, since their quality was overwritten", "server"
        )
        self.given_up = counter(
            "given_up_seconds", "Time that neither history nor topic hold any more", "server"
        )
        self.holes = counter(
            "holes", "Holes that no history could fill: a variable was stale", "server"
        )
        self.bad_history = counter(
            "bad_history", "What was wrong with a history, by kind", "server", "kind"
        )
        self.refills = counter("refills", "Requests to read an interval again", "outcome")
        self.refilled = counter("refilled_values", "Values sent because of such requests", "server")
        self.reread = counter("rereads", "Times Kafka was read once more, to spare memory")
        self.lost_ends = counter(
            "lost_ends", "Times that a partition of Kafka's log had lost records that were read"
        )
        self.stale = gauge("stale_variables", "Variables that are stale now", "server", "cause")
        self.stale_begun = counter("stale", "Variables that became stale", "server", "cause")
        self.restarts = counter("telegraf_restarts", "Restarts of Telegraf asked for", "reason")
        self.connected = gauge("server_connected", "Whether the session is up", "server")
        self.position = gauge(
            "position_seconds", "Up to when all windows are closed, seconds since 1970", "server"
        )
        self.held = gauge("held_values", "Source times in memory", "server")
        self.kafka = gauge("kafka_connected", "Whether Kafka answers")
        self.ledger = counter("ledger_records", "Records written to the ledger")
