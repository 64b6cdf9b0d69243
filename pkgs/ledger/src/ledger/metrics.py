"""The service's Prometheus metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from fieldline.ledger import FIELDS
from fieldline.messages.ledger import HOUR_NS
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from ledger.book import Book

# `settled` is no number of values, `lacking` is counted as it is now.
_TOTALS = tuple(field for field in FIELDS if field not in ("settled", "lacking"))


class Metrics:
    """Totals by server: a plant has thousands of variables; those are in InfluxDB.

    Args:
        clock: the wall clock, ns since 1970.
    """

    def __init__(
        self, registry: CollectorRegistry = REGISTRY, clock: Callable[[], int] = time.time_ns
    ) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"fieldline_ledger_{name}", text, labels, registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"fieldline_ledger_{name}", text, labels, registry=registry)

        self._clock = clock
        watched = "of the watched hours (docs/ledger.md)"
        self._totals = {
            name: gauge(name, f"Values {name}, {watched}", "server") for name in _TOTALS
        }
        self._lacking = gauge("lacking", f"Values produced and not stored, {watched}", "server")
        self._complete_age = gauge(
            "complete_age_seconds", "Time since the end of the last complete hour", "server"
        )
        self.records = counter(
            "records", "Records of the ledger read, by what became of them", "kind"
        )
        self.told = counter("told", "Records of the ledger written")
        self.refills = counter("refills", "Intervals of variables asked for again")
        self.refill_values = counter("refill_values", "Values asked for again, about")
        self.recovered = counter(
            "recovered_values", "Values that were asked for and are stored now"
        )
        self.given_up = gauge("given_up", "Hours of variables that are not asked for any more")
        self.behind = gauge(
            "writer_behind", "1 while the writer has not stored what the last count is held against"
        )
        self.restarts = counter("restarts", "Restarts asked for by the store guard", "reason")
        self.round_seconds = Histogram(
            "fieldline_ledger_round_seconds",
            "Time to count, compare and tell",
            buckets=(0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
            registry=registry,
        )

    def show(self, book: Book) -> None:
        """Show the totals of all hours that are kept."""
        count = len(book.servers)
        totals = {name: np.zeros(count) for name in (*_TOTALS, "lacking")}
        ends = [0] * count
        for hour in book:
            for name in _TOTALS:
                totals[name] += book.by_server(hour.counts.known(name))
            totals["lacking"] += book.by_server(hour.counts.lacking())
            incomplete = book.by_server((~hour.counts.complete()).astype(np.int64))
            for server in range(count):
                if not incomplete[server]:
                    ends[server] = hour.begin + HOUR_NS
        for server, name in enumerate(book.servers):
            for field in _TOTALS:
                self._totals[field].labels(name).set(totals[field][server])
            self._lacking.labels(name).set(totals["lacking"][server])
            if ends[server]:
                # Grows by itself, so that it tells the truth while nothing is counted.
                self._complete_age.labels(name).set_function(self._age(ends[server]))
            else:
                with suppress(KeyError):
                    self._complete_age.remove(name)

    def _age(self, end: int) -> Callable[[], float]:
        return lambda: (self._clock() - end) / 1e9
