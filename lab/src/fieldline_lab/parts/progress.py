"""How a build tells what it does: a live display on a terminal, lines of text anywhere else."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

LINE_SECONDS = 15.0


class Reporter(Protocol):
    """What `obtain` tells while it works."""

    def note(self, part: str, text: str) -> None:
        """Something happened that a person should know: waiting, damage, leftovers."""

    def begin(self, part: str, text: str, typical: tuple[int, int]) -> None:
        """A build starts; `typical` is how many seconds it takes, from and to."""

    def step(self, part: str, phase: str, fraction: float) -> None:
        """About twice a second: what is being done and how much is done, 0 to 1."""

    def end(self, part: str, text: str) -> None:
        """The build is over, well or not."""


def duration(seconds: float) -> str:
    """Seconds for people: `42 s`, `3 min 05 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def expected(typical: tuple[int, int]) -> str:
    """How long something takes, for people: `usually 70 s to 2 min`."""
    low, high = (f"{value} s" if value < 120 else f"{round(value / 60)} min" for value in typical)
    return f"usually {low}" if low == high else f"usually {low} to {high}"


class Silent:
    """Says nothing."""

    def note(self, part: str, text: str) -> None: ...
    def begin(self, part: str, text: str, typical: tuple[int, int]) -> None: ...
    def step(self, part: str, phase: str, fraction: float) -> None: ...
    def end(self, part: str, text: str) -> None: ...


class Lines:
    """A line at the start, about every 15 s, and at the end: for logs and pipes."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._started = clock()
        self._said = self._started

    def _say(self, part: str, text: str) -> None:
        self._said = self._clock()
        print(f"{part}: {text}", file=self._stream or sys.stderr, flush=True)

    def note(self, part: str, text: str) -> None:
        self._say(part, text)

    def begin(self, part: str, text: str, typical: tuple[int, int]) -> None:
        self._started = self._clock()
        self._say(part, f"{text}, {expected(typical)}")

    def step(self, part: str, phase: str, fraction: float) -> None:
        if self._clock() - self._said >= LINE_SECONDS:
            elapsed = duration(self._clock() - self._started)
            self._say(part, f"{phase}, {fraction:.0%}, {elapsed}")

    def end(self, part: str, text: str) -> None:
        self._say(part, f"{text} after {duration(self._clock() - self._started)}")


class Live(AbstractContextManager["Live"]):
    """A bar per build on a terminal. Use it in a `with` block, which gives the terminal back.

    Nothing is drawn before a build begins: with a warm cache there is nothing to see.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[part]}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.description}", style="dim", markup=False),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._usual: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def note(self, part: str, text: str) -> None:
        self._progress.console.print(f"{part}: {text}", markup=False, highlight=False)

    def begin(self, part: str, text: str, typical: tuple[int, int]) -> None:
        self._progress.start()
        self._usual[part] = expected(typical)
        self._tasks[part] = self._progress.add_task(
            f"{text}, {self._usual[part]}", total=1.0, part=part
        )

    def step(self, part: str, phase: str, fraction: float) -> None:
        self._progress.update(
            self._tasks[part], completed=fraction, description=f"{phase}, {self._usual[part]}"
        )

    def end(self, part: str, text: str) -> None:
        self._progress.update(self._tasks[part], description=text)
        self._progress.stop_task(self._tasks[part])


def automatic() -> Live | Lines:
    """The reporter that fits standard error."""
    console = Console(stderr=True)
    return Live(console) if console.is_terminal else Lines()
