"""Calls a model's function on a batch of events, and survives what it does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from fieldline.models import Evaluation, Floats
from fieldline.models import evaluate as evaluate_function

from stream_model.plan import BoundModel

__all__ = ["Evaluation", "evaluate"]


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
    """Apply a model to events of shape (events, inputs), read-only; see `fieldline.models`."""
    return evaluate_function(model.function, events)
