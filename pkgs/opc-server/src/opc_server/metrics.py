"""What Prometheus reads of the server."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

# From well within a fast period (10 ms) to a service that hangs.
LATENESS_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """The server's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

        def counter(name: str, text: str) -> Counter:
            return Counter(f"opc_server_{name}", text, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"opc_server_{name}", text, registry=registry)

        self.values = counter("values", "Values produced, of any status")
        self.ticks = counter("ticks", "Ticks whose values are all published")
        self.overruns = counter("overruns", "Ticks of a period skipped, since they came too late")
        self.lateness = Histogram(
            "opc_server_lateness_seconds",
            "Time from a tick's instant on the grid to its begin",
            buckets=LATENESS_BUCKETS,
            registry=registry,
        )
        self.lateness_max = gauge("lateness_max_seconds", "Largest lateness since the start")
        self.source_errors = counter("source_errors", "Failed or late readings of sensors")
        self.sessions = gauge("sessions", "OPC UA sessions open")
        self.variables = gauge("variables", "Variables served")
        self.newest = gauge("newest_source_time_seconds", "Newest source time, s since 1970")
        self.record_bytes = counter("record_bytes", "Bytes written to the record")
        self.record_errors = counter("record_errors", "Writes to the record that failed")
        self.record_lost = counter("record_lost_values", "Values that are not in the record")
        self.witness_errors = counter("witness_errors", "Ticks that the witness may not hold")
        self.clock_leaps = Counter(
            "opc_server_clock_leaps",
            "Steps of the host's clock",
            ["direction"],
            registry=registry,
        )
        self.certain = gauge("time_certain", "1 where source times are the synchronised time's")
