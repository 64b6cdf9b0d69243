"""What the log says about refused records and failing models: at first, and then now and then.

A plant can refuse thousands of records a second; each is counted in the metrics and kept in the
dead-letter topic, so the log needs only say that it happens, why, and where to look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import structlog

from stream_model.work import Recomputed, Work

# One line a minute and reason; a model counts as recovered after a minute without a failure.
_PAUSE_NS = 60 * 10**9
_EXAMPLES = 5


class Reports:
    """Remembers what has been said; times are the wall clock's, ns."""

    def __init__(self, log: structlog.stdlib.BoundLogger) -> None:
        self._log = log
        self._said: dict[str, int] = {}
        self._unsaid: Counter[str] = Counter()
        self._failing: dict[str, int] = {}
        # Of the recomputation under way, by partition.
        self._given: Counter[int] = Counter()
        self._unknown: dict[int, list[tuple[str, int, int]]] = {}

    def report(self, partition: int, work: Work, now_ns: int) -> None:
        """Say what is new about the work on some records of a partition."""
        for reason, number in work.rejected.items():
            self._unsaid[reason] += number
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
        self._judge_models(work.outcome.model_errors, work.outcome.given, now_ns)

    def report_recomputed(self, partition: int, work: Recomputed, now_ns: int) -> None:
        """Say what a part of a recomputation was about; most at its end."""
        self._judge_models(work.model_errors, {}, now_ns)
        self._given[partition] += work.given.total()
        self._unknown.setdefault(partition, []).extend(work.unknown)
        if not work.ended:
            return
        results, unknown = self._given.pop(partition), self._unknown.pop(partition)
        self._log.info(
            "late values recomputed",
            partition=partition,
            assets=work.assets,
            results=results,
            records_read=work.records,
            seconds=round(work.seconds, 1),
            left=work.pending,
        )
        if unknown:
            self._log.error(
                "results not recomputable: retention has removed records that they need; raise "
                "the topic's retention or fill holes sooner",
                partition=partition,
                intervals=len(unknown),
                examples=[
                    {"asset": asset, "first": _utc(first), "last": _utc(last)}
                    for asset, first, last in unknown[:_EXAMPLES]
                ],
            )

    def _judge_models(
        self, errors: Mapping[str, tuple[int, str]], given: Iterable[str], now_ns: int
    ) -> None:
        for model, (number, error) in errors.items():
            if model not in self._failing:
                self._log.error(
                    "model fails; its results are left out",
                    model=model,
                    results=number,
                    error=error,
                )
            self._failing[model] = now_ns
        for model in given:
            failed = self._failing.get(model)
            if failed is not None and not 0 <= now_ns - failed < _PAUSE_NS:
                del self._failing[model]
                self._log.info("model gives results again", model=model)


def _utc(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds")
