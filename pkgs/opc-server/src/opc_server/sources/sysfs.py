"""Sensors that Linux shows as files: IIO, 1-wire, hwmon.

A file is read in a thread, since some take long (a 1-wire thermometer converts for 750 ms); its
value belongs to the tick at which the reading began. A reading that does not come back leaves its
thread behind and makes the variable Bad; the others go on.
"""

from __future__ import annotations

import asyncio
import glob
import math
import os
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from fieldline.site import Sysfs

from opc_server.points import Point
from opc_server.sources.protocol import Deliver, Tick
from opc_server.status import (
    BAD_CONFIGURATION,
    BAD_NO_COMMUNICATION,
    BAD_SENSOR_FAILURE,
    GOOD,
)

_log = structlog.get_logger("opc-server")

# Sensors on one bus wait for each other in the kernel anyway.
MOST_THREADS = 32
# A reading that takes three periods, and at least this, is taken as lost; the record's format
# relies on the upper bound (fieldline.record.format.LATENESS_NS).
LOST_NS = 5_000_000_000
LOST_AT_MOST_NS = 30_000_000_000


class SysfsFile:
    """One sensor's file, found by a path or a pattern.

    Of a pattern's matches the first in sorted order is taken; it is looked for anew after each
    failure, since a device that is plugged in again may have another number.
    """

    def __init__(self, source: Sysfs) -> None:
        self._source = source
        self._found: str | None = None

    def read(self) -> tuple[int, float]:
        """Read it once: OPC UA status, and the value in the variable's unit, NaN where Bad."""
        try:
            if self._found is None:
                self._found = self._find()
            # Unbuffered, and never waiting where the path leads to a pipe by mistake.
            file = os.open(self._found, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                text = os.read(file, 4096)
            finally:
                os.close(file)
            value = float(text) * self._source.scale + self._source.offset
        except (FileNotFoundError, NotADirectoryError):
            status = BAD_NO_COMMUNICATION
        except (PermissionError, IsADirectoryError):
            status = BAD_CONFIGURATION
        except (OSError, ValueError):
            status = BAD_SENSOR_FAILURE
        else:
            if math.isfinite(value):
                return GOOD, value
            status = BAD_SENSOR_FAILURE
        self._found = None
        return status, math.nan

    def _find(self) -> str:
        path = self._source.path
        if not glob.has_magic(path):
            return path
        matches = sorted(glob.glob(path))
        if not matches:
            raise FileNotFoundError(path)
        return matches[0]


class Readers:
    """Threads that read files, as many as there are sensors, up to `MOST_THREADS`.

    They are daemons: one that hangs in a driver must not keep the service from stopping.
    """

    def __init__(self, sensors: int) -> None:
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        for number in range(min(sensors, MOST_THREADS)):
            threading.Thread(target=self._run, name=f"sysfs-{number}", daemon=True).start()

    def submit(self, work: Callable[[], None]) -> None:
        """Have some thread do `work`, which does not raise."""
        self._work.put(work)

    def _run(self) -> None:
        while True:
            self._work.get()()


@dataclass(slots=True)
class _Reading:
    """A reading under way; `given_up` where its value is no longer waited for."""

    tick: Tick
    given_up: bool = False


class SysfsSource:
    """Reads sensors at each tick; a sensor that is still being read is passed over.

    Args:
        points: of one period, each with a `Sysfs`.
        readers: threads to read in.
        on_failure: told of each failed or lost reading, and of each tick passed over.
    Attributes:
        read_once: set when no reading is under way for the first time.
    """

    def __init__(
        self, points: Sequence[Point], readers: Readers, on_failure: Callable[[], None]
    ) -> None:
        self.indices = np.array([point.index for point in points], np.intp)
        self._points = list(points)
        sensors = [point.source for point in points if isinstance(point.source, Sysfs)]
        self._files = [SysfsFile(sensor) for sensor in sensors]
        self._readings: list[_Reading | None] = [None] * len(points)
        self._statuses = [GOOD] * len(points)
        self._readers = readers
        self._on_failure = on_failure
        self.read_once = asyncio.Event()

    def sample(self, tick: Tick, deliver: Deliver) -> None:
        """Begin a reading of each sensor; deliver Bad for those whose reading is lost."""
        patience = min(max(LOST_NS, 3 * tick.period_ns), LOST_AT_MOST_NS)
        for place, reading in enumerate(self._readings):
            if reading is None:
                self._begin(place, tick, deliver)
            else:
                self._on_failure()
                if tick.elapsed_ns - reading.tick.elapsed_ns >= patience:
                    self._lose(place, reading, tick, deliver)

    def give_up(self, tick: Tick, deliver: Deliver) -> None:
        """Deliver Bad for each sensor whose reading is under way, and drop what it gives."""
        for place, reading in enumerate(self._readings):
            if reading is not None and not reading.given_up:
                self._on_failure()
                self._lose(place, reading, tick, deliver)

    def _begin(self, place: int, tick: Tick, deliver: Deliver) -> None:
        loop = asyncio.get_running_loop()
        file = self._files[place]
        self._readings[place] = _Reading(tick)

        def work() -> None:
            result = file.read()
            try:
                loop.call_soon_threadsafe(self._done, place, deliver, *result)
            except RuntimeError:
                pass  # The loop has ended meanwhile, and the service with it.

        self._readers.submit(work)

    def _done(self, place: int, deliver: Deliver, status: int, value: float) -> None:
        reading = self._readings[place]
        self._readings[place] = None
        if not any(self._readings):
            self.read_once.set()
        if reading is None or reading.given_up:
            return
        if status != GOOD:
            self._on_failure()
        self._give(place, reading.tick, deliver, status, value)

    def _lose(self, place: int, reading: _Reading, tick: Tick, deliver: Deliver) -> None:
        reading.given_up = True
        self._give(place, tick, deliver, BAD_NO_COMMUNICATION, math.nan)

    def _give(self, place: int, tick: Tick, deliver: Deliver, status: int, value: float) -> None:
        if status != self._statuses[place]:
            self._statuses[place] = status
            point = self._points[place]
            event = "sensor works again" if status == GOOD else "sensor fails"
            _log.warning(
                event, asset=point.asset, variable=point.variable, status=f"0x{status:08X}"
            )
        code = tick.good if status == GOOD else status
        deliver(
            tick,
            self.indices[place : place + 1],
            np.array([code], np.uint32),
            np.array([value], np.float64),
        )
