"""A verification from end to end: wait until all has arrived, read both sides, compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from fieldline.verify.catalogue import Catalogue
from fieldline.verify.records import Records
from fieldline.verify.reference import Reference
from fieldline.verify.report import Report
from fieldline.verify.results import ResultComparison
from fieldline.verify.rules import is_required
from fieldline.verify.store import Store
from fieldline.verify.values import ValueComparison

# Points that are held at a time. A stretch is read from the servers at once, since a record comes
# in whole segments; a piece of it from InfluxDB. At 30 bytes per point a piece is some MB, a
# stretch some hundred.
_STRETCH_POINTS = 4_000_000
_PIECE_POINTS = 500_000

# How long a value may take from its source time to the record that is served: two flushes of
# opc-server's record, and its source may be late itself.
_RECORD_DELAY_NS = 1_000_000_000

_POLL_SECONDS = 0.2
_REPEAT_SECONDS = 1.0

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Window:
    """What is verified, [since, until) in ns, and until when what is missing may still arrive."""

    since: int
    until: int
    deadline: int


class Verification:
    """Compares a store with records.

    Args:
        now: the clock, ns; sleep: how to wait, s. Both are there for tests.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        store: Store,
        records: Records,
        *,
        now: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._catalogue = catalogue
        self._store = store
        self._records = records
        self._now = now
        self._sleep = sleep

    def run(self, window: Window, progress: Progress) -> Report:
        """Verify a window. What fails is looked at again until the deadline: a value may be on its
        way, and a result may be given again when a late input has arrived.

        Raises:
            ServiceError: InfluxDB or a server does not answer.
        """
        begin = time.monotonic()
        self._settle(window, progress)
        while True:
            report = self.compare(window.since, window.until, progress)
            if report.ok or self._now() >= window.deadline:
                report.seconds = time.monotonic() - begin
                return report
            progress("something does not hold yet, looking again")
            self._sleep(_REPEAT_SECONDS)

    def _settle(self, window: Window, progress: Progress) -> None:
        """Wait until the newest values and results of the window are there: a cheap question."""
        while self._now() < window.deadline:
            if self._now() >= window.until + _RECORD_DELAY_NS and self._arrived(window):
                return
            progress("waiting until everything has arrived")
            self._sleep(_POLL_SECONDS)

    def _arrived(self, window: Window) -> bool:
        variables = self._catalogue.variables
        # The newest value of each variable is not older than two of its periods.
        longest = max((v.period_ms for v in variables), default=0) * 2_000_000
        since = max(window.since, window.until - longest - _RECORD_DELAY_NS)
        recorded = self._records.values(since, window.until).points
        recorded = recorded.where(is_required(recorded))
        newest = np.zeros(len(variables), np.int64)
        np.maximum.at(newest, recorded.series, recorded.time)
        values, results = self._store.newest(window.since, window.until)
        if (values < newest).any():
            return False
        for result, model in zip(results.tolist(), self._catalogue.models, strict=True):
            inputs = values[list(model.inputs)]
            # An input without a value in the window may not be known at all: no result is due.
            if inputs.all() and result < inputs.max():
                return False
        return True

    def compare(self, since: int, until: int, progress: Progress) -> Report:
        """Compare once, as it is now.

        Raises:
            ServiceError: InfluxDB or a server does not answer.
        """
        catalogue = self._catalogue
        report = Report(since, until)
        # What is produced later than this may not be in the record that is read below.
        produced = min(until, self._now() - _RECORD_DELAY_NS)
        before = self._store.latest_before(since)
        values = ValueComparison(catalogue, self._records.begin(), since, ~np.isnan(before))
        results = ResultComparison(catalogue)
        report.values, report.models = values.report, results.report
        reference = Reference(catalogue, before)
        seen = np.zeros(len(catalogue.variables), bool)
        seen_results = np.zeros(len(catalogue.models), bool)
        rate = catalogue.values_per_second()
        for begin, end in spans(since, until, rate, _STRETCH_POINTS):
            progress("reading the servers' records")
            record = self._records.values(begin, end)
            report.undeclared_recorded += record.undeclared
            recorded = record.points
            for a, b in spans(begin, end, rate, _PIECE_POINTS):
                progress(f"comparing, {100 * (a - since) // max(1, until - since)} %")
                stored = self._store.values(a, b)
                given = self._store.results(a, b)
                seen[stored.points.series] = True
                seen_results[given.points.series] = True
                inside = (recorded.time >= a) & (recorded.time < b)
                values.add(recorded.where(inside), stored.points)
                values.add_unknown(stored.unknown)
                results.add(reference.add(stored.points), given.points)
                results.add_unknown(given.unknown)
        values.end(produced)
        report.without_points = [
            f"{catalogue.variables[i].asset}/{catalogue.variables[i].variable}"
            for i in np.flatnonzero(~seen).tolist()
        ] + [
            f"{catalogue.models[i].asset}/{catalogue.models[i].name}"
            for i in np.flatnonzero(~seen_results).tolist()
        ]
        report.not_verifiable = catalogue.foreign_servers()
        return report


def spans(since: int, until: int, per_second: float, most: int) -> Iterator[tuple[int, int]]:
    """Cut [since, until) into spans of equal length with about `most` points at most each."""
    expected = per_second * (until - since) / 1e9
    count = max(1, -(-int(expected) // most))
    length = -(-(until - since) // count)
    for begin in range(since, until, max(1, length)):
        yield begin, min(begin + length, until)
