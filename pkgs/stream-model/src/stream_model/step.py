"""The step: values in, results out. No input or output, no clock, no Kafka.

Meaning of a result (docs: design, Records): result(asset, model, t) = f(latest usable value of each
input with source time ≤ t), one for each t at which an input changed, only when all inputs are
known. Whatever the order and the batches in which values arrive, the last result given for each
(asset, model, t) is this one, as long as no value comes later than the horizon (see `window`).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import NamedTuple

import numpy as np
from fieldline.messages import ModelResult, OpcValue

from stream_model.evaluate import evaluate
from stream_model.plan import UNUSED, Plan, TypePlan
from stream_model.window import Taken, Window

# A source time so far ahead of the wall clock is a broken clock, not a value.
FUTURE_NS = 3600 * 10**9
_BAD = 1 << 31


@dataclass(slots=True)
class State:
    """The state of one input partition.

    plan: what to compute; horizon_ns: how late a value may come; windows: asset → recent past.
    """

    plan: Plan
    horizon_ns: int
    windows: dict[str, Window] = field(default_factory=dict)

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
    asset's newest. partly: used, but results before the horizon that it changes are not given.
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
    partly: int = 0
    revisions: int = 0
    newest: int = 0
    model_errors: dict[str, tuple[int, str]] = field(default_factory=dict)
    given: dict[str, int] = field(default_factory=dict)
    touched: list[Window] = field(default_factory=list)


def step(state: State, batch: Sequence[OpcValue], now_ns: int) -> tuple[State, Outcome]:
    """Take a batch of values and give the results that are due.

    Args:
        state: changed in place, and given back.
        now_ns: the wall clock, ns since 1970 UTC; only to refuse source times far ahead of it.
    """
    outcome = Outcome()
    touched = outcome.touched = _absorb(state, batch, now_ns, outcome)
    _compute(touched, outcome)
    for window in touched:
        window.settle()
    return state, outcome


def replay(state: State, batch: Iterable[OpcValue], now_ns: int) -> State:
    """Take values whose results have been given before: the state is brought up, nothing else.

    Values are taken one by one, since it is not known in which batches they came: revisions then
    count at least as high as those that were given.
    """
    outcome = Outcome()
    for value in batch:
        for window in _absorb(state, (value,), now_ns, outcome):
            window.count_as_given()
    return state


def _absorb(state: State, batch: Sequence[OpcValue], now_ns: int, outcome: Outcome) -> list[Window]:
    """Store a batch's values; gives the windows in which something is pending."""
    windows = state.windows
    touched: list[Window] = []
    rejected = outcome.rejected
    latest = now_ns + FUTURE_NS
    used = 0
    for index, item in enumerate(batch):
        window = windows.get(item.asset) or state.window(item.asset)
        if window is None:
            rejected.append(Rejected(index, "unknown-asset"))
            continue
        variable = window.kind.variables.get(item.variable)
        if variable == UNUSED:
            outcome.unused += 1
            continue
        quality = item.quality
        value = item.value
        if variable is None:
            reason = "unknown-variable"
            if not item.variable:
                reason = "no-value" if quality is not None and quality < _BAD else "bad-quality"
            rejected.append(Rejected(index, reason))
            continue
        if quality is None or quality >= _BAD:
            rejected.append(Rejected(index, "bad-quality"))
            continue
        if type(value) is not float:
            number = _number(value)
            if number is None:
                rejected.append(Rejected(index, "no-number"))
                continue
            value = number
        time = item.time
        if not isfinite(value):
            rejected.append(Rejected(index, "not-finite"))
            continue
        if not 0 <= time <= latest:
            rejected.append(Rejected(index, "bad-timestamp"))
            continue
        before = window.newest
        taken = window.add(variable, time, value)
        if taken is Taken.USED or taken is Taken.USED_PARTLY:
            used += 1
            if time < before:
                outcome.late += 1
            if taken is Taken.USED_PARTLY:
                outcome.partly += 1
            if not window.touched:
                window.touched = True
                touched.append(window)
        elif taken is Taken.REPEATED:
            outcome.repeated += 1
        else:
            rejected.append(Rejected(index, "too-late"))
    outcome.used += used
    outcome.newest = max((window.newest for window in touched), default=0)
    return touched


def _number(value: object) -> float | None:
    """A value as a float, a boolean as 0 or 1; infinite if it is too large, None if no number."""
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
    return None


class _Events:
    """The events of one group over all assets of the type."""

    __slots__ = ("assets", "columns", "revisions", "ticks")

    def __init__(self, inputs: int) -> None:
        self.columns: list[array[float]] = [array("d") for _ in range(inputs)]
        self.assets: list[str] = []
        self.ticks: list[int] = []
        self.revisions: list[int] = []

    def matrix(self) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """The inputs, shape (events, inputs), in rows (C order), read-only.

        The order in memory is always the same, since it may decide in which order a model's
        sums are rounded: one event must give the same bits alone and in any batch.
        """
        matrix = np.empty((len(self.ticks), len(self.columns)))
        for number, column in enumerate(self.columns):
            matrix[:, number] = column
        matrix.setflags(write=False)
        return matrix


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
        matrix = here.matrix()
        revised = any(here.revisions)
        for model in kind.groups[group].models:
            evaluation = evaluate(model, matrix)
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
