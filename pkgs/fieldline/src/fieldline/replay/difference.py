"""What a replay gives against what is stored: counts, and how far the numbers are apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fieldline.arguments import iso
from fieldline.verify.catalogue import Catalogue
from fieldline.verify.points import Floats, Ints, Points, positions, settled

# Later than any source time.
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class ModelDifference:
    """One model of one asset.

    Attributes:
        compared: results with the same time on both sides; only_replayed, only_stored: the others.
        differing: of the compared those that are further apart than tolerated.
        max_abs, mean_abs: |replayed - stored| over the compared, in the model's unit; None without.
        max_rel: the largest of it divided by the larger of both.
        first: ISO 8601, the first time at which both sides are not the same; None where they are.
    """

    asset: str
    name: str
    function: str
    compared: int
    only_replayed: int
    only_stored: int
    differing: int
    max_abs: float | None
    mean_abs: float | None
    max_rel: float | None
    first: str | None

    @property
    def equal(self) -> bool:
        """Whether both sides are the same, as far as tolerated."""
        return not (self.only_replayed or self.only_stored or self.differing)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "equal": self.equal}


class Comparison:
    """Compares one piece after the other; holds a few numbers per model.

    Args:
        tolerance: relative to the larger of both, up to which two results are the same.
    """

    def __init__(self, catalogue: Catalogue, tolerance: float) -> None:
        count = len(catalogue.models)
        self._models = catalogue.models
        self._tolerance = tolerance
        self._compared = np.zeros(count, np.int64)
        self._only_replayed = np.zeros(count, np.int64)
        self._only_stored = np.zeros(count, np.int64)
        self._differing = np.zeros(count, np.int64)
        self._max_abs = np.zeros(count)
        self._sum_abs = np.zeros(count)
        self._max_rel = np.zeros(count)
        self._first = np.full(count, _NEVER)

    def add(self, replayed: Points, stored: Points) -> None:
        """Compare the next piece; `replayed` as `Reference.add` gives it."""
        stored, _twice = settled(stored)
        place = positions(replayed, stored)
        only = replayed.where(place < 0)
        self._only_replayed += self._count(only)
        lost = stored.where(positions(stored, replayed) < 0)
        self._only_stored += self._count(lost)
        both, other = replayed.where(place >= 0), stored.where(place[place >= 0])
        apart = np.abs(both.value - other.value)
        relative = _relative(apart, both.value, other.value)
        self._compared += self._count(both)
        np.maximum.at(self._max_abs, both.series, apart)
        self._sum_abs += np.bincount(both.series, apart, minlength=len(self._models))
        np.maximum.at(self._max_rel, both.series, relative)
        # Written so that a NaN is a difference.
        different = both.where(~(relative <= self._tolerance))
        self._differing += self._count(different)
        for found in (only, lost, different):
            np.minimum.at(self._first, found.series, found.time)

    def _count(self, found: Points) -> Ints:
        return np.bincount(found.series, minlength=len(self._models))

    def differences(self) -> Iterator[ModelDifference]:
        """Each model, in the order of the site's assets."""
        for index, model in enumerate(self._models):
            compared, first = int(self._compared[index]), int(self._first[index])
            yield ModelDifference(
                model.asset,
                model.name,
                model.function,
                compared,
                int(self._only_replayed[index]),
                int(self._only_stored[index]),
                int(self._differing[index]),
                float(self._max_abs[index]) if compared else None,
                float(self._sum_abs[index]) / compared if compared else None,
                float(self._max_rel[index]) if compared else None,
                None if first == _NEVER else iso(first),
            )


def _relative(apart: Floats, one: Floats, other: Floats) -> Floats:
    """|one - other| divided by the larger of both; 0 where they are equal, be it 0."""
    larger = np.maximum(np.abs(one), np.abs(other))
    return np.divide(apart, larger, out=np.zeros(len(apart)), where=apart != 0)
