"""Models computed anew by the meaning of a result, as simply as it can be said.

result(asset, model, t) = f(latest usable value of each input with source time ≤ t), one for each t
at which an input changed, only when all inputs are known. It shares the models' functions with the
stream model, but none of the code that keeps state, batches or repairs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fieldline.models import ModelFunction, load_model
from fieldline.verify.catalogue import Catalogue
from fieldline.verify.points import Floats, Ints, Points, joined, points, settled
from fieldline.verify.rules import is_input


class Reference:
    """Gives the required results, one piece of the window after the other, in the order of time.

    Args:
        before: the last usable value of each variable before the window; shape (variables,), NaN
            where there is none.
        load: gives the function of a name.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        before: Floats,
        load: Callable[[str], ModelFunction] = load_model,
    ) -> None:
        self._catalogue = catalogue
        self._latest = before.copy()
        self._functions = {name: load(name) for name in {m.function for m in catalogue.models}}

    def add(self, stored: Points) -> Points:
        """The results required in this piece, `series` being the model's index.

        Args:
            stored: all stored values of the piece's span of time, in any order.
        """
        stored, _twice = settled(stored)
        usable = stored.where(is_input(stored))
        edges = np.searchsorted(usable.series, np.arange(len(self._catalogue.variables) + 1))
        rows: dict[tuple[str, int], list[tuple[int, Ints, Floats]]] = {}
        inputs_of: dict[tuple[int, ...], tuple[Ints, Floats]] = {}
        for index, model in enumerate(self._catalogue.models):
            # Models of one asset mostly share their inputs.
            if model.inputs not in inputs_of:
                inputs_of[model.inputs] = self._events(usable, edges, model.inputs)
            time, inputs = inputs_of[model.inputs]
            if len(time):
                key = (model.function, len(model.inputs))
                rows.setdefault(key, []).append((index, time, inputs))
        results = [self._results(function, parts) for (function, _), parts in rows.items()]
        last = edges[1:][edges[1:] > edges[:-1]] - 1
        self._latest[usable.series[last]] = usable.value[last]
        return settled(joined(results))[0]

    def _events(
        self, usable: Points, edges: Ints, variables: tuple[int, ...]
    ) -> tuple[Ints, Floats]:
        """The times at which an input changed, shape (events,), and the inputs then, shape
        (events, inputs), without the events at which an input was not known yet."""
        parts = [slice(edges[v], edges[v + 1]) for v in variables]
        time = np.unique(np.concatenate([usable.time[part] for part in parts]))
        inputs = np.empty((len(time), len(variables)))
        for column, (variable, part) in enumerate(zip(variables, parts, strict=True)):
            # How many of its values have a time ≤ t; 0: the latest is from before the piece.
            count = np.searchsorted(usable.time[part], time, side="right")
            values = np.append(self._latest[variable], usable.value[part])
            inputs[:, column] = values[count]
        known = ~np.isnan(inputs).any(axis=1)
        return time[known], inputs[known]

    def _results(self, function: str, parts: list[tuple[int, Ints, Floats]]) -> Points:
        values = self._functions[function](np.concatenate([inputs for _, _, inputs in parts]))
        series = np.concatenate([np.full(len(time), index) for index, time, _ in parts])
        result = points(series, np.concatenate([time for _, time, _ in parts]), values, None)
        # What is no number cannot be stored, so it cannot be required.
        return result.where(np.isfinite(result.value))
