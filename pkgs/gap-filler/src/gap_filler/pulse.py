"""Feeds the watchdog from the progress of all parts, so that one that hangs is not overlooked."""

from __future__ import annotations

import time
from collections.abc import Callable

from fieldline.service import Notifier

# The longest wait of a healthy part: a request to a server, its timeout, and a pause.
_LONGEST_S = 60.0


class Pulse:
    """Knows when each part has last made a step."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._steps: dict[str, float] = {}

    def of(self, part: str) -> Callable[[], None]:
        """What a part calls after each step."""
        self._steps[part] = time.monotonic()

        def beat() -> None:
            now = time.monotonic()
            self._steps[part] = now
            if now - min(self._steps.values()) < _LONGEST_S:
                self._notifier.progress()

        return beat
