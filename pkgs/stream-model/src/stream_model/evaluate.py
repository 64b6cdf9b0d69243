"""Calls a model's function on a batch of events, and survives what it does."""

from __future__ import annotations

from fieldline.models import Evaluation, Floats
from fieldline.models import evaluate as evaluate_function

from stream_model.plan import BoundModel

__all__ = ["Evaluation", "evaluate"]


def evaluate(model: BoundModel, events: Floats) -> Evaluation:
    """Apply a model to events of shape (events, inputs), read-only; see `fieldline.models`."""
    return evaluate_function(model.function, events)
