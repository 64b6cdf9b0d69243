"""The matrix: which fault is done to what, and what counts as held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch

from fieldline.errors import FieldlineError
from fieldline_lab.declaration import Declaration

from .cell import Outcome
from .deeds import Spans
from .evidence import WITNESS_ERRORS
from .faults import COMPLETE, KINDS, Kind
from .targets import Target


@dataclass(frozen=True)
class Cell:
    """One fault on one target."""

    kind: Kind
    target: Target

    @property
    def name(self) -> str:
        """Such as `kill telegraf@db`."""
        return f"{self.kind.name} {self.target.label}"

    def text(self, spans: Spans) -> str:
        """What is done, for people."""
        return self.kind.text.format(**asdict(spans))


def cells(declaration: Declaration) -> list[Cell]:
    """Every fault on everything that it applies to."""
    return [Cell(kind, target) for kind in KINDS for target in kind.targets(declaration)]


# Only `make faults` does these: a torn end held in most runs on lab hosts, and not in all.
OPEN = frozenset({"torn-end"})


def short(declaration: Declaration) -> list[Cell]:
    """Each kind once but the open ones, on the target that shows most; those that look back to the
    begin first, while there is little to look back to, and those that spoil the plant last."""
    chosen = [
        next(cell for cell in cells(declaration) if cell.name == f"{kind.name} {kind.telling}")
        for kind in KINDS
        if kind.name not in OPEN
    ]
    return sorted(chosen, key=lambda cell: (cell.kind.spoils, not cell.kind.whole))


def choose(all_cells: Sequence[Cell], patterns: Iterable[str]) -> list[Cell]:
    """The cells whose name is like one of the patterns (`kill*opc-server`), or all without any.

    Raises:
        FieldlineError: a pattern is like no name.
    """
    wanted = list(patterns)
    for pattern in wanted:
        if not any(fnmatch(cell.name, pattern) for cell in all_cells):
            raise FieldlineError(f"No cell is called {pattern!r}: `--list` shows their names.")
    return [c for c in all_cells if not wanted or any(fnmatch(c.name, p) for p in wanted)]


def missed(cell: Cell, outcome: Outcome) -> list[str]:
    """What did not hold, in words; empty where the cell holds."""
    found = []
    if outcome.evidence.counters.get(WITNESS_ERRORS):
        found.append("the witness could not be written, so that nothing is shown")
    if outcome.flowing is None:
        found.append("never flows again")
    elif outcome.flowing > cell.kind.flowing:
        found.append(f"flows after {outcome.flowing:.1f} s, bar {cell.kind.flowing:g} s")
    if outcome.complete is None:
        found.append("never complete")
    elif outcome.complete > COMPLETE:
        found.append(f"complete after {outcome.complete:.1f} s, bar {COMPLETE:g} s")
    for place, findings in outcome.places.items():
        words = {
            "lost": findings.lost,
            "wrong": findings.wrong,
            "of wrong quality or revision": findings.wrong_status,
            "doubled": findings.doubled,
            "invented": findings.invented,
            "out of order": findings.disordered,
        }
        found += [f"{place}: {count:,} {word}" for word, count in words.items() if count]
        if not findings.ok and not any(words.values()):
            found.append(f"{place}: nothing was required, so nothing is shown")
    return found
