"""The tick: one time for all that is due, record before publishing, no drift, no burst."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fieldline.record import RecordVariable, RecordWriter, read_directory
from opc_server import engine as engine_module
from opc_server.engine import Engine
from opc_server.metrics import Metrics
from opc_server.publisher import Batch
from opc_server.status import BAD_SENSOR_FAILURE, GOOD, UNCERTAIN

pytestmark = pytest.mark.asyncio
MS = 1_000_000
SECOND = 1_000_000_000


class Published:
    """A publisher that keeps what it is given; `held` are periods that are never done."""

    def __init__(self, record: Path) -> None:
        self.batches: list[Batch] = []
        self.held: set[int] = set()
        self.oldest: int | None = None
        self._record = record

    def busy(self, period_ns: int) -> bool:
        return period_ns in self.held

    def oldest_ns(self) -> int | None:
        return self.oldest

    def put(self, batch: Batch) -> None:
        recorded = read_directory(self._record)
        at = recorded.time == batch.tick.time_ns
        # What is published is on disk already.
        assert set(batch.indices.tolist()) <= set(recorded.variable[at].tolist())
        self.batches.append(batch)

    async def drain(self) -> None:
        return


@pytest.fixture
def published(tmp_path: Path) -> Published:
    return Published(tmp_path)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def make_engine(
    tmp_path: Path, clock: Any, published: Published, metrics: Metrics
) -> Callable[..., Engine]:
    def make(
        sources: dict[int, list[Any]],
        synchronized: Any = lambda: True,
        witness: Path | None = None,
    ) -> Engine:
        variables = [RecordVariable("a", str(index), f"ns=2;i={index}") for index in range(4)]
        record = RecordWriter(tmp_path, variables, 86_400_000)
        clock.end_ns = clock.now + 3600 * SECOND
        second = witness and RecordWriter(witness, variables, 86_400_000)
        return Engine(sources, record, published, clock, synchronized, metrics, second)  # type: ignore[arg-type]

    return make


def metric(metrics: Metrics, name: str) -> float:
    found = metrics.registry.get_sample_value(f"opc_server_{name}")
    assert found is not None
    return found


async def run(engine: Engine, clock: Any, end: type[Exception], seconds: float) -> None:
    await engine.first()
    clock.end_ns = clock.now + round(seconds * SECOND)
    with pytest.raises(end):
        await engine.run()


async def test_after_a_thousand_periods_the_schedule_is_not_off_by_one(
    make_engine: Any, make_source: Any, clock: Any, clock_end: Any, metrics: Metrics
) -> None:
    source, chance = make_source(), random.Random(3)
    # Each tick comes up to 0.9 periods late; were that added up, 450 periods would be lost.
    clock.late = lambda: chance.randrange(90 * MS)
    await run(make_engine({100 * MS: [source]}), clock, clock_end, 100.09)
    ticks = source.ticks
    assert len(ticks) == 1001
    assert all(0 <= tick.elapsed_ns - n * 100 * MS < 100 * MS for n, tick in enumerate(ticks))
    assert metric(metrics, "overruns_total") == 0


async def test_late_ticks_are_skipped_and_counted_not_made_up_for(
    make_engine: Any, make_source: Any, clock: Any, clock_end: Any, metrics: Metrics
) -> None:
    source = make_source()
    delays = iter([0, 350 * MS, 0])
    clock.late = lambda: next(delays, 0)
    await run(make_engine({100 * MS: [source]}), clock, clock_end, 1.0)
    at = [tick.elapsed_ns // MS for tick in source.ticks]
    assert at == [0, 100, 550, 600, 700, 800, 900, 1000]
    assert metric(metrics, "overruns_total") == 3
    assert metric(metrics, "lateness_max_seconds") == pytest.approx(0.35)


async def test_a_period_not_yet_published_is_skipped_alone(
    make_engine: Any, make_source: Any, clock: Any, clock_end: Any, metrics: Metrics, published: Any
) -> None:
    slow, fast = make_source(0), make_source(1)
    published.held = {200 * MS}
    await run(make_engine({200 * MS: [slow], 100 * MS: [fast]}), clock, clock_end, 1.0)
    assert (len(slow.ticks), len(fast.ticks)) == (1, 11)
    assert metric(metrics, "overruns_total") == 5


async def test_what_is_due_together_shares_one_time_and_one_write(
    make_engine: Any, make_source: Any, clock: Any, clock_end: Any, tmp_path: Path
) -> None:
    sources = [make_source(0), make_source(1), make_source(2)]
    plan = {200 * MS: [sources[0]], 2 * SECOND: [sources[1]], 8 * SECOND: [sources[2]]}
    await run(make_engine(plan), clock, clock_end, 8.0)
    times, counts = np.unique(read_directory(tmp_path).time, return_counts=True)
    assert len(times) == 41
    assert counts.tolist() == [3] + [1] * 9 + [2] + [1] * 9 + [2] + [1] * 9 + [2] + [1] * 9 + [3]


async def test_values_are_recorded_before_they_are_published(
    make_engine: Any, make_source: Any, clock: Any, clock_end: Any, published: Published
) -> None:
    sources = {SECOND: [make_source(0), make_source(1, BAD_SENSOR_FAILURE)]}
    await run(make_engine(sources), clock, clock_end, 5.0)
    assert len(published.batches) == 6  # `put` has looked into the record at each.
    assert published.batches[-1].statuses.tolist() == [GOOD, BAD_SENSOR_FAILURE]


async def test_the_disk_holds_the_witness_before_values_are_published(
    make_engine: Any,
    make_source: Any,
    clock: Any,
    clock_end: Any,
    published: Published,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    synced: list[int] = []
    real = os.fdatasync

    def sync(file: int) -> None:
        real(file)
        synced.append(os.fstat(file).st_size)

    monkeypatch.setattr("fieldline.record.writer.os.fdatasync", sync)
    witness = tmp_path / "witness"
    seen: list[bool] = []
    real_put = published.put

    def put(batch: Batch) -> None:
        (segment,) = witness.iterdir()
        seen.append(synced[-1] == segment.stat().st_size)
        assert read_directory(witness).time[-1] == batch.tick.time_ns
        real_put(batch)

    monkeypatch.setattr(published, "put", put)
    engine = make_engine({SECOND: [make_source(0)]}, witness=witness)
    await run(engine, clock, clock_end, 5.0)
    assert seen == [True] * 6


async def test_a_witness_that_fails_is_counted_and_stops_nothing(
    make_engine: Any,
    make_source: Any,
    clock: Any,
    clock_end: Any,
    published: Published,
    metrics: Metrics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("fieldline.record.writer.os.fdatasync", refuse)
    engine = make_engine({SECOND: [make_source(0)]}, witness=tmp_path / "witness")
    await run(engine, clock, clock_end, 5.0)
    assert len(published.batches) == 6
    assert metric(metrics, "witness_errors_total") == 6


async def test_values_are_uncertain_until_time_is_synchronised(
    make_engine: Any, make_source: Any, clock: Any, clock_end: Any, published: Any, tmp_path: Path
) -> None:
    begin = clock.now
    good, bad = make_source(0), make_source(1, BAD_SENSOR_FAILURE)
    engine = make_engine({SECOND: [good, bad]}, lambda: clock.now - begin >= 3 * SECOND)
    await run(engine, clock, clock_end, 5.0)
    statuses = [batch.statuses.tolist() for batch in published.batches]
    assert statuses == [[UNCERTAIN, BAD_SENSOR_FAILURE]] * 3 + [[GOOD, BAD_SENSOR_FAILURE]] * 3
    assert read_directory(tmp_path).status.reshape(-1, 2).tolist() == statuses


async def test_a_clock_set_back_is_counted_and_makes_values_uncertain(
    make_engine: Any, make_source: Any, clock: Any, clock_end: Any, published: Any, metrics: Metrics
) -> None:
    leap = iter([0, 0, 1])

    def late() -> int:
        clock.wall_offset -= next(leap, 0) * 2 * SECOND
        return 0

    clock.late = late
    await run(make_engine({SECOND: [make_source()]}), clock, clock_end, 10.0)
    times = [batch.tick.time_ns for batch in published.batches]
    assert times == sorted(set(times))
    statuses = [int(batch.statuses[0]) for batch in published.batches]
    assert statuses == [GOOD] * 3 + [UNCERTAIN] * 3 + [GOOD] * 5
    back = metrics.registry.get_sample_value("opc_server_clock_leaps_total", {"direction": "back"})
    assert back == 1


async def test_a_full_disk_does_not_stop_values(
    make_engine: Any,
    make_source: Any,
    clock: Any,
    clock_end: Any,
    metrics: Metrics,
    monkeypatch: pytest.MonkeyPatch,
    published: Any,
) -> None:
    def refuse(*_args: object) -> int:
        raise OSError(28, "No space left on device")

    source = make_source()
    engine = make_engine({SECOND: [source]})
    monkeypatch.setattr("fieldline.record.writer.os.write", refuse)
    put: list[Batch] = []
    monkeypatch.setattr(published, "put", put.append)
    await run(engine, clock, clock_end, 5.0)
    assert len(put) == 6
    assert metric(metrics, "record_lost_values_total") == 6
    assert metric(metrics, "record_errors_total") == 6
    assert metric(metrics, "values_total") == 6


class LateSource:
    """A source that delivers when the test says so."""

    def __init__(self) -> None:
        self.indices = np.array([3], np.intp)
        self.late: list[Callable[[], None]] = []

    def sample(self, tick: Any, deliver: Any) -> None:
        row = (tick, self.indices, np.array([tick.good], np.uint32), np.array([1.0]))
        self.late.append(lambda: deliver(*row))


async def test_a_late_value_is_recorded_and_published_with_its_ticks_time(
    make_engine: Any, clock: Any, clock_end: Any, published: Published, tmp_path: Path
) -> None:
    source = LateSource()
    await run(make_engine({SECOND: [source]}), clock, clock_end, 2.0)
    assert len(read_directory(tmp_path)) == 0
    source.late[1]()
    batch = published.batches[-1]
    assert (batch.whole_tick, batch.indices.tolist()) == (False, [3])
    assert read_directory(tmp_path).time.tolist() == [batch.tick.time_ns]
    assert batch.tick.elapsed_ns == SECOND


async def test_slow_variables_alone_have_a_pulse(
    make_engine: Any, make_source: Any, clock: Any, clock_end: Any, published: Published
) -> None:
    source = make_source()
    await run(make_engine({60 * SECOND: [source]}), clock, clock_end, 59.0)
    assert (len(source.ticks), len(published.batches)) == (1, 1 + 60)


async def test_a_tick_that_hangs_is_no_sign_of_life(
    make_engine: Any, make_source: Any, clock: Any, clock_end: Any, published: Published
) -> None:
    engine = make_engine({SECOND: [make_source()]})
    await run(engine, clock, clock_end, 20.0)
    assert engine.alive()
    published.oldest = 0
    assert not engine.alive()


async def test_first_values_do_not_wait_for_a_hanging_sensor(
    make_engine: Any,
    make_point: Any,
    monkeypatch: pytest.MonkeyPatch,
    published: Any,
    tmp_path: Any,
) -> None:
    from fieldline.site import Sysfs
    from opc_server.sources import SysfsSource
    from opc_server.status import BAD_NO_COMMUNICATION

    class Stuck:
        def submit(self, work: Callable[[], None]) -> None:
            """Never do it."""

    monkeypatch.setattr(engine_module, "FIRST_READINGS_S", 0.01)
    point = make_point(2, source=Sysfs(str(tmp_path), 1.0, 0.0))
    source = SysfsSource([point], Stuck(), lambda: None)  # type: ignore[arg-type]
    await asyncio.wait_for(make_engine({SECOND: [source]}).first(), 2)
    assert published.batches[-1].statuses.tolist() == [BAD_NO_COMMUNICATION]
