"""The step: values in, results out. No input or output, no clock, no Kafka.

Meaning of a result (docs: design, Records): result(asset, model, t) = f(latest usable value of each
input with source time ≤ t), one for each t at which an input changed, only when all inputs are
known. Whatever the order and the batches in which values arrive, the last result given for each
(asset, model, t) is this one; a value that comes later than the horizon (see `window`) marks what a
recomputation has to give (see `repairs`).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from operator import attrgetter
from typing import NamedTuple

from fieldline.messages import ModelResult, OpcValue
from fieldline.stream import Record

from stream_model.evaluate import evaluate, matrix
from stream_model.judge import NS_PER_MS, UNUSED_VARIABLE, judge, latest
from stream_model.plan import UNUSED, Plan, TypePlan
from stream_model.repairs import Repairs
from stream_model.window import Taken, Window

# Retention where it is not said: for ever.
FOR_EVER_NS = 1 << 63
_own_time = attrgetter("timestamp")


@dataclass(slots=True)
class State:
    """The state of one input partition.

    plan: what to compute; horizon_ns: how late a value may come for the windows; retention_ns: how
    late for a recomputation, after which its neighbours are gone from the log; windows: asset →
    recent past; repairs: what is left to recompute; now_ms: the last record's own time; again: the
    windows of which the next step gives results again, whatever it takes.
    """

    plan: Plan
    horizon_ns: int
    retention_ns: int = FOR_EVER_NS
    windows: dict[str, Window] = field(default_factory=dict)
    repairs: Repairs = field(default_factory=Repairs)
    now_ms: int = 0
    again: list[Window] = field(default_factory=list)

    def window(self, asset: str) -> Window | None:
        """The window of an asset, a new one if need be; None if it is not declared."""
        window = self.windows.get(asset)
        if window is None:
            kind = self.plan.assets.get(asset)
            if kind is None:
                return None
            window = self.windows[asset] = Window(asset, kind, self.horizon_ns)
        return window


class Rejected(NamedTuple):
    """A value that could not be used: its place in the batch, and why (a constant for counting)."""

    place: int
    reason: str


@dataclass(slots=True)
class Outcome:
    """What a step gives.

    results: in order of time for each asset and model.
    used, repeated, unused and rejected add up to the batch. late: used, though older than the
    asset's newest. beyond: of these, older than the horizon, so that a recomputation has to give
    what they change. partly: used, but nothing gives the oldest results that they change.
    given: model → number of results; model_errors: model → results left out, and why. Models are
    named as TYPE.MODEL here.
    newest: the latest source time used, ns; 0 if none. touched: the windows that have changed.
    """

    results: list[ModelResult] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    used: int = 0
    repeated: int = 0
    unused: int = 0
    late: int = 0
    beyond: int = 0
    partly: int = 0
    revisions: int = 0
    newest: int = 0
    model_errors: dict[str, tuple[int, str]] = field(default_factory=dict)
    given: dict[str, int] = field(default_factory=dict)
    touched: list[Window] = field(default_factory=list)


def step(
    state: State, batch: Sequence[OpcValue], records: Sequence[Record]
) -> tuple[State, Outcome]:
    """Take a batch of values and give the results that are due.

    Args:
        state: changed in place, and given back.
        records: the one that each value was read from; only their offsets and own times matter.
    """
    outcome = Outcome()
    touched = outcome.touched = [*state.again, *_absorb(state, batch, records, outcome)]
    state.again.clear()
    _compute(touched, outcome)
    for window in touched:
        window.settle()
    return state, outcome


def replay(state: State, batch: Sequence[OpcValue], records: Sequence[Record]) -> State:
    """Take values whose results have been given before: the state is brought up, nothing else.

    Values are taken one by one, since it is not known in which batches they came: revisions then
    count at least as high as those that were given.
    """
    outcome = Outcome()
    for value, record in zip(batch, records, strict=True):
        for window in _absorb(state, (value,), (record,), outcome):
            window.count_as_given()
    return state


def give_again(state: State, batch: Sequence[OpcValue], records: Sequence[Record]) -> None:
    """Have the results that these values have changed given again: they may be lost.

    The next step gives those that the window can give, a recomputation the others.

    Args:
        batch: values that the state knows; records: the one that each was read from.
    """
    for item, record in zip(batch, records, strict=True):
        window = state.windows.get(item.asset)
        if window is None:
            continue
        judged = judge(item, window.kind.variables, latest(record.timestamp))
        if isinstance(judged, str):
            continue
        if item.time < window.limit:
            _mark(state, window, item.time, record, Outcome())
        window.give_again(item.time)
        if not window.touched:
            window.touched = True
            state.again.append(window)


def _absorb(
    state: State, batch: Sequence[OpcValue], records: Sequence[Record], outcome: Outcome
) -> list[Window]:
    """Store a batch's values; gives the windows in which something is pending."""
    windows = state.windows
    touched: list[Window] = []
    rejected = outcome.rejected
    # Up to here a source time is nothing new, whichever record it stands in.
    usual = _usual(state, records)
    fully = Taken.USED
    used = 0
    for index, item in enumerate(batch):
        window = windows.get(item.asset) or state.window(item.asset)
        if window is None:
            rejected.append(Rejected(index, "unknown-asset"))
            continue
        variable = window.kind.variables.get(item.variable, UNUSED)
        value, time = item.value, item.time
        # Nearly all are good numbers of the usual time, and a call costs a tenth of the step.
        if (
            type(value) is not float
            or item.quality != 0
            or variable < 0
            or not 0 <= time <= usual
            or not isfinite(value)
        ):
            judged = judge(item, window.kind.variables, latest(records[index].timestamp))
            if isinstance(judged, str):
                if judged == UNUSED_VARIABLE:
                    outcome.unused += 1
                else:
                    rejected.append(Rejected(index, judged))
                continue
            variable, value = judged
            if time > usual:
                state.repairs.raise_lead(time - records[index].timestamp * NS_PER_MS)
                usual = _usual(state, records)
        before = window.newest
        taken = window.add(variable, time, value)
        if taken is not fully:
            if taken is Taken.REPEATED:
                outcome.repeated += 1
                continue
            marked = _mark(state, window, time, records[index], outcome)
            if taken is Taken.TOO_LATE:
                if marked:
                    used += 1
                    outcome.late += 1
                else:
                    rejected.append(Rejected(index, "too-late"))
                continue
            outcome.partly += not marked
        used += 1
        if time < before:
            outcome.late += 1
        if not window.touched:
            window.touched = True
            touched.append(window)
    outcome.used += used
    outcome.newest = max((window.newest for window in touched), default=0)
    return touched


def _usual(state: State, records: Sequence[Record]) -> int:
    """What none of these records' times is behind by more than was seen before, ns."""
    earliest = min(map(_own_time, records), default=0)
    return earliest * NS_PER_MS + state.repairs.ledger.lead


def _mark(state: State, window: Window, time: int, record: Record, outcome: Outcome) -> bool:
    """Have a recomputation give what a late value changes; False if it is too old for that."""
    if record.timestamp * NS_PER_MS - time > state.retention_ns:
        return False
    state.repairs.mark(window.name, time, window.limit, record.offset)
    outcome.beyond += 1
    return True


class _Events:
    """The events of one group over all assets of the type."""

    __slots__ = ("assets", "columns", "revisions", "ticks")

    def __init__(self, inputs: int) -> None:
        self.columns: list[array[float]] = [array("d") for _ in range(inputs)]
        self.assets: list[str] = []
        self.ticks: list[int] = []
        self.revisions: list[int] = []


def _compute(touched: Sequence[Window], outcome: Outcome) -> None:
    """Evaluate each group's models once, over all touched windows."""
    events: dict[tuple[TypePlan, int], _Events] = {}
    for window in touched:
        for group in range(len(window.pending)):
            ticks = window.due(group)
            if not ticks:
                continue
            key = (window.kind, group)
            here = events.get(key)
            if here is None:
                here = events[key] = _Events(len(window.kind.groups[group].inputs))
            window.extend(here.columns, group, ticks)
            here.ticks += ticks
            here.assets += [window.name] * len(ticks)
            here.revisions += window.revisions(group, ticks)
    for (kind, group), here in events.items():
        inputs = matrix(here.columns)
        revised = any(here.revisions)
        for model in kind.groups[group].models:
            evaluation = evaluate(model, inputs)
            name = model.name
            results = [
                ModelResult(name, value, time, asset, revision)
                for value, time, asset, revision in zip(
                    evaluation.values.tolist(), here.ticks, here.assets, here.revisions, strict=True
                )
            ]
            full_name = f"{kind.name}.{name}"
            if evaluation.failed:
                outcome.model_errors[full_name] = (evaluation.failed, evaluation.error)
                results = [result for result in results if isfinite(result.value)]
            outcome.given[full_name] = len(results)
            outcome.results += results
            if revised:
                outcome.revisions += sum(1 for result in results if result.revision)
