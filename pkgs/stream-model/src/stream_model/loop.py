"""The engine of the stream library, set up for the models: its state, its metrics, its log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog
from fieldline.stream import Broker, Engine, Observer, Topics

from stream_model.metrics import Metrics
from stream_model.partition import ModelProcessor
from stream_model.plan import Plan
from stream_model.repairs import Rest
from stream_model.reports import Reports
from stream_model.step import FOR_EVER_NS, State
from stream_model.work import Recomputed, Report


class ModelObserver(Observer[Report]):
    """Counts and reports what has been committed.

    Args:
        progress: called after each round in which Kafka has answered.
        settled: called with the partitions each time that an assignment is worked on.
        clock: the wall clock, ns since 1970.
    """

    def __init__(
        self,
        metrics: Metrics,
        reports: Reports,
        *,
        progress: Callable[[], None] = lambda: None,
        settled: Callable[[frozenset[int]], None] = lambda _: None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._metrics = metrics
        self._reports = reports
        self._progress = progress
        self._settled = settled
        self._clock = clock

    def on_round(self) -> None:
        """See `Observer.on_round`."""
        self._progress()

    def on_settled(self, partitions: frozenset[int]) -> None:
        """See `Observer.on_settled`."""
        self._settled(partitions)

    def on_left(self, partition: int) -> None:
        """See `Observer.on_left`."""
        self._metrics.forget(partition)

    def on_committed(self, partition: int, reports: Sequence[Report], lag: int) -> None:
        """See `Observer.on_committed`."""
        now = self._clock()
        for work in reports:
            if isinstance(work, Recomputed):
                self._metrics.count_recomputed(partition, work)
                self._reports.report_recomputed(partition, work, now)
            else:
                self._metrics.count(partition, work)
                self._reports.report(partition, work, now)
        self._metrics.lag.labels(str(partition)).set(lag)

    def on_rebuilt(self, records: int) -> None:
        """See `Observer.on_rebuilt`."""
        self._metrics.replayed.inc(records)

    def on_lost(self, records: int) -> None:
        """See `Observer.on_lost`."""
        self._metrics.lost.inc(records)


def make_engine(
    broker: Broker,
    plan: Plan,
    topics: Topics,
    *,
    horizon_ns: int,
    lookback_ms: int,
    retention_ns: int = FOR_EVER_NS,
    observer: Observer[Report],
    log: structlog.stdlib.BoundLogger,
    clock: Callable[[], int] = time.time_ns,
    timer: Callable[[], float] = time.monotonic,
) -> Engine[Report]:
    """An engine for one session.

    Args:
        topics: its outputs are the results' and the dead letters' topic.
        horizon_ns: how late a value may come for the windows.
        lookback_ms: how far back the log is read for a state without a changelog, and at first
            for a recomputation.
        retention_ns: of the input, as declared.
        clock: the wall clock, ns since 1970.
        timer: seconds of a clock that is never set.
    """
    rest = Rest()
    return Engine(
        broker,
        lambda number: ModelProcessor(
            topics, number, State(plan, horizon_ns, retention_ns), lookback_ms, rest
        ),
        changelog=topics.changelog,
        lookback_ms=lookback_ms,
        observer=observer,
        log=log,
        clock=clock,
        timer=timer,
    )
