"""Values in InfluxDB against the record: nothing missing, nothing changed, nothing invented."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fieldline.arguments import iso
from fieldline.verify.catalogue import Catalogue, DeclaredVariable
from fieldline.verify.gaps import Gaps
from fieldline.verify.points import Bools, Ints, Points, positions, settled
from fieldline.verify.report import EXAMPLES, Example, ValueReport
from fieldline.verify.rules import is_required
from fieldline.verify.store import Unknown

# A source time that no value has: later than every other one.
_NEVER = np.iinfo(np.int64).max


class ValueComparison:
    """Compares one piece of the window after the other, in the order of time.

    Args:
        record_begin: the source time, ns, from which on each variable's record is complete; shape
            (variables,).
        since: the window's begin, ns.
        collected: of which variables something is stored from before the window; shape
            (variables,).
    """

    def __init__(
        self, catalogue: Catalogue, record_begin: Ints, since: int, collected: Bools
    ) -> None:
        self._gaps = Gaps(catalogue, np.maximum(record_begin, since))
        self.report = ValueReport(not_produced=self._gaps.report)
        self._catalogue = catalogue
        self._record_begin = record_begin
        self._own = np.array([v.own for v in catalogue.variables], bool)
        # From when on each variable is collected. Where nothing is stored from before the window,
        # that is its first stored point: what was produced before the collector had subscribed is
        # not missing.
        self._first = np.where(collected, since, _NEVER)

    def add(self, recorded: Points, stored: Points) -> None:
        """Compare the next piece; both in any order, with all points of its span of time."""
        report = self.report
        # A server that gives one source time twice overwrites its own value, in InfluxDB too.
        recorded, _overwritten = settled(recorded)
        self._gaps.add(recorded)
        stored, twice = settled(stored.where(self._own[stored.series]))
        report.stored_twice.add(len(twice), self._examples(twice))
        if len(stored):
            np.minimum.at(self._first, stored.series, stored.time)
        place = positions(recorded, stored)
        found = place >= 0
        self._count(recorded, stored, found)
        self._compare(recorded.where(found), stored.where(place[found]))
        self._invented(stored, recorded)

    def end(self, until: int) -> None:
        """Look at what the record lacks after its last entries, up to `until`, ns."""
        self._gaps.end(until)

    def add_unknown(self, unknown: Sequence[Unknown]) -> None:
        """Count stored series that no declared variable has."""
        for series in unknown:
            example = examples([(series.asset, series.name)], [series.time], [series.detail])
            self.report.invented.add(series.count, example)

    def _count(self, recorded: Points, stored: Points, found: Bools) -> None:
        report = self.report
        required = is_required(recorded)
        before = required & (recorded.time < self._first[recorded.series])
        missing = required & ~before & ~found
        report.recorded += len(recorded)
        report.bad += int((~required).sum())
        report.before_collection += int(before.sum())
        report.required += int((required & ~before).sum())
        lost = recorded.where(np.flatnonzero(missing))
        details = [self._nearest(lost, i, stored) for i in range(min(EXAMPLES, len(lost)))]
        report.missing.add(len(lost), self._examples(lost, details))

    def _compare(self, recorded: Points, stored: Points) -> None:
        """Two sets of the same length and the same identities."""
        report = self.report
        required = is_required(recorded)
        wrong = required & (recorded.value != stored.value)
        report.matched += int((required & ~wrong).sum())
        details = [
            f"recorded {r!r}, stored {s!r}"
            for r, s in zip(
                recorded.value[wrong][:EXAMPLES].tolist(),
                stored.value[wrong][:EXAMPLES].tolist(),
                strict=True,
            )
        ]
        report.wrong_value.add(int(wrong.sum()), self._examples(recorded.where(wrong), details))
        other = recorded.status != stored.status
        details = [
            f"recorded 0x{r:X}, stored {'none' if s == 0xFFFFFFFF else f'0x{s:X}'}"
            for r, s in zip(
                recorded.status[other][:EXAMPLES].tolist(),
                stored.status[other][:EXAMPLES].tolist(),
                strict=True,
            )
        ]
        report.wrong_quality.add(int(other.sum()), self._examples(recorded.where(other), details))

    def _invented(self, stored: Points, recorded: Points) -> None:
        report = self.report
        unknown = positions(stored, recorded) < 0
        older = unknown & (stored.time < self._record_begin[stored.series])
        invented = stored.where(unknown & ~older)
        report.stored += len(stored)
        report.in_record += int((~unknown).sum())
        report.unverifiable += int(older.sum())
        details = [f"value {value!r}" for value in invented.value[:EXAMPLES].tolist()]
        report.invented.add(len(invented), self._examples(invented, details))

    def _nearest(self, lost: Points, index: int, stored: Points) -> str:
        """How far the nearest stored point is: a shifted time shows as a small number."""
        times = stored.time[stored.series == lost.series[index]]
        if not len(times):
            return ""
        distances = times - lost.time[index]
        nearest = int(distances[np.argmin(np.abs(distances))])
        return f"value {float(lost.value[index])!r}; the nearest stored is {nearest:+} ns away"

    def _examples(self, found: Points, details: list[str] | None = None) -> list[Example]:
        return examples(
            [(v.asset, v.variable) for v in self._names(found)], found.time.tolist(), details or []
        )

    def _names(self, found: Points) -> list[DeclaredVariable]:
        return [self._catalogue.variables[i] for i in found.series[:EXAMPLES].tolist()]


def examples(names: list[tuple[str, str]], times: list[int], details: list[str]) -> list[Example]:
    """Examples of the first few points."""
    padded = details + [""] * (len(names) - len(details))
    return [
        Example(asset, name, iso(time), time, detail)
        for (asset, name), time, detail in zip(names, times, padded, strict=False)
    ]
