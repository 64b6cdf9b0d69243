"""Gaps in the record: periods in which a server that should have produced a value did not."""

from __future__ import annotations

import numpy as np

from fieldline.arguments import iso
from fieldline.verify.catalogue import Catalogue
from fieldline.verify.points import Ints, Points
from fieldline.verify.report import EXAMPLES, Gap, NotProduced

# How much later than its period a value may come: half the period, and not less than a busy
# machine takes now and then.
_JITTER_NS = 100_000_000


class Gaps:
    """Looks at one piece of the record after the other, in the order of time.

    Args:
        begin: the source time, ns, from which on each variable is looked at; shape (variables,).
    """

    def __init__(self, catalogue: Catalogue, begin: Ints) -> None:
        self.report = NotProduced()
        self._variables = catalogue.variables
        self._own = np.array([v.own for v in self._variables], bool)
        self._period = np.array([v.period_ms * 1_000_000 for v in self._variables], np.int64)
        self._longest = self._period + np.maximum(self._period // 2, _JITTER_NS)
        # The last entry of each variable: where its next gap would begin.
        self._last = begin.copy()

    def add(self, recorded: Points) -> None:
        """Look at the next piece of the record, sorted by series and time."""
        series, time = recorded.series, recorded.time
        if not len(series):
            return
        first = np.append(True, series[1:] != series[:-1])
        before = np.where(first, self._last[series], np.append(0, time[:-1]))
        self._find(series, before, time)
        last = np.append(first[1:], True)
        self._last[series[last]] = time[last]

    def end(self, until: int) -> None:
        """Look at what follows the last entries; nothing more is added."""
        every = np.arange(len(self._last))
        self._find(every, self._last, np.full(len(every), until, np.int64))

    def _find(self, series: Ints, begin: Ints, end: Ints) -> None:
        """Count the gaps of these spans without an entry."""
        # Compared like this since `begin` may be the latest time there is.
        found = np.flatnonzero(self._own[series] & (begin < end - self._longest[series]))
        series, begin, end = series[found], begin[found], end[found]
        period = self._period[series]
        missing = (end - begin + period // 2) // period - 1
        self.report.add(
            int(missing.sum()),
            [
                Gap(
                    {
                        "asset": self._variables[index].asset,
                        "variable": self._variables[index].variable,
                        "from": iso(a),
                        "to": iso(b),
                        "periods": count,
                    }
                )
                for index, a, b, count in zip(
                    series[:EXAMPLES].tolist(),
                    begin[:EXAMPLES].tolist(),
                    end[:EXAMPLES].tolist(),
                    missing[:EXAMPLES].tolist(),
                    strict=True,
                )
            ],
        )
