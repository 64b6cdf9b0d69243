"""Models: functions that make one value of several inputs, found by name.

A model is a function of a float64 array of shape (events, inputs) that gives an array of shape
(events,). Each row is one event: the values of the model's inputs, in their declared order, at one
source time. Rows are independent of each other and may come from several assets, so a batch over a
whole plant is one call. The array is read-only, and the function keeps nothing between calls.

A package of one's own adds models as entry points of the group `fieldline.models`:

    [project.entry-points."fieldline.models"]
    weighted-mean = "my_models:weighted_mean"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

import numpy as np
from numpy.typing import NDArray

from fieldline.errors import FieldlineError

GROUP = "fieldline.models"

Floats = NDArray[np.float64]
ModelFunction = Callable[[Floats], Floats]


def mean_absolute(inputs: Floats) -> Floats:
    """The mean of |inputs| of each event, in the inputs' own unit; finite for finite inputs."""
    absolute = np.abs(inputs)
    with np.errstate(over="ignore"):
        mean: Floats = absolute.mean(axis=1)
    overflowed = np.isinf(mean)
    if overflowed.any():
        # The sum was too large, the mean is not: divide first, where it is needed.
        mean[overflowed] = (absolute[overflowed] / inputs.shape[1]).sum(axis=1)
    return mean


def geometric_mean_absolute(inputs: Floats) -> Floats:
    """The n-th root of the product of |inputs| of each event (n inputs); 0 where any input is 0.

    The product itself may be far outside of float64's range, so mantissas are multiplied and
    exponents added, each for itself. At most 1,000 inputs, or the mantissas' product underflows.
    """
    count = inputs.shape[1]
    mantissas, exponents = np.frexp(np.abs(inputs))
    product = mantissas.prod(axis=1)
    whole, rest = np.divmod(exponents.sum(axis=1), count)
    scaled = np.ldexp(product, rest)
    root = np.power(scaled, 1 / count)
    # 1/n is rounded, and NumPy's own roots may be some units of the last place off (the cube root
    # of 64 is then 3.9999999999999996): one step of Newton's sets that right.
    slope = np.power(root, count - 1)
    with np.errstate(invalid="ignore"):
        np.subtract(root, (slope * root - scaled) / (count * slope), out=root, where=scaled > 0)
    result: Floats = np.ldexp(root, whole)
    return result


_BUILT_IN: dict[str, ModelFunction] = {
    "mean-absolute": mean_absolute,
    "geometric-mean-absolute": geometric_mean_absolute,
}


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def model_names() -> list[str]:
    """The names of all models that `load_model` can give, sorted."""
    return sorted({*_BUILT_IN, *_installed()})


def load_model(name: str) -> ModelFunction:
    """The model of that name; a built-in one is never replaced by a package's.

    Raises:
        FieldlineError: no such model is installed, or its package cannot be loaded.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    entry = _installed().get(name)
    if entry is None:
        raise FieldlineError(
            f'No model function "{name}" is installed. Installed are: {", ".join(model_names())}. '
            f"Name one of them in site.toml, or install the package that has it "
            f"(entry-point group {GROUP})."
        )
    try:
        function = entry.load()
    except Exception as error:  # a package may fail in any way while it is imported
        raise FieldlineError(
            f'The model function "{name}" ({entry.value}) cannot be loaded; repair or reinstall '
            f"the package that has it.",
            repr(error),
        ) from error
    if not callable(function):
        raise FieldlineError(
            f'The model function "{name}" ({entry.value}) is not a function; correct the entry '
            f"point of its package."
        )
    loaded: ModelFunction = function
    return loaded


@dataclass(frozen=True, slots=True)
class Evaluation:
    """values: one float per event, shape (events,); NaN where there is none. error: why not."""

    values: Floats
    failed: int
    error: str


def evaluate(function: ModelFunction, events: Floats) -> Evaluation:
    """Apply a model's function to events of shape (events, inputs), and survive what it does.

    A batch on which the function raises is halved until the events that it cannot take stand
    alone: what other assets sent must not decide whether a result is given.
    """
    count = len(events)
    try:
        # A model may divide by zero; the result is judged, not the way to it.
        with np.errstate(all="ignore"):
            values = np.asarray(function(events), dtype=np.float64)
    except Exception as error:  # a model is somebody's plug-in: it may raise anything
        if count > 1:
            half = count // 2
            first, second = evaluate(function, events[:half]), evaluate(function, events[half:])
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
