"""Progress on a terminal, once something takes longer than a moment."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

# What is done sooner needs no progress; a flicker only disturbs.
_QUIET_SECONDS = 2.0


class TerminalProgress:
    """A status line on standard error, from the third second on; nothing where it is no terminal.

    A context manager, so that the line is gone when the result is printed.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._status: Status | None = None
        self._begin = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, text: str) -> None:
        """Tell what is done now."""
        passed = time.monotonic() - self._begin
        if passed < _QUIET_SECONDS or not self._console.is_terminal:
            return
        shown = f"{text} ({passed:.0f} s)"
        if self._status is None:
            self._status = self._console.status(shown)
            self._status.start()
        else:
            self._status.update(shown)
