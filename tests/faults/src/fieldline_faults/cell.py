"""One cell of the matrix: hurt the plant, wait until it is whole again, check."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from fieldline.errors import FieldlineError
from fieldline.verify.points import Ints, Points, no_points, positions
from fieldline.verify.reference import Reference
from fieldline.verify.rules import TOLERANCE

from .check import (
    Findings,
    Statuses,
    compare,
    compare_revisions,
    missing,
    unreadable,
    with_statuses,
)
from .evidence import Evidence, Watch, once
from .plant import Plant
from .topics import MODEL, OPC, Offsets

_POLL_S = 0.25
# What was published last may be on its way for so long, s, and then stands still for so long.
_TAIL_S, _STILL_S = 30.0, 4.0


@dataclass(frozen=True)
class Timing:
    """How long is waited, s: before the fault; for values to flow again; then for what is missing,
    before it counts as lost; and after that, for what comes later still."""

    before: float = 3.0
    flowing: float = 120.0
    missing: float = 90.0
    after: float = 3.0


@dataclass
class Outcome:
    """What became of a cell. Times are s after the fault's end, None where it never came."""

    flowing: float | None = None
    complete: float | None = None
    values: Findings = field(default_factory=Findings)
    results: Findings = field(default_factory=Findings)
    topic_opc: Findings = field(default_factory=Findings)
    topic_model: Findings = field(default_factory=Findings)
    evidence: Evidence = field(default_factory=lambda: Evidence(0.0))
    note: str = ""

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
    """What is published from some time on, and what has to be found of it.

    Args:
        whole: from the plant's begin on; else from now on.
    """

    def __init__(self, plant: Plant, *, whole: bool = False) -> None:
        self._plant = plant
        self._catalogue = plant.catalogue
        newest = plant.witness.newest()
        if not newest.all():
            raise FieldlineError(
                "Not every variable has been published: there is nothing to check."
            )
        self.begin: Offsets = {} if whole else plant.topics(lambda topics: topics.ends())
        self.since = plant.begin if whole else int(newest.max()) + 1
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
        try:
            return (
                missing(values, database.values(self.since, until).points),
                missing(results, database.results(self.since, until).points, TOLERANCE),
            )
        except FieldlineError:
            # InfluxDB cannot be asked just now.
            return values, results

    def check(self, until: int, watch: Watch) -> Outcome:
        """Compare all of [since, until) in all places; a place that cannot be read has nothing."""
        catalogue, database = self._catalogue, self._plant.database
        variables = [(v.asset, v.variable) for v in catalogue.variables]
        models = [(m.asset, m.name) for m in catalogue.models]
        values, results = self.published(until)
        outcome = Outcome()
        last = no_points()
        try:
            topics = self._plant.topics(lambda topics: topics.read(self.begin, self.since))
        except FieldlineError as error:
            outcome.topic_opc = unreadable(values, error)
            outcome.topic_model = unreadable(results, error)
            outcome.evidence = watch.evidence(*once(no_points(), np.empty(0, np.int64)))
        else:
            opc, model = topics[OPC], topics[MODEL]
            outcome.evidence = watch.evidence(*once(opc.points, opc.appended))
            found = opc.points.where(opc.points.time < until)
            outcome.topic_opc = compare(
                values, found, variables, undeclared=opc.undeclared, repeats=True
            )
            found = model.points.where(model.points.time < until)
            outcome.topic_model, last = compare_revisions(
                results, found, models, undeclared=model.undeclared
            )
        # In InfluxDB the revision has to be the last one that was committed.
        revisions = _revisions(results, last)
        results = with_statuses(results.series, results.time, results.value, revisions)
        try:
            stored, given = (
                read(self.since, until) for read in (database.values, database.results)
            )
        except FieldlineError as error:
            outcome.values, outcome.results = unreadable(values, error), unreadable(results, error)
        else:
            outcome.values = compare(values, stored.points, variables, undeclared=stored.undeclared)
            outcome.results = compare(
                results, given.points, models, undeclared=given.undeclared, tolerance=TOLERANCE
            )
        return outcome


def _revisions(results: Points, last: Points) -> Statuses:
    """The committed revision of each required result; 0 where none was committed."""
    place = positions(results, last)
    revision = np.zeros(len(results), np.int64)
    revision[place >= 0] = last.status[place[place >= 0]]
    return revision


def run(
    plant: Plant,
    hurt: Callable[[], str],
    timing: Timing,
    say: Callable[[str], None],
    *,
    whole: bool = False,
) -> Outcome:
    """Hurt a steady plant and see what becomes of it.

    Args:
        hurt: does the fault, and returns when it is over: what it noted.
        whole: everything since the plant's begin is checked.
    """
    window = Window(plant, whole=whole)
    with Watch(plant) as watch:
        time.sleep(timing.before)
        say("fault")
        note = hurt()
        ended = time.monotonic()
        marks = plant.witness.newest()
        say("waiting until it flows")
        flowing = _flowing(plant, marks, window.since, ended, ended + timing.flowing)
        complete = None
        if flowing is not None:
            say("waiting until nothing is missing")
            complete = _complete(plant, window, ended, time.monotonic() + timing.missing)
        time.sleep(timing.after)
    until = int(plant.witness.newest().max()) + 1
    say("checking")
    if flowing is not None:
        _tail(window, until)
    outcome = window.check(until, watch)
    outcome.flowing, outcome.complete, outcome.note = flowing, complete, note
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


def _tail(window: Window, until: int) -> None:
    """Wait for what was published last: until nothing is missing, or no more of it comes."""
    least, since = -1, time.monotonic()
    end = since + _TAIL_S
    while time.monotonic() < end:
        count = sum(len(points) for points in window.missing(until))
        if least < 0 or count < least:
            least, since = count, time.monotonic()
        if count == 0 or time.monotonic() - since > _STILL_S:
            return
        time.sleep(_POLL_S)
