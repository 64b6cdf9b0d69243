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


def judge(item: OpcValue, variables: Mapping[str, int], arrived_ns: int) -> tuple[int, float] | str:
    """A value's variable, by its index in the plan, and its number; or a constant for counting.

    Args:
        variables: of the asset's type, as in `TypePlan`.
        arrived_ns: the record's own time. Not the wall clock's: a value that is read again must
            not be judged otherwise.
    """
    variable = variables.get(item.variable)
    if variable == UNUSED:
        return UNUSED_VARIABLE
    quality = item.quality
    if variable is None:
        if not item.variable:
            return "no-value" if quality is not None and quality < _BAD else "bad-quality"
        return "unknown-variable"
    if quality is None or quality >= _BAD:
        return "bad-quality"
    value = item.value
    if type(value) is not float:
        number = _number(value)
        if number is None:
            return "no-number"
        value = number
    if not isfinite(value):
        return "not-finite"
    if not 0 <= item.time <= arrived_ns + FUTURE_NS:
        return "bad-timestamp"
    return variable, value


def _number(value: object) -> float | None:
    """A value as a float, a boolean as 0 or 1; infinite if it is too large, None if no number."""
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
    return None
