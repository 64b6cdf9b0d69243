"""What is said about refused records and failing models: in the log at first and now and then.

A plant can refuse thousands of records a second; each is counted in the metrics and kept in the
dead-letter topic, so the log needs only say that it happens, why, and where to look.
"""

from __future__ import annotations

from collections import Counter

import structlog

from stream_model.partition import Work
from stream_model.shown import Shown

# One line a minute and reason; a model counts as recovered after a minute without a failure.
_PAUSE_NS = 60 * 10**9


class Reports:
    """Remembers what has been said; times are the wall clock's, ns.

    Args:
        shown: told of everything, also of what the log does not repeat.
    """

    def __init__(self, log: structlog.stdlib.BoundLogger, shown: Shown | None = None) -> None:
        self._log = log
        self._shown = shown or Shown()
        self._said: dict[str, int] = {}
        self._unsaid: Counter[str] = Counter()
        self._failing: dict[str, int] = {}

    def report(self, partition: int, work: Work, now_ns: int) -> None:
        """Say what is new about the work on some records of a partition."""
        for reason, number in work.rejected.items():
            self._unsaid[reason] += number
            self._shown.refused(reason, number, now_ns)
            said = self._said.get(reason)
            # A clock that was set back must not silence the log.
            if said is None or not 0 <= now_ns - said < _PAUSE_NS:
                self._said[reason] = now_ns
                self._log.warning(
                    "records refused; see the dead-letter topic",
                    reason=reason,
                    records=self._unsaid.pop(reason),
                    partition=partition,
                    offset=work.example[reason],
                )
        for model, (number, error) in work.outcome.model_errors.items():
            if model not in self._failing:
                self._log.error(
                    "model fails; its results are left out",
                    model=model,
                    results=number,
                    error=error,
                )
            self._failing[model] = now_ns
            self._shown.failed(model, error, now_ns)
        for model in work.outcome.given:
            failed = self._failing.get(model)
            if failed is not None and not 0 <= now_ns - failed < _PAUSE_NS:
                del self._failing[model]
                self._shown.recovered(model)
                self._log.info("model gives results again", model=model)
