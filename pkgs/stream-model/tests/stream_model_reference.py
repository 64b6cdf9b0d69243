"""An independent, naive computation of what the results must be, and small helpers for tests."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from math import inf

import numpy as np
from fieldline.messages import ModelResult, OpcValue
from fieldline.stream.memory import MemoryRecord
from stream_model.plan import BoundModel, Group, Plan, TypePlan
from stream_model.repairs import REVISION

SECOND = 10**9
START = 1_700_000_000 * SECOND
NOW = START + 1000 * SECOND

GOOD = 0


def weighted(inputs: np.ndarray) -> np.ndarray:
    """A model that tells its inputs apart, exact for small whole numbers."""
    return inputs @ np.array([100.0**k for k in range(inputs.shape[1])])


def make_type(
    models: Mapping[str, Sequence[str]], unused: Sequence[str] = (), function=weighted
) -> TypePlan:
    """A type plan of models → inputs."""
    used = sorted({name for inputs in models.values() for name in inputs})
    groups: dict[tuple[int, ...], list[BoundModel]] = {}
    for name, inputs in models.items():
        key = tuple(used.index(i) for i in inputs)
        groups.setdefault(key, []).append(BoundModel(name, function))
    return TypePlan(
        "type",
        {**{name: used.index(name) for name in used}, **dict.fromkeys(unused, -1)},
        tuple(Group(key, tuple(bound)) for key, bound in groups.items()),
        tuple(tuple(n for n, key in enumerate(groups) if v in key) for v in range(len(used))),
    )


MODELS = {"all": ("A", "B", "C"), "pair": ("B", "A"), "again": ("A", "B", "C"), "one": ("C",)}


def make_plan(assets: Iterable[str] = ("x", "y"), function=weighted) -> Plan:
    """Assets of one type with three used variables and one that no model takes."""
    kind = make_type(MODELS, ["Unused"], function)
    return Plan(dict.fromkeys(assets, kind))


def value(asset: str, variable: str, time: int, number: float = 1.0) -> OpcValue:
    """A good value."""
    return OpcValue(asset, variable, time, float(number), GOOD)


def records(values: Sequence[OpcValue], now: int = NOW) -> list[MemoryRecord]:
    """Records from which the values may have been read, as far as the step looks at them."""
    return [MemoryRecord(offset, now // 10**6, None, None) for offset in range(len(values))]


def reference(
    values: Iterable[OpcValue], models: Mapping[str, Sequence[str]] = MODELS
) -> dict[tuple[str, str, int], float]:
    """result(asset, model, t) by its definition; of one identity the last value holds."""
    known: dict[tuple[str, str], dict[int, float]] = {}
    for item in values:
        known.setdefault((item.asset, item.variable), {})[item.time] = float(item.value)
    results = {}
    for asset in {asset for asset, _ in known}:
        for model, inputs in models.items():
            series = [sorted(known.get((asset, name), {}).items()) for name in inputs]
            for time in {t for one in series for t, _ in one}:
                places = [bisect_right(one, (time, inf)) - 1 for one in series]
                if min(places) >= 0:
                    # `weighted`, written out; exact, since all of it is small whole numbers.
                    numbers = [one[place][1] for one, place in zip(series, places, strict=True)]
                    results[asset, model, time] = sum(v * 100.0**k for k, v in enumerate(numbers))
    return results


def final(results: Iterable[ModelResult]) -> dict[tuple[str, str, int], float]:
    """What a reader has in the end; asserts that revisions rise, those of windows one by one."""
    values: dict[tuple[str, str, int], float] = {}
    revisions: dict[tuple[str, str, int], int] = {}
    for result in results:
        key = (result.asset, result.name, result.timestamp)
        before = revisions.get(key, -1)
        assert result.revision == before + 1 or result.revision > max(before, REVISION), result
        revisions[key] = result.revision
        values[key] = result.value
    return values
