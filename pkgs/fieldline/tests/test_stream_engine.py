"""The engine with the smallest service there is: a running sum for each key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import pytest
import structlog
from fieldline.messages import FORMAT_HEADERS
from fieldline.service import EXIT_CONFIGURATION, ServiceError
from fieldline.stream import (
    Change,
    Engine,
    Observer,
    Processor,
    Record,
    Stepped,
    Topics,
    UnavailableError,
)
from fieldline.stream.memory import MemoryBroker, MemoryLog
from structlog.testing import capture_logs

TOPICS = Topics("group", "in", "state", ("out",))


class Sums(Processor[int]):
    """Adds each record's number to its key's sum, and gives the sum."""

    def __init__(self) -> None:
        self.sums: dict[bytes, int] = {}

    def step(self, records: Sequence[Record], now_ns: int) -> Stepped[int]:
        assert now_ns
        outputs = []
        changes: dict[bytes, bytes] = {}
        for record in records:
            key, number = record.key or b"", int(record.value or b"0")
            self.sums[key] = self.sums.get(key, 0) + number
            outputs.append((key, b"%d" % self.sums[key], FORMAT_HEADERS))
            changes[key] = b"%d" % self.sums[key]
        return Stepped(len(records), {"out": outputs}, list(changes.items()))

    def snapshot(self, key: bytes) -> bytes:
        return b"%d" % self.sums[key]

    def load(self, key: bytes, snapshot: bytes) -> bool:
        self.sums[key] = int(snapshot)
        return key != b"unwanted"

    def apply(self, context: bytes, changes: Iterable[Change]) -> None:
        assert context == b""
        self.sums.update((key, int(total)) for key, total in changes)

    def rebuild(self, records: Sequence[Record], now_ns: int) -> None:
        self.step(records, now_ns)

    def keys(self) -> Iterable[bytes]:
        return self.sums


class Seen(Observer[int]):
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.committed = self.rebuilt = self.lost = 0
        self.partitions: frozenset[int] = frozenset()

    def on_committed(self, partition: int, reports: Sequence[int], lag: int) -> None:
        assert (partition, lag) == (0, 0)
        self.committed += sum(reports)

    def on_settled(self, partitions: frozenset[int]) -> None:
        self.partitions = partitions

    def on_rebuilt(self, records: int) -> None:
        self.rebuilt += records

    def on_lost(self, records: int) -> None:
        self.lost += records


async def put(log: MemoryLog, *numbers: int, at_ms: int = 0) -> None:
    for number in numbers:
        await log.produce(0, b"%d" % number, b"k", at_ms)


async def drain(log: MemoryLog) -> Seen:
    """Run an engine until all of the input is committed."""
    broker, seen = MemoryBroker(log), Seen()
    engine = Engine(
        broker, lambda _: Sums(), changelog="state", lookback_ms=1000, observer=seen,
        log=structlog.get_logger(),
    )  # fmt: skip
    await broker.open()
    try:
        async with asyncio.timeout(10):
            while not (seen.partitions and log.offsets.get(0, 0) == len(log.input[0])):
                await engine.round()
    finally:
        await broker.close()
    return seen


async def settled(
    log: MemoryLog, make: Callable[[], Sums] = Sums
) -> tuple[MemoryBroker, Engine[int]]:
    """An engine that runs and has taken all there is."""
    broker = MemoryBroker(log)
    engine = Engine(
        broker, lambda _: make(), changelog="state", lookback_ms=0, observer=Seen(),
        log=structlog.get_logger(),
    )  # fmt: skip
    await broker.open()
    await engine.round()
    return broker, engine


def out(log: MemoryLog) -> list[int]:
    return [int(record.value or b"") for record in log.committed("out")[0]]


async def test_a_restart_goes_on_with_the_state() -> None:
    log = MemoryLog(TOPICS)
    await put(log, 1, 2, 3)
    assert (await drain(log)).committed == 3
    await put(log, 4)
    assert (await drain(log)).committed == 1
    assert out(log) == [1, 3, 6, 10]


async def test_without_a_changelog_the_state_is_rebuilt_from_the_lookback() -> None:
    log = MemoryLog(TOPICS)
    await put(log, 100, at_ms=1000)
    await put(log, 1, 2, at_ms=5000)
    log.offsets[0] = 3
    await put(log, 4, at_ms=5500)
    # The lookback is 1 s before the records before the offset: 100 is older.
    assert (await drain(log)).rebuilt == 2
    await put(log, 5)
    # Now there is one, with all that was rebuilt.
    assert (await drain(log)).rebuilt == 0
    assert out(log) == [7, 12]


@pytest.mark.parametrize("offset", [2, None])
async def test_a_group_that_has_lost_its_offset_goes_on_from_the_state(offset: int | None) -> None:
    log = MemoryLog(TOPICS)
    await put(log, 1, 2, 3)
    await drain(log)
    await put(log, 4)
    del log.offsets[0]
    if offset is not None:
        log.offsets[0] = offset
    with capture_logs() as events:
        await drain(log)
    assert out(log) == [1, 3, 6, 10]
    (event,) = (e for e in events if e["log_level"] == "error")
    assert "the group's offset is behind the state" in event["event"]
    assert (event["committed"], event["next_offset"]) == (offset, 3)


async def test_a_state_that_has_lost_its_end_takes_the_records_again() -> None:
    log = MemoryLog(TOPICS)
    await put(log, 1, 2)
    await drain(log)
    await put(log, 3)
    await drain(log)
    log.records["state"][0].pop()
    await put(log, 4)
    with capture_logs() as events:
        assert (await drain(log)).rebuilt == 1
    assert out(log) == [1, 3, 6, 10]
    (event,) = (e for e in events if e["log_level"] == "error")
    assert "the state is behind the group's offset" in event["event"]
    assert (event["committed"], event["next_offset"]) == (3, 2)
    await put(log, 5)
    assert (await drain(log)).rebuilt == 0
    assert out(log) == [1, 3, 6, 10, 15]


async def test_outputs_that_are_gone_are_asked_for_again() -> None:
    log = MemoryLog(TOPICS)
    await put(log, 1, 2, at_ms=1000)
    await put(log, 3, at_ms=5000)
    await drain(log)
    log.records["out"][0].pop()
    asked = []

    class Asked(Sums):
        def give_again(self, records: Sequence[Record]) -> None:
            asked.extend(record.offset for record in records)

    with capture_logs() as events:
        broker, _ = await settled(log, Asked)
    await broker.close()
    assert asked == [0, 1, 2]
    (event,) = (e for e in events if e["log_level"] == "error")
    assert (event["partition"], event["topic"]) == (0, "out")


async def test_a_changelog_that_is_not_ours_is_refused() -> None:
    log = MemoryLog(TOPICS)
    await put(log, 1)
    await drain(log)
    record = log.records["state"][0][0]
    log.records["state"][0][0] = record._replace(value=b"garbled")
    with pytest.raises(ServiceError, match="not one of this version's") as error:
        await drain(log)
    # systemd does not start it again: no restart helps.
    assert error.value.code == EXIT_CONFIGURATION
    assert "delete the changelog's topic" in error.value.what_to_do


async def test_a_log_that_was_made_anew_is_read_from_its_beginning() -> None:
    log = MemoryLog(TOPICS)
    await put(log, 1, 2, 3, at_ms=1000)
    await drain(log)
    log.input[0].clear()
    await put(log, 10, at_ms=2000)
    with capture_logs() as events:
        await drain(log)
    assert out(log) == [1, 3, 6, 16]
    (event,) = (e for e in events if e["log_level"] == "error")
    assert "has not the last record" in event["event"]
    assert (event["committed"], event["end"], event["next_offset"]) == (3, 1, 0)


async def test_a_log_whose_end_was_lost_is_read_on_from_what_is_new() -> None:
    log = MemoryLog(TOPICS)
    await put(log, 1, at_ms=1000)
    await put(log, 2, 3, at_ms=2000)
    await drain(log)
    del log.input[0][1:]
    with capture_logs() as events:
        broker, engine = await settled(log)
        await put(log, 10, at_ms=3000)
        await engine.round()
        await broker.close()
    # 1 was taken before, and is not again.
    assert out(log) == [1, 3, 6, 16]
    assert log.offsets[0] == 2
    assert any("has not the last record" in event["event"] for event in events)


async def test_a_log_that_has_grown_again_is_read_on_from_what_is_new() -> None:
    log = MemoryLog(TOPICS)
    await put(log, 1, at_ms=1000)
    await put(log, 2, 3, at_ms=2000)
    await drain(log)
    log.cut(0, 1)
    await put(log, 10, 20, 30, at_ms=4000)
    await drain(log)
    assert out(log) == [1, 3, 6, 16, 36, 66]
    # It goes on as if nothing had been: nothing is taken twice.
    await drain(log)
    await put(log, 40, at_ms=4000)
    await drain(log)
    assert out(log) == [1, 3, 6, 16, 36, 66, 106]


@pytest.mark.parametrize("end", [1, 3])
async def test_a_log_that_is_cut_under_a_running_engine_ends_its_session(end: int) -> None:
    log = MemoryLog(TOPICS)
    await put(log, 1, at_ms=1000)
    await put(log, 2, 3, at_ms=2000)
    broker, engine = await settled(log)
    log.cut(0, end)
    await put(log, 10, 20, 30, at_ms=4000)
    if end == 3:
        # Started again with all that it had.
        await engine.round()
        await broker.close()
    else:
        with pytest.raises(UnavailableError, match="has lost records that were taken"):
            await engine.round()
        await broker.close()
        await drain(log)
    assert out(log) == [1, 3, 6, 16, 36, 66]


async def test_a_log_that_is_cut_before_a_rebalance_is_taken_over_anew() -> None:
    log = MemoryLog(TOPICS)
    await put(log, 1, at_ms=1000)
    await put(log, 2, 3, at_ms=2000)
    broker, engine = await settled(log)
    log.cut(0, 1)
    await put(log, 10, 20, 30, at_ms=4000)
    await log.rebalance()
    await engine.round()
    await broker.close()
    assert out(log) == [1, 3, 6, 16, 36, 66]


async def test_what_retention_removed_is_counted_and_the_state_stays() -> None:
    log = MemoryLog(TOPICS)
    await put(log, 1, 2)
    await drain(log)
    await put(log, 3, 4, 5)
    log.first[0] = 4
    assert (await drain(log)).lost == 2
    assert out(log) == [1, 3, 8]


async def test_a_partition_that_comes_back_unchanged_keeps_its_state() -> None:
    log = MemoryLog(TOPICS)
    await put(log, 1)
    broker, seen = MemoryBroker(log), Seen()
    made = []

    def make(_: int) -> Sums:
        made.append(Sums())
        return made[-1]

    engine = Engine(
        broker, make, changelog="state", lookback_ms=0, observer=seen, log=structlog.get_logger()
    )
    await broker.open()
    await engine.round()
    await log.rebalance()
    await put(log, 2)
    await engine.round()
    await broker.close()
    assert (len(made), out(log)) == (1, [1, 3])
