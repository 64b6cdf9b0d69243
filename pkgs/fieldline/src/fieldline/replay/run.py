"""A replay from end to end, piece by piece, so that any length of time fits into memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fieldline.arguments import iso
from fieldline.errors import FieldlineError
from fieldline.replay.difference import Comparison, ModelDifference
from fieldline.replay.selection import Failures, Functions
from fieldline.verify.catalogue import Catalogue
from fieldline.verify.points import Points
from fieldline.verify.reference import Reference
from fieldline.verify.run import spans
from fieldline.verify.store import Store

# Values and results that are held at a time, with the texts that they are read from: some 100 MB.
PIECE_POINTS = 500_000

# Models that are shown, of those that differ; all of them are in the JSON.
_SHOWN = 40

Progress = Callable[[str], None]
Write = Callable[[Points], None]


@dataclass(slots=True)
class Report:
    """What a replay of [since, until), ns, found.

    Attributes:
        run: the name that the results were written under; None where they were not.
        inputs: usable and other values that were read; results: how many were computed.
        failures: by function, what it could not give.
    """

    since_ns: int
    until_ns: int
    run: str | None
    inputs: int
    results: int
    models: Sequence[ModelDifference]
    failures: dict[str, Failures]
    seconds: float

    @property
    def equal(self) -> bool:
        """Whether every result is the stored one, as far as tolerated."""
        return all(model.equal for model in self.models)

    def as_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "equal": self.equal,
            "from": iso(self.since_ns),
            "to": iso(self.until_ns),
            "run": self.run,
            "inputs": self.inputs,
            "results": self.results,
            "models": [model.as_json() for model in self.models],
            "failures": {
                name: {"count": failed.count, "error": failed.error}
                for name, failed in self.failures.items()
                if failed.count
            },
            "seconds": self.seconds,
        }

    def lines(self) -> list[str]:
        """The report for people."""
        lines = [
            f"window    {iso(self.since_ns)} to {iso(self.until_ns)}",
            f"replayed  {self.results} results of {self.inputs} values",
            f"run       {self.run}" if self.run else "run       none: nothing was written",
        ]
        lines += [
            f"apart     {failed.count} without a result, {name} {failed.error}"
            for name, failed in self.failures.items()
            if failed.count
        ]
        differing = [model for model in self.models if not model.equal]
        few = len(self.models) <= _SHOWN
        lines += _table(self.models if few else differing[:_SHOWN])
        if not few:
            more = len(differing) - _SHOWN
            left = f"{more} more differ, " if more > 0 else ""
            lines.append(f"… {left}{len(self.models) - len(differing)} are equal (--json has all)")
        verdict = "equal" if self.equal else f"{len(differing)} of {len(self.models)} differ"
        return [*lines, f"{'ok' if self.equal else 'DIFFERS':<9} {verdict} ({self.seconds:.1f} s)"]


def _table(models: Sequence[ModelDifference]) -> list[str]:
    heads = ["asset", "model", "compared", "only replayed", "only stored", "differing"]
    heads += ["max |d|", "mean |d|", "max |d|/|x|", "first difference"]
    rows = [heads]
    for one in models:
        counts = (one.compared, one.only_replayed, one.only_stored, one.differing)
        numbers = (one.max_abs, one.mean_abs, one.max_rel)
        rows.append(
            [
                one.asset,
                one.name,
                *map(str, counts),
                *("-" if number is None else f"{number:.6g}" for number in numbers),
                one.first or "-",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def replay(
    catalogue: Catalogue,
    store: Store,
    functions: Functions,
    since: int,
    until: int,
    *,
    tolerance: float = 0.0,
    run: str | None = None,
    write: Write = lambda _results: None,
    progress: Progress = lambda _text: None,
    piece_points: int = PIECE_POINTS,
) -> Report:
    """Compute every result in [since, until), ns, anew, hand it to `write`, and compare.

    Raises:
        FieldlineError: a function cannot be loaded; there is nothing to compare; InfluxDB refuses
            or does not answer.
    """
    begin = time.monotonic()
    reference = Reference(catalogue, store.latest_before(since), functions.load)
    comparison = Comparison(catalogue, tolerance)
    inputs = results = 0
    for a, b in spans(since, until, _points_per_second(catalogue), piece_points):
        done = (a - since) / max(1, until - since)
        progress(f"replaying, {100 * done:.0f} %{_left(time.monotonic() - begin, done)}")
        values = store.values(a, b).points
        replayed = reference.add(values)
        write(replayed)
        comparison.add(replayed, store.results(a, b).points)
        inputs += len(values)
        results += len(replayed)
    models = list(comparison.differences())
    if not results and not any(model.only_stored for model in models):
        raise FieldlineError(
            f"There is nothing to replay from {iso(since)} to {iso(until)}: no result can be"
            " computed, and none is stored. Look at the times, and whether all inputs have values"
            " (`fieldline where`)."
        )
    return Report(
        since,
        until,
        run,
        inputs,
        results,
        models,
        functions.failures,
        time.monotonic() - begin,
    )


def _left(passed: float, done: float) -> str:
    """How long it still takes; nothing before the first piece has told."""
    return f", about {passed / done - passed:.0f} s left" if done else ""


def _points_per_second(catalogue: Catalogue) -> float:
    """Values, and results at most, one per value of each input."""
    period = [variable.period_ms for variable in catalogue.variables]
    results = sum(1000 / period[index] for model in catalogue.models for index in model.inputs)
    return catalogue.values_per_second() + results
