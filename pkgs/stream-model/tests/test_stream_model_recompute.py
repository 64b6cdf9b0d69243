"""Recomputations, without the engine: whatever is late, the end is that of a batch over all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from fieldline.messages import ModelResult, OpcValue, decode_result
from fieldline.stream import Range, Topics
from fieldline.stream.memory import MemoryRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_model import recompute, repairs
from stream_model.partition import ModelProcessor
from stream_model.plan import Plan
from stream_model.recompute import Recomputation
from stream_model.repairs import REVISION
from stream_model.step import State
from stream_model.work import Recomputed
from stream_model_reference import SECOND, START, final, make_plan, reference, value
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

    def arrive(self, values: Sequence[OpcValue], ahead_ns: int = 0) -> None:
        """Take values; Kafka's clock is never before the one of the source, but for `ahead_ns`."""
        batch = []
        for item in values:
            before = self.log[-1].timestamp if self.log else 0
            arrived = max(before, (item.time - ahead_ns) // 10**6)
            batch.append(
                MemoryRecord(len(self.log), arrived, item.asset.encode(), telegraf(item))
            )
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


@pytest.fixture(params=[(5, 3, 4), (20, 100, 50), (10**6, 2000, 10_000)])
def sizes(request: pytest.FixtureRequest) -> tuple[int, int, int]:
    found: tuple[int, int, int] = request.param
    return found


def small(patch: pytest.MonkeyPatch, sizes: tuple[int, int, int]) -> None:
    """As if memory and transactions were so small."""
    for name, size in zip(("_MOST_VALUES", "_TICKS", "_RESULTS"), sizes, strict=True):
        patch.setattr(recompute, name, size)


identities = st.tuples(
    st.sampled_from("xy"), st.sampled_from("ABC"), st.integers(0, 60), st.integers(0, 9)
)


@settings(max_examples=200)
@given(
    drawn=st.lists(identities, max_size=60, unique_by=lambda i: i[:3]),
    data=st.data(),
    horizon=st.sampled_from([1, 10, 40]),
    sizes=st.sampled_from([(5, 3, 4), (20, 100, 50), (10**6, 2000, 10_000)]),
)
def test_any_order_with_any_recomputations_in_between(
    drawn: list[tuple[str, str, int, int]],
    data: st.DataObject,
    horizon: int,
    sizes: tuple[int, int, int],
) -> None:
    values = [value(a, v, START + 2 * t * SECOND, n) for a, v, t, n in drawn]
    values += data.draw(st.lists(st.sampled_from(values), max_size=10)) if values else []
    partition = Partition(horizon_ns=horizon * SECOND)
    place = 0
    with pytest.MonkeyPatch.context() as patch:
        small(patch, sizes)
        while place < len(values):
            count = data.draw(st.integers(1, 20))
            partition.arrive(values[place : place + count], data.draw(st.sampled_from([0, HOUR])))
            place += count
            if data.draw(st.booleans()):
                partition.recompute()
        reports = partition.recompute()
    assert final(partition.results) == reference(values)
    assert not any(report.unknown for report in reports)
    assert not partition.processor.owed()
