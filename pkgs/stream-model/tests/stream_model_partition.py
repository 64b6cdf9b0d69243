"""A partition without the engine: its log, the state over it, and values that come late."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from fieldline.messages import ModelResult, OpcValue, decode_result
from fieldline.stream import Range, Topics
from fieldline.stream.memory import MemoryRecord
from stream_model import recompute
from stream_model.partition import ModelProcessor
from stream_model.plan import Plan
from stream_model.recompute import Recomputation
from stream_model.repairs import REVISION
from stream_model.step import State
from stream_model.work import Recomputed
from stream_model_reference import SECOND, START, make_plan, value
from stream_model_run import telegraf

TOPICS = Topics("group", "opc", "state", ("model", "dead"))
HOUR = 3600 * SECOND


class Partition:
    """A log, the state over it, and all that was given."""

    def __init__(
        self, plan: Plan | None = None, horizon_ns: int = 10 * SECOND, lookback_ms: int = 1000
    ) -> None:
        self.log: list[MemoryRecord] = []
        self.first = 0
        self.state = State(plan or make_plan(), horizon_ns)
        self.processor = ModelProcessor(TOPICS, 0, self.state, lookback_ms)
        self.results: list[ModelResult] = []
        self.values: list[OpcValue] = []
        self.read = 0
        self.now = 0.0

    def arrive(self, values: Sequence[OpcValue], ahead_ns: int = 0, at_ns: int = 0) -> None:
        """Take values, at a time by Kafka's clock.

        Without one, it is never before the source's, but for `ahead_ns`.
        """
        batch = []
        for item in values:
            before = self.log[-1].timestamp if self.log else 0
            arrived = max(before, (at_ns or item.time - ahead_ns) // 10**6)
            batch.append(MemoryRecord(len(self.log), arrived, item.asset.encode(), telegraf(item)))
            self.log.append(batch[-1])
        self.values += values
        self.give(self.processor.step(batch, 1).outputs)

    def give(self, outputs) -> list[ModelResult]:
        found = [decode_result(raw) for _, raw, _ in outputs.get("model", ())]
        self.results += found
        return found

    def begin(self) -> Recomputation | None:
        """The recomputation that is due once nothing has come for a long time."""
        for _ in range(2):
            self.now += 10_000
            found = self.processor.rereading(len(self.log), self.now)
            if found is not None:
                return found
        return None

    def run(self, work: Recomputation) -> Iterator[Recomputed]:
        """Go on with it, as the engine does: from here to the next step."""
        for piece in work.run():
            if isinstance(piece, Range):
                start = piece.start
                if start is None:
                    times = [record.timestamp >= piece.since_ms for record in self.log]
                    start = times.index(True) if True in times else len(self.log)
                start = min(max(start, self.first), piece.end)
                for place in range(start, piece.end, 7):
                    work.take(self.log[place : min(place + 7, piece.end)])
                self.read += piece.end - start
                work.taken(start, self.first)
            elif piece is not None:
                self.give(piece.outputs)
                assert isinstance(piece.report, Recomputed)
                yield piece.report

    def recompute(self) -> list[Recomputed]:
        """Do all that is due."""
        reports: list[Recomputed] = []
        for _ in range(100):
            work = self.begin()
            if work is None:
                return reports
            reports += self.run(work)
        pytest.fail("it recomputes for ever")


def small(patch: pytest.MonkeyPatch, sizes: tuple[int, int, int]) -> None:
    """As if memory and transactions were so small."""
    for name, size in zip(("_MOST_VALUES", "_CELLS", "_RESULTS"), sizes, strict=True):
        patch.setattr(recompute, name, size)


def minutes(
    assets: str, start: int, count: int, every: str = "AAAAB", step: float = 0.5
) -> list[OpcValue]:
    """Values in order of time, one each half second of each asset; the first are of all inputs."""
    values = []
    for n in range(start, start + count):
        for asset in assets:
            variable = "ABC"[n] if n < 3 else every[n % len(every)]
            values.append(value(asset, variable, START + int(n * step * SECOND), n % 97))
    return values


def with_hole(assets: str, first: int, last: int, count: int) -> tuple[list[OpcValue], ...]:
    """Values without those of a hole, and those of the hole."""
    values = minutes(assets, 0, count)
    hole = [v for v in values if first <= (v.time - START) // SECOND < last]
    return [v for v in values if v not in hole], hole


def given_again(partition: Partition) -> list[ModelResult]:
    return [r for r in partition.results if r.revision >= REVISION]
