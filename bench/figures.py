"""What a benchmark is, and how its figures are read in a result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """A figure that leads.

    path: its place in the result, keys with dots between them; `*` stands for each item of a list
        or of a table.
    bar: what is to be reached, if there is such a thing; better: which direction is.
    """

    label: str
    path: str
    unit: str
    better: Literal["more", "less"]
    bar: float | None = None

    def values(self, result: object) -> list[float]:
        """All values at its place, in order; none where the result has no such place."""
        return list(_values(result, self.path.split(".")))

    def met(self, values: Sequence[float]) -> bool | None:
        """Whether each of these values reaches the bar; None without a bar or a value."""
        if self.bar is None or not values:
            return None
        if self.better == "more":
            return min(values) >= self.bar
        return max(values) <= self.bar


def _values(found: object, path: Sequence[str]) -> Iterator[float]:
    if not path:
        if isinstance(found, int | float) and not isinstance(found, bool):
            yield float(found)
        return
    key, rest = path[0], path[1:]
    if key == "*" and isinstance(found, list | Mapping):
        for item in found.values() if isinstance(found, Mapping) else found:
            yield from _values(item, rest)
    elif isinstance(found, Mapping) and key in found:
        yield from _values(found[key], rest)


@dataclass(frozen=True)
class Bench:
    """A benchmark.

    name: of its results; script: in this folder. about: method and caveats, for the page.
    minutes: what it takes on two cores, to tell who starts it.
    """

    name: str
    script: str
    about: str
    minutes: float
    figures: tuple[Figure, ...]
    arguments: tuple[str, ...] = ()
