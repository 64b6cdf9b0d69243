"""One cell of the matrix: hurt the plant, wait until it is whole again, check."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from fieldline.errors import FieldlineError
from fieldline.verify.points import Ints, Points
from fieldline.verify.reference import Reference
from fieldline.verify.rules import TOLERANCE

from .check import Findings, compare, compare_revisions, missing
from .plant import Plant
from .topics import MODEL, OPC

_POLL_S = 0.25
# What is published last may be on its way for so long without being missed.
_TAIL_S = 20.0


@dataclass(frozen=True)
class Timing:
    """How long is waited, s: before the fault, after the plant flows again, and for what is missing
    before it counts as lost."""

    before: float = 3.0
    after: float = 3.0
    patience: float = 90.0


@dataclass
class Outcome:
    """What became of a cell. Times are s after the fault's end, None where it never came."""

    flowing: float | None = None
    complete: float | None = None
    values: Findings = field(default_factory=Findings)
    results: Findings = field(default_factory=Findings)
    topic_opc: Findings = field(default_factory=Findings)
    topic_model: Findings = field(default_factory=Findings)

    @property
    def places(self) -> dict[str, Findings]:
        """Each place that was compared."""
        return {
            "values": self.values,
            "results": self.results,
            "topic opc": self.topic_opc,
            "topic model": self.topic_model,
        }


class Window:
    """What is published from `since` on, and what has to be found of it."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._catalogue = plant.catalogue
        newest = plant.witness.newest()
        if not newest.all():
            raise FieldlineError(
                "Not every variable has been published: there is nothing to check."
            )
        self.begin = plant.topics(lambda topics: topics.ends())
        self.since = int(newest.max()) + 1
        earlier = plant.witness.points(until=self.since)
        self._before = np.full(len(self._catalogue.variables), np.nan)
        # In the order of writing, so that the last one stays.
        self._before[earlier.series] = earlier.value

    def published(self, until: int | None = None) -> tuple[Points, Points]:
        """What the witness has with source times in [since, until), and the results of that."""
        values = self._plant.witness.points(self.since, until)
        return values, Reference(self._catalogue, self._before).add(values)

    def missing(self, until: int) -> tuple[Points, Points]:
        """The values and results that InfluxDB has not, or not as they have to be."""
        values, results = self.published(until)
        database = self._plant.database
        return (
            missing(values, database.values(self.since, until).points),
            missing(results, database.results(self.since, until).points, TOLERANCE),
        )

    def check(self, until: int) -> Outcome:
        """Compare all of [since, until) in all places."""
        catalogue, plant = self._catalogue, self._plant
        variables = [(v.asset, v.variable) for v in catalogue.variables]
        models = [(m.asset, m.name) for m in catalogue.models]
        values, results = self.published(until)
        stored = plant.database.values(self.since, until)
        given = plant.database.results(self.since, until)
        topics = plant.topics(lambda topics: topics.read(self.begin, self.since))
        outcome = Outcome()
        outcome.values = compare(values, stored.points, variables, undeclared=stored.undeclared)
        opc = topics[OPC].points
        opc = opc.where(opc.time < until)
        outcome.topic_opc = compare(
            values, opc, variables, undeclared=topics[OPC].undeclared, repeats=True
        )
        model = topics[MODEL].points
        model = model.where(model.time < until)
        outcome.topic_model, last = compare_revisions(
            results, model, models, undeclared=topics[MODEL].undeclared
        )
        # In InfluxDB the revision has to be the last one that was committed.
        place = Points(results.series, results.time, results.value, _revisions(results, last))
        outcome.results = compare(
            place, given.points, models, undeclared=given.undeclared, tolerance=TOLERANCE
        )
        return outcome


def _revisions(results: Points, last: Points) -> np.ndarray:  # type: ignore[type-arg]
    """The committed revision of each required result; 0 where none was committed."""
    from fieldline.verify.points import positions

    place = positions(results, last)
    revision = np.zeros(len(results), np.uint32)
    revision[place >= 0] = last.status[place[place >= 0]]
    return revision


def run(
    plant: Plant,
    hurt: Callable[[], None],
    timing: Timing,
    say: Callable[[str], None],
) -> Outcome:
    """Hurt a steady plant and see what becomes of it.

    Args:
        hurt: does the fault, and returns when it is over.
    """
    window = Window(plant)
    time.sleep(timing.before)
    say("fault")
    hurt()
    ended = time.monotonic()
    marks = plant.witness.newest()
    deadline = ended + timing.patience
    say("waiting until it flows")
    flowing = _flowing(plant, marks, window.since, ended, deadline)
    say("waiting until nothing is missing")
    complete = _complete(plant, window, ended, deadline) if flowing is not None else None
    time.sleep(timing.after)
    until = int(plant.witness.newest().max()) + 1
    say("checking")
    _tail(window, until, time.monotonic() + _TAIL_S if complete is not None else 0.0)
    outcome = window.check(until)
    outcome.flowing, outcome.complete = flowing, complete
    return outcome


def _flowing(plant: Plant, marks: Ints, since: int, ended: float, deadline: float) -> float | None:
    """When of each series something was stored that was published after the fault's end."""
    while time.monotonic() < deadline:
        if plant.stored_after(marks, since):
            return time.monotonic() - ended
        time.sleep(_POLL_S)
    return None


def _complete(plant: Plant, window: Window, ended: float, deadline: float) -> float | None:
    """When nothing was missing of what was published until now."""
    until = int(plant.witness.newest().max()) + 1
    while True:
        asked = time.monotonic()
        if not any(len(points) for points in window.missing(until)):
            return time.monotonic() - ended
        if time.monotonic() > deadline:
            return None
        # Reading all of it is work for the plant too.
        time.sleep(max(_POLL_S, time.monotonic() - asked))


def _tail(window: Window, until: int, deadline: float) -> None:
    """Wait for what was published last."""
    while any(len(points) for points in window.missing(until)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
