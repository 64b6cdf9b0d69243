"""Prometheus metrics of services, read once: name, labels, value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import urllib3
from prometheus_client.parser import text_string_to_metric_families

# Metrics are answered from memory; who takes longer is as good as away.
_TIMEOUT = urllib3.Timeout(connect=1.0, read=2.0)


@dataclass(frozen=True, slots=True)
class Scrape:
    """The samples of one service, or `problem`, in plain words, why there are none."""

    samples: Sequence[tuple[str, dict[str, str], float]] = ()
    problem: str = ""

    def total(self, name: str, **labels: str) -> float | None:
        """The sum of the samples of that name with those labels; None where there is none."""
        found = [
            value
            for sample, given, value in self.samples
            if sample == name and all(given.get(key) == text for key, text in labels.items())
        ]
        return sum(found) if found else None


class Scraper:
    """Reads one service's `/metrics`, over a connection that is kept.

    Args:
        url: such as `http://192.168.0.5:9101`.
        prefix: only samples whose name begins so are kept.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._prefix = prefix
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=False)

    def read(self) -> Scrape:
        """Read now; an unreachable service is a `Scrape` with a problem, not an error."""
        try:
            response = self._pool.request("GET", f"{self._url}/metrics")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Scrape(problem=f"unreachable: {_plain(error)}")
        if response.status != 200:
            return Scrape(problem=f"answers HTTP {response.status} at {self._url}/metrics")
        # Lines of others are left out before parsing, which is slow: a Python or Go process has
        # dozens of its own.
        kept = "\n".join(
            line
            for line in response.data.decode(errors="replace").split("\n")
            if line.startswith((self._prefix, f"# TYPE {self._prefix}"))
        )
        try:
            families = list(text_string_to_metric_families(kept + "\n"))
        except ValueError as error:
            return Scrape(problem=f"its metrics cannot be read: {error}")
        return Scrape([(s.name, s.labels, s.value) for f in families for s in f.samples])


def _plain(error: BaseException) -> str:
    """A network error in words: refused, timed out, no route."""
    text = str(error).lower()
    for part, words in (
        ("refused", "nothing listens there"),
        ("timed out", "no answer in time"),
        ("no route", "no route to the host"),
        ("unreachable", "the network is unreachable"),
        ("name or service", "its name is unknown"),
    ):
        if part in text:
            return words
    return str(error)
