"""How a service has another unit restarted, and how often it may.

It has no right to: it writes a file, and systemd starts the one-shot that has (lib/restarter.nix).
"""

from __future__ import annotations

import time
from pathlib import Path

import structlog
from prometheus_client import Counter

from fieldline.states.restarts import Restarts


class Pauses:
    """When the next restart may come: each that did not help is followed by a longer pause.

    Times are elapsed ns, never less than before.
    """

    # The unit's start takes seconds, and what waits for it takes some, too.
    _PAUSES_NS = tuple(s * 10**9 for s in (30, 60, 120, 300, 900))
    _CURED_NS = 300 * 10**9

    def __init__(self) -> None:
        self._last: int | None = None
        self._in_row = 0

    def over(self, now_ns: int, *, ill: bool) -> bool:
        """Whether a restart may come now; to be asked at each look.

        Args:
            ill: something is wrong at all. Nothing for long enough, and the pause is short again.
        """
        if self._last is None:
            return True
        if not ill and now_ns - self._last > self._CURED_NS:
            self._in_row = 0
        place = min(max(self._in_row, 1), len(self._PAUSES_NS)) - 1
        return now_ns - self._last >= self._PAUSES_NS[place]

    def begin(self, now_ns: int) -> None:
        """A restart comes now."""
        self._last = now_ns
        self._in_row += 1


class Restarter:
    """Asks systemd for restarts of one unit.

    Args:
        unit: its name for people, such as Telegraf.
        path: the file that systemd watches; None where nobody restarts anything (a terminal).
        counter: of restarts, by reason.
    """

    def __init__(
        self, unit: str, path: Path | None, counter: Counter, log: structlog.stdlib.BoundLogger
    ) -> None:
        self._unit = unit
        self._path = path
        self._counter = counter
        self._log = log
        self.state = Restarts(0)

    def ask(self, code: str, reason: str) -> None:
        """Ask for one restart.

        Args:
            code: the reason for programs; reason: for people.
        """
        now = time.time_ns()
        self._counter.labels(reason=code).inc()
        self.state = Restarts(self.state.count + 1, now, reason)
        self._log.warning(f"restarting {self._unit}", cause=reason)
        if self._path is not None:
            try:
                self._path.write_text(f"{now} {reason}\n")
            except OSError as error:
                self._log.error(f"{self._unit} cannot be restarted", cause=str(error))
