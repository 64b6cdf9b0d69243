"""Flushing: the disk holds the record at an interval, and a power cut costs no more than that."""

from __future__ import annotations

import threading
import time

import structlog
from fieldline.record import RecordWriter

from opc_server.metrics import Metrics

_log = structlog.get_logger("opc-server")

# What is left at the end is flushed, if that takes no longer: a service stops within 5 s.
LAST_S = 1.0


class Flusher:
    """Flushes what was recorded, in a thread of its own: a tick never waits for the disk.

    The thread is a daemon: a disk that hangs must not keep the service from stopping.

    Args:
        record: what is flushed.
        interval_ms: from the first value that is not flushed to its flush; 0 is after each tick,
            or as often as the disk can.
        metrics: what is counted.
    """

    def __init__(self, record: RecordWriter, interval_ms: int, metrics: Metrics) -> None:
        self._record = record
        self._interval_s = interval_ms / 1000
        self._metrics = metrics
        self._flushing = True
        self._waiting = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flush", daemon=True)

    def start(self) -> None:
        """Flush from now on."""
        self._thread.start()

    def recorded(self) -> None:
        """Values were recorded: they are flushed within the interval."""
        self._waiting.set()

    def stop(self) -> None:
        """Flush a last time, and end; waits for `LAST_S` at most."""
        self._stopping.set()
        self._waiting.set()
        if self._thread.is_alive():
            self._thread.join(LAST_S)

    def _run(self) -> None:
        last = False
        while not last:
            self._waiting.wait()
            self._stopping.wait(self._interval_s)
            # In this order: what is recorded, and a stop, during the flush is seen after it.
            self._waiting.clear()
            last = self._stopping.is_set()
            self._flush()

    def _flush(self) -> None:
        """Flush once; a disk that fails is said once, and counted."""
        begun = time.perf_counter()
        failure: OSError | None = None
        try:
            self._record.sync()
        except OSError as error:
            failure = error
            self._metrics.flush_errors.inc()
        self._metrics.flush_seconds.observe(time.perf_counter() - begun)
        if (failure is None) != self._flushing:
            self._flushing = failure is None
            if failure is None:
                _log.warning("the record is flushed again")
            else:
                _log.error(
                    "the record cannot be flushed: a power cut may cost all since the last flush",
                    cause=str(failure),
                )
