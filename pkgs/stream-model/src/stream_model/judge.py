"""Which values can be used, and why the others cannot; the same verdict whenever one is read."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from fieldline.messages import OpcValue

from stream_model.plan import UNUSED

# A source time so far ahead of the record's own time is a broken clock, not a value.
FUTURE_NS = 3600 * 10**9
NS_PER_MS = 10**6
# The verdict on a value that no model takes; all others are reasons of dead letters.
UNUSED_VARIABLE = "unused"
_BAD = 1 << 31


def judge(item: OpcValue, variables: Mapping[str, int], latest_ns: int) -> tuple[int, float] | str:
    """A value's variable, by its index in the plan, and its number; or a constant for counting.

    Args:
        variables: of the asset's type, as in `TypePlan`.
        latest_ns: source times after it are refused; see `latest`.
    """
    variable = variables.get(item.variable)
    if variable == UNUSED:
        return UNUSED_VARIABLE
    quality = item.quality
    good = quality is not None and quality < _BAD
    if variable is None:
        if item.variable:
            return "unknown-variable"
        return "no-value" if good else "bad-quality"
    if not good:
        return "bad-quality"
    number = _number(item.value)
    if number is None:
        return "no-number"
    if not isfinite(number):
        return "not-finite"
    if not 0 <= item.time <= latest_ns:
        return "bad-timestamp"
    return variable, number


def latest(arrived_ms: int) -> int:
    """The latest source time, ns, that a value may have whose record has this time of its own.

    It is not compared with the wall clock: a value that is read again must be judged as before.
    """
    return arrived_ms * NS_PER_MS + FUTURE_NS


def _number(value: object) -> float | None:
    """A value as a float, a boolean as 0 or 1; infinite if it is too large, None if no number."""
    if isinstance(value, float):
        return value
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
    return None
