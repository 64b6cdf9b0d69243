"""Prometheus metrics of services, read once: name, labels, value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from fieldline.remote.endpoint import Endpoint, Reach


@dataclass(frozen=True, slots=True)
class Scrape:
    """The samples of one service, or `problem`, in plain words, why there are none.

    Attributes:
        reach: how far it was reached. clock_s: see `Answer`.
    """

    samples: Sequence[tuple[str, dict[str, str], float]] = ()
    problem: str = ""
    reach: Reach = "answers"
    clock_s: float | None = None

    def total(self, name: str, **labels: str) -> float | None:
        """The sum of the samples of that name with those labels; None where there is none."""
        found = [
            value
            for sample, given, value in self.samples
            if sample == name and all(given.get(key) == text for key, text in labels.items())
        ]
        return sum(found) if found else None


class Scraper:
    """Reads one service's `/metrics`.

    Args:
        url: such as `http://192.168.0.5:9101`.
        prefix: only samples whose name begins so are kept.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self._endpoint = Endpoint(url)
        self._prefix = prefix

    def read(self) -> Scrape:
        """Read now; an unreachable service is a `Scrape` with a problem, not an error."""
        answer = self._endpoint.get("/metrics")
        if answer.problem:
            return Scrape(problem=answer.problem, reach=answer.reach, clock_s=answer.clock_s)
        # Lines of others are left out before parsing, which is slow: a Python or Go process has
        # dozens of its own.
        kept = "\n".join(
            line
            for line in answer.body.decode(errors="replace").split("\n")
            if line.startswith((self._prefix, f"# TYPE {self._prefix}"))
        )
        try:
            families = list(text_string_to_metric_families(kept + "\n"))
        except ValueError as error:
            problem = f"its metrics cannot be read: {error}"
            return Scrape(problem=problem, reach="odd", clock_s=answer.clock_s)
        samples = [(s.name, s.labels, s.value) for f in families for s in f.samples]
        return Scrape(samples, clock_s=answer.clock_s)
