"""How the lab tells what it does: a live line on a terminal, plain lines anywhere else."""

import sys
import time
from contextlib import AbstractContextManager, suppress
from typing import Self, TextIO, cast

from rich.console import Console
from rich.status import Status

LINE_SECONDS = 5.0


class _StandardError:
    """Standard error that may go away: a terminal that was closed must not stop a clean-up."""

    def __init__(self) -> None:
        # Within another live line, what is behind its stand-in.
        self._file: TextIO | None = getattr(sys.stderr, "rich_proxied_file", sys.stderr)
        self.encoding = self._file.encoding if self._file else "utf-8"

    def isatty(self) -> bool:
        return self._file is not None and self._file.isatty()

    def write(self, text: str) -> int:
        with suppress(OSError):
            if self._file:
                self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            if self._file:
                self._file.flush()


class Progress(AbstractContextManager["Progress"]):
    """Says what happens, to standard error, as long as there is one."""

    def __init__(self, quiet: bool = False) -> None:
        self._file = cast(TextIO, _StandardError())
        self._console = Console(file=self._file, highlight=False)
        self._quiet = quiet
        self._status: Status | None = None
        self._said = ""
        self._when = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._quiet:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()
            self._status = None

    def note(self, text: str) -> None:
        """Something that stays on the screen."""
        if not self._quiet:
            self._console.print(text, markup=False, soft_wrap=True)

    def now(self, text: str) -> None:
        """What is going on; told again only when it has changed."""
        if self._quiet or text == self._said:
            return
        if self._status:
            self._status.update(text)
        elif time.monotonic() - self._when < LINE_SECONDS:
            return
        else:
            print(text, file=self._file, flush=True)
        self._said, self._when = text, time.monotonic()
