"""Results of models in InfluxDB against what the stored inputs require."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fieldline.verify.catalogue import Catalogue
from fieldline.verify.points import Points, positions, settled
from fieldline.verify.report import EXAMPLES, Example, ModelReport
from fieldline.verify.rules import TOLERANCE
from fieldline.verify.store import Unknown
from fieldline.verify.values import examples


class ResultComparison:
    """Compares one piece of the window after the other."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.report = ModelReport()
        self._catalogue = catalogue

    def add(self, required: Points, stored: Points) -> None:
        """Compare the next piece; `required` as `Reference.add` gives it."""
        report = self.report
        stored, twice = settled(stored)
        report.stored_twice.add(len(twice), self._examples(twice, []))
        report.required += len(required)
        report.stored += len(stored)
        place = positions(required, stored)
        lost = required.where(place < 0)
        details = [f"should be {value!r}" for value in lost.value[:EXAMPLES].tolist()]
        report.missing.add(len(lost), self._examples(lost, details))
        self._compare(required.where(place >= 0), stored.where(place[place >= 0]))
        invented = stored.where(positions(stored, required) < 0)
        details = [f"value {value!r}" for value in invented.value[:EXAMPLES].tolist()]
        report.invented.add(len(invented), self._examples(invented, details))

    def add_unknown(self, unknown: Sequence[Unknown]) -> None:
        """Count stored series that no declared model has."""
        for series in unknown:
            example = examples([(series.asset, series.name)], [series.time], [series.detail])
            self.report.invented.add(series.count, example)

    def _compare(self, required: Points, stored: Points) -> None:
        """Two sets of the same length and the same identities."""
        largest = np.maximum(np.abs(required.value), np.abs(stored.value))
        # Written so that a stored NaN is wrong.
        right = np.abs(required.value - stored.value) <= TOLERANCE * largest
        self.report.matched += int(right.sum())
        wrong = required.where(~right)
        details = [
            f"should be {r!r}, stored {s!r}"
            for r, s in zip(
                wrong.value[:EXAMPLES].tolist(),
                stored.value[~right][:EXAMPLES].tolist(),
                strict=True,
            )
        ]
        self.report.wrong_value.add(len(wrong), self._examples(wrong, details))

    def _examples(self, found: Points, details: list[str]) -> list[Example]:
        models = [self._catalogue.models[i] for i in found.series[:EXAMPLES].tolist()]
        return examples([(m.asset, m.name) for m in models], found.time.tolist(), details)
