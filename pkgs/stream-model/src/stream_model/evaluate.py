"""Calls a model's function on a batch of events, and survives what it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from fieldline.models import Floats

from stream_model.plan import BoundModel


@dataclass(frozen=True, slots=True)
class Evaluation:
    """values: one float per event, shape (events,); NaN where there is none. error: why not."""

    values: Floats
    failed: int
    error: str


def matrix(columns: Sequence[Sequence[float] | Floats]) -> Floats:
    """The events of these inputs, shape (events, inputs), in rows (C order), read-only.

    The order in memory is always the same, since it may decide in which order a model's sums are
    rounded: one event must give the same bits alone and in any batch.
    """
    rows = np.empty((len(columns[0]), len(columns)))
    for number, column in enumerate(columns):
        rows[:, number] = column
    rows.setflags(write=False)
    return rows


def evaluate(model: BoundModel, events: Floats) -> Evaluation:
    """Apply a model to events of shape (events, inputs), read-only.

    A batch on which the function raises is halved until the events that it cannot take stand
    alone: what other assets sent must not decide whether a result is given.
    """
    count = len(events)
    try:
        # A model may divide by zero; the result is judged, not the way to it.
        with np.errstate(all="ignore"):
            values = np.asarray(model.function(events), dtype=np.float64)
    except Exception as error:  # a model is somebody's plug-in: it may raise anything
        if count > 1:
            half = count // 2
            first, second = evaluate(model, events[:half]), evaluate(model, events[half:])
            return Evaluation(
                np.concatenate((first.values, second.values)),
                first.failed + second.failed,
                first.error or second.error,
            )
        return Evaluation(np.full(count, np.nan), count, f"raised {error!r}"[:500])
    if values.shape != (count,):
        wrong = f"gave shape {values.shape} for {count} events, expected ({count},)"
        return Evaluation(np.full(count, np.nan), count, wrong)
    failed = count - int(np.count_nonzero(np.isfinite(values)))
    return Evaluation(values, failed, f"gave {failed} values that are not finite" if failed else "")
