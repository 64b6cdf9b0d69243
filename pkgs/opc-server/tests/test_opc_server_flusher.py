"""Flushing: at the interval, in a thread, a last time at the end, and never an error that stops."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from opc_server import flusher as flusher_module
from opc_server.flusher import Flusher
from opc_server.metrics import Metrics

PATIENCE_S = 10


class Record:
    """A record whose flush waits for `go`; the first `failing` ones fail."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.synced = 0
        self.failing = 0

    def sync(self) -> None:
        self.begun.release()
        assert self.go.acquire(timeout=PATIENCE_S)
        self.synced += 1
        if self.synced <= self.failing:
            raise OSError(5, "Input/output error")

    def flush_ends(self) -> None:
        assert self.begun.acquire(timeout=PATIENCE_S)
        self.go.release()


@pytest.fixture
def record() -> Any:
    return Record()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def metric(metrics: Metrics, name: str) -> float:
    found = metrics.registry.get_sample_value(f"opc_server_record_flush_{name}")
    assert found is not None
    return found


def test_what_is_recorded_during_a_flush_has_a_flush_of_its_own(
    record: Any, metrics: Metrics
) -> None:
    flusher = Flusher(record, 0, metrics)
    flusher.start()
    flusher.recorded()
    assert record.begun.acquire(timeout=PATIENCE_S)
    flusher.recorded()  # The first flush may be past its values already.
    flusher.recorded()
    record.go.release()
    record.flush_ends()
    record.go.release()
    flusher.stop()
    assert record.synced == 3  # The third is the one at the end.
    assert metric(metrics, "seconds_count") == 3


def test_nothing_is_flushed_before_the_interval_but_at_the_end(
    record: Any, metrics: Metrics
) -> None:
    flusher = Flusher(record, 3_600_000, metrics)
    flusher.start()
    flusher.recorded()
    assert not record.begun.acquire(timeout=0.05)
    record.go.release()
    flusher.stop()
    assert record.synced == 1


def test_a_flush_that_fails_is_counted_and_the_next_one_is_tried(
    record: Any, metrics: Metrics
) -> None:
    record.failing = 2
    flusher = Flusher(record, 0, metrics)
    flusher.start()
    for _ in range(2):
        flusher.recorded()
        record.flush_ends()
    record.go.release()
    flusher.stop()
    assert metric(metrics, "errors_total") == 2
    assert metric(metrics, "seconds_count") == 3


def test_a_disk_that_hangs_does_not_keep_the_service(
    record: Any, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flusher_module, "LAST_S", 0.01)
    flusher = Flusher(record, 0, metrics)
    flusher.start()
    flusher.recorded()
    assert record.begun.acquire(timeout=PATIENCE_S)
    flusher.stop()
    assert record.synced == 0
    record.go.release(2)
