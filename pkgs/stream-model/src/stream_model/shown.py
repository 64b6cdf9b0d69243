"""What the service shows of itself at `GET /state`; see `fieldline.states.stream_model`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from fieldline import __version__
from fieldline.states import FailingModel, RefusedRecords, StreamModelState, encode_state


class Shown:
    """Keeps the last of each kind; written by the service, read by the HTTP server's threads.

    Args:
        clock: the wall clock, ns since 1970.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._partitions: list[int] = []
        self._waiting: tuple[str, int | None] = ("", None)
        # Replaced as a whole by each change, so that a reader never sees one half made.
        self._failing: dict[str, FailingModel] = {}
        self._refused: dict[str, RefusedRecords] = {}

    def waits(self, text: str) -> None:
        """The service cannot go on without what `text` names; empty: it works."""
        if text != self._waiting[0]:
            self._waiting = (text, self._clock() if text else None)

    def works_on(self, partitions: Iterable[int]) -> None:
        """An assignment is worked on."""
        self._partitions = sorted(partitions)

    def failed(self, model: str, error: str, now_ns: int) -> None:
        """A model's function has failed."""
        self._failing = {**self._failing, model: FailingModel(model, error, now_ns)}

    def recovered(self, model: str) -> None:
        """A model's function gives results again."""
        self._failing = {name: f for name, f in self._failing.items() if name != model}

    def refused(self, reason: str, records: int, now_ns: int) -> None:
        """Records were put into the dead-letter topic."""
        before = self._refused.get(reason)
        count = records + (before.records if before else 0)
        self._refused = {**self._refused, reason: RefusedRecords(reason, count, now_ns)}

    def state(self) -> StreamModelState:
        """How it is now."""
        text, since = self._waiting
        failing, refused = list(self._failing.values()), list(self._refused.values())
        return StreamModelState(__version__, self._partitions, text, since, failing, refused)

    def route(self, _rest: str, _query: str) -> tuple[int, str, Iterable[bytes]]:
        """The state as a route of `HttpServer`."""
        return 200, "application/json", [encode_state(self.state())]
