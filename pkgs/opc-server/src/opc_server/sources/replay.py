"""Replay of a recording as if it happened now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fieldline.site import Replay

from opc_server.points import Point
from opc_server.sources.protocol import Deliver, Tick
from opc_server.sources.recording import load_recording
from opc_server.status import BAD_NO_DATA, UNCERTAIN_LAST_USABLE


class ReplaySource:
    """Gives at each tick the last recorded value at or before the replay's position.

    The position is the time since the server's start times the speed. A loop begins again one
    usual interval (the median) after the last row. Without loop, from one such interval after the
    last row on, each value is the last one with status UncertainLastUsableValue. Before a column's
    first value its status is BadNoDataAvailable.

    Args:
        points: of one period, each with a `Replay` of the same file, time column, speed and loop.
        directory: where the file is, beside `site.toml`.
    Raises:
        ServiceError: the recording is not usable.
    """

    def __init__(self, points: Sequence[Point], directory: Path) -> None:
        replays = [point.source for point in points if isinstance(point.source, Replay)]
        first = replays[0]
        self.indices = np.array([point.index for point in points], np.intp)
        recording = load_recording(
            directory / first.file, first.time_column, [replay.column for replay in replays]
        )
        self._time = recording.time_ns
        self._values = recording.values
        self._speed = first.speed
        self._loop = first.loop
        intervals = np.diff(self._time)
        usual = int(np.median(intervals[intervals > 0])) if (intervals > 0).any() else 0
        # A recording of one moment has no length: it stands still.
        self._length = int(self._time[-1]) + usual

    def sample(self, tick: Tick, deliver: Deliver) -> None:
        """Look up the position's row."""
        position = tick.elapsed_ns * self._speed
        ended = False
        if self._length and position >= self._length:
            if self._loop:
                position %= self._length
            else:
                ended = True
        row = int(np.searchsorted(self._time, position, side="right")) - 1
        values = self._values[row]
        good = UNCERTAIN_LAST_USABLE if ended else tick.good
        statuses = np.where(np.isnan(values), BAD_NO_DATA, good).astype(np.uint32)
        deliver(tick, self.indices, statuses, values)
