"""What came of the work on a partition, for metrics and log."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from stream_model.step import Outcome


@dataclass(slots=True)
class Work:
    """What came of some records of one partition.

    rejected: reason → count; example: reason → offset of the first one.
    seconds: what it took to decode, compute and encode. pending: repairs that are left.
    """

    records: int
    outcome: Outcome
    rejected: Counter[str] = field(default_factory=Counter)
    example: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    pending: int = 0


@dataclass(slots=True)
class Recomputed:
    """What a step of a recomputation gave.

    given: model → number of results; model_errors: model → results left out, and why. Models are
    named as TYPE.MODEL. unknown: asset, first and last source time of ticks whose results cannot be
    known any more. pending: repairs that are left. The rest is that of the whole recomputation,
    with the last step only: assets that it had, records read, and seconds.
    """

    given: Counter[str] = field(default_factory=Counter)
    model_errors: dict[str, tuple[int, str]] = field(default_factory=dict)
    unknown: list[tuple[str, int, int]] = field(default_factory=list)
    pending: int = 0
    ended: bool = False
    assets: int = 0
    records: int = 0
    seconds: float = 0.0


Report = Work | Recomputed
