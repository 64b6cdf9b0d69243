"""The check: what was published against what is found, with no allowance for anything.

Whatever the witness holds has to be found once, with its source time, its value and its quality,
and nothing else may be found. `fieldline verify` allows for values of bad quality, from before a
collection and older than the record; here the plant has none of these, so they would be losses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from fieldline.arguments import iso
from fieldline.errors import FieldlineError
from fieldline.verify.points import Bools, Floats, Ints, Points, positions, settled
from fieldline.verify.rules import TOLERANCE
from numpy.typing import NDArray

# Enough to see a pattern, few enough to keep.
EXAMPLES = 3

Names = Sequence[tuple[str, str]]
Statuses = NDArray[np.int64]


@dataclass(slots=True)
class Findings:
    """One place compared with what has to be there.

    required = right + lost + wrong + wrong_status, each identity counted once.

    Attributes:
        lost: not there. wrong: there with another value. wrong_status: with the right value, but
            another quality, or for a result another revision.
        doubled: there more than once: in InfluxDB an identity, in the topic `model` an identity
            with its revision. invented: there, and never published.
        disordered: in the topic `model` a revision that came after a higher one.
        repeats: equal ones of an identity where these are allowed, which they are in `opc`.
    """

    required: int = 0
    right: int = 0
    lost: int = 0
    wrong: int = 0
    wrong_status: int = 0
    doubled: int = 0
    invented: int = 0
    disordered: int = 0
    repeats: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything is as it has to be; what is not required at all shows nothing."""
        faults = (self.lost, self.wrong, self.wrong_status)
        others = (self.doubled, self.invented, self.disordered)
        return not any((*faults, *others)) and self.required == self.right > 0

    def as_json(self) -> dict[str, Any]:
        """Only what is not 0."""
        return {key: value for key, value in asdict(self).items() if value}

    def as_counts(self) -> dict[str, int]:
        """What is wrong, and how often."""
        told = ("required", "right", "examples")
        return {key: value for key, value in self.as_json().items() if key not in told}


def with_statuses(series: Ints, time: Ints, value: Floats, status: Statuses) -> Points:
    """Points whose statuses may be revisions: those of a recomputation are above 2**32."""
    return Points(series, time, value, status)  # type: ignore[arg-type] # nothing here needs less


def missing(required: Points, found: Points, tolerance: float = 0.0) -> Points:
    """The required points that are not found as they have to be; statuses are not looked at."""
    sorted_found, _twice = settled(found)
    place = positions(required, sorted_found)
    given = np.full(len(required), np.nan)
    given[place >= 0] = sorted_found.value[place[place >= 0]]
    return required.where(~_equal(required.value, given, tolerance))


def compare(
    required: Points,
    found: Points,
    names: Names,
    *,
    undeclared: int = 0,
    tolerance: float = 0.0,
    statuses: bool = True,
    repeats: bool = False,
) -> Findings:
    """Compare all that has to be in a place with all that is there.

    Args:
        names: (asset, variable or model) of each series, for examples.
        undeclared: how many points there are of series that nobody declared.
        tolerance: relative difference up to which values are equal.
        statuses: whether these have to be equal.
        repeats: equal points of one identity are allowed. Each of them has to be right.
    """
    findings = Findings(required=len(required), invented=undeclared)
    note = _Notes(findings, names)
    expected, repeated = settled(required)
    # A witness that says two things of one identity can't be held against anything.
    findings.wrong += len(repeated)
    note("published twice", repeated)
    kept, overwritten = settled(found)
    if repeats:
        findings.repeats = len(overwritten)
        # All of them, so that a wrong one is not hidden behind a right one.
        kept = found
    else:
        findings.doubled = len(overwritten)
        note("doubled", overwritten)
    place = positions(kept, expected)
    invented = kept.where(place < 0)
    findings.invented += len(invented)
    note("invented", invented)
    known, its = kept.where(place >= 0), place[place >= 0]
    equal = _equal(expected.value[its], known.value, tolerance)
    same = equal if not statuses else equal & (expected.status[its] == known.status)
    there, wrong, other = (np.zeros(len(expected), bool) for _ in range(3))
    there[its] = True
    wrong[its[~equal]] = True
    other[its[equal & ~same]] = True
    other &= ~wrong
    lost = expected.where(~there)
    findings.lost = len(lost)
    findings.wrong += int(wrong.sum())
    findings.wrong_status = int(other.sum())
    findings.right = int((there & ~wrong & ~other).sum())
    note("lost", lost)
    note("wrong", expected.where(wrong), lambda p: f"should be {float(p.value[0])!r}")
    note("wrong status", expected.where(other), lambda p: f"should be 0x{int(p.status[0]):X}")
    return findings


def unreadable(required: Points, error: FieldlineError) -> Findings:
    """The findings of a place that cannot be read: whatever has to be there is lost."""
    return Findings(required=len(required), lost=len(required), examples=[str(error)])


def compare_revisions(
    required: Points, given: Points, names: Names, *, undeclared: int = 0
) -> tuple[Findings, Points]:
    """Compare the topic `model`, `given` in the order of each partition's offsets with the revision
    as status, with the required results; and what holds of each identity: its last record."""
    last, earlier = settled(given)
    findings = compare(
        required, last, names, undeclared=undeclared, tolerance=TOLERANCE, statuses=False
    )
    note = _Notes(findings, names)
    order = np.lexsort((given.time, given.series))  # stable: offsets keep their order
    ordered = given.where(order)
    if len(earlier):
        same = (ordered.series[1:] == ordered.series[:-1]) & (ordered.time[1:] == ordered.time[:-1])
        step = ordered.status[1:].astype(np.int64) - ordered.status[:-1].astype(np.int64)
        fallen = np.flatnonzero(same & (step < 0)) + 1
        findings.disordered = len(fallen)
        note("revision after a higher one", ordered.where(fallen))
    doubled = _repeated(ordered)
    findings.doubled = len(doubled)
    note("revision twice", doubled)
    return findings, last


def _repeated(ordered: Points) -> Points:
    """What has the same identity and the same revision as another one, but for one of each."""
    by = np.lexsort((ordered.status, ordered.time, ordered.series))
    sorted_points = ordered.where(by)
    again = np.zeros(len(sorted_points), bool)
    again[1:] = (
        (sorted_points.series[1:] == sorted_points.series[:-1])
        & (sorted_points.time[1:] == sorted_points.time[:-1])
        & (sorted_points.status[1:] == sorted_points.status[:-1])
    )
    return sorted_points.where(again)


def _equal(expected: Floats, given: Floats, tolerance: float) -> Bools:
    """Which values are equal; NaN equals nothing, so that a missing value is never right."""
    if not tolerance:
        exact: Bools = expected == given
        return exact
    largest = np.maximum(np.abs(expected), np.abs(given))
    near: Bools = np.abs(expected - given) <= tolerance * largest
    return near


class _Notes:
    """Adds examples to findings."""

    def __init__(self, findings: Findings, names: Names) -> None:
        self._findings = findings
        self._names = names

    def __call__(
        self, what: str, points: Points, detail: Callable[[Points], str] = lambda _: ""
    ) -> None:
        for i in range(min(EXAMPLES, len(points))):
            one = points.where(np.array([i]))
            asset, name = self._names[int(one.series[0])]
            text = f"{what}: {asset} {name} {iso(int(one.time[0]))} {detail(one)}"
            self._findings.examples.append(text.rstrip())
