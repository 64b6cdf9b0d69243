"""The service's Prometheus metrics."""

from __future__ import annotations

from contextlib import suppress

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from stream_model.work import Recomputed, Work

KINDS = ("used", "repeated", "unused", "rejected")


class Metrics:
    """Counts what has been delivered; nothing is counted before its results are acknowledged."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"stream_model_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"stream_model_{name}", text, labels, registry=registry)

        self.inputs = counter(
            "inputs", "Records of the input topic, by what became of them", "kind"
        )
        self.rejected = counter("rejected", "Records that could not be used, by reason", "reason")
        self.late = counter("late", "Values used, though older than their asset's newest")
        self.beyond = counter(
            "beyond_horizon", "Values used, so late that a recomputation gives what they change"
        )
        self.partly = counter(
            "beyond_retention", "Values used, but for the results before the topic's retention"
        )
        self.results = counter("results", "Results given, revisions included", "model")
        self.revisions = counter("revisions", "Results given again for the same source time")
        self.dead_letters = counter("dead_letters", "Records put into the dead-letter topic")
        self.model_errors = counter(
            "model_errors", "Results left out, as the model failed", "model"
        )
        self.recomputations = counter(
            "recomputations", "Recomputations that have come to their end"
        )
        self.recomputed = counter("recomputed_results", "Results given by recomputations")
        self.reread = counter("reread", "Records read again by recomputations")
        self.unknowable = counter(
            "not_recomputable", "Intervals of an asset whose results retention has made unknowable"
        )
        self.repairs = gauge(
            "repairs_pending", "Assets with late values that wait for a recomputation", "partition"
        )
        self.replayed = counter("replayed", "Records read again to rebuild the state")
        self.lost = counter("lost", "Records that retention removed before they were read")
        self.newest = gauge("newest_input_seconds", "Latest source time used, seconds since 1970")
        self.lag = gauge("lag_records", "Records behind the end of the partition", "partition")
        self.batch = Histogram(
            "stream_model_batch_records",
            "Records per partition and step",
            buckets=(1, 3, 10, 30, 100, 300, 1000, 3000, 10_000),
            registry=registry,
        )
        self.step_seconds = Histogram(
            "stream_model_step_seconds",
            "Time to decode, compute and encode one batch",
            buckets=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3),
            registry=registry,
        )
        self.recomputation_seconds = Histogram(
            "stream_model_recomputation_seconds",
            "Time from the begin of a recomputation to its end",
            buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000),
            registry=registry,
        )
        # All kinds are there from the start, so that a rate over them is never empty.
        for kind in KINDS:
            self.inputs.labels(kind)

    def forget(self, partition: int) -> None:
        """Show nothing of a partition that is somebody else's now."""
        for shown in (self.lag, self.repairs):
            with suppress(KeyError):
                shown.remove(str(partition))

    def count(self, partition: int, work: Work) -> None:
        """Count the work on one partition's records, once it is committed."""
        outcome = work.outcome
        for kind, number in zip(
            KINDS,
            (outcome.used, outcome.repeated, outcome.unused, work.rejected.total()),
            strict=True,
        ):
            self.inputs.labels(kind).inc(number)
        for reason, number in work.rejected.items():
            self.rejected.labels(reason).inc(number)
        self.late.inc(outcome.late)
        self.beyond.inc(outcome.beyond)
        self.partly.inc(outcome.partly)
        self.repairs.labels(str(partition)).set(work.pending)
        for model, number in outcome.given.items():
            self.results.labels(model).inc(number)
        self.revisions.inc(outcome.revisions)
        self.dead_letters.inc(work.rejected.total())
        for model, (number, _) in outcome.model_errors.items():
            self.model_errors.labels(model).inc(number)
        self.batch.observe(work.records)
        self.step_seconds.observe(work.seconds)
        if outcome.newest:
            self.newest.set(outcome.newest / 1e9)

    def count_recomputed(self, partition: int, work: Recomputed) -> None:
        """Count a part of a recomputation, once it is committed."""
        for model, number in work.given.items():
            self.results.labels(model).inc(number)
        self.recomputed.inc(work.given.total())
        for model, (number, _) in work.model_errors.items():
            self.model_errors.labels(model).inc(number)
        self.unknowable.inc(len(work.unknown))
        self.repairs.labels(str(partition)).set(work.pending)
        if work.ended:
            self.recomputations.inc()
            self.reread.inc(work.records)
            self.recomputation_seconds.observe(work.seconds)
