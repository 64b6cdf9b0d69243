"""The engine's work on records of before: a log of words, of which `?` asks for those before it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from fieldline.stream import Output, UnavailableError, engine, memory
from fieldline.stream.memory import MemoryBroker, MemoryLog
from stream_words import TOPICS, Interrupted, Member, Spelling, Words, opened, out, put


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "POLL_S", 0.001)
    monkeypatch.setattr(memory, "_CHUNK", 2)


async def test_it_is_given_the_ranges_that_it_wants_and_its_steps_are_committed() -> None:
    log = MemoryLog(TOPICS)
    await put(log, b"a", b"b", b"c", b"?")
    member = await opened(log)
    await member.until(b"A", b"B", b"C")
    reading = member.made[0].reading
    assert reading is not None
    assert reading.read == [(0, 0), (2, 0), (3, 0)]
    while member.made[0].owed():
        await member.engine.round()
    assert member.reports == ["live", "again", "again", "again", "done"]
    assert log.offsets == {0: 4}
    await put(log, b"d")
    await member.until(b"d")
    await member.close()
    # All of it is in the changelog.
    heir = await opened(log)
    await put(log, b"e")
    await heir.until(b"e")
    assert heir.reports == ["live"]
    assert out(log) == [b"a", b"b", b"c", b"?", b"A", b"B", b"C", b"d", b"e"]
    await heir.close()


async def test_live_records_go_on_meanwhile() -> None:
    log = MemoryLog(TOPICS)
    await put(log, b"a", b"b", b"c", b"?")

    async def live() -> None:
        await put(log, b"live")
        async with log.changed:
            await log.changed.wait_for(lambda: out(log)[-1] == b"live")

    member = await opened(log, Interrupted(log, live))
    await member.until(b"A", b"B", b"C")
    assert out(log) == [b"a", b"b", b"c", b"?", b"live", b"A", b"B", b"C"]
    await member.close()


async def test_whoever_dies_in_the_middle_is_followed_by_one_who_gives_the_rest() -> None:
    log = MemoryLog(TOPICS)
    await put(log, b"a", b"b", b"c", b"?")
    member = await opened(log)
    await member.until(b"A")
    await member.engine.close()
    await log.expire(member.broker)
    heir = await opened(log)
    await heir.until(b"A", b"B", b"C")
    assert out(log) == [b"a", b"b", b"c", b"?", b"A", b"B", b"C"]
    await heir.close()


async def test_a_partition_that_comes_back_is_read_anew_while_something_is_owed() -> None:
    """Another member may have done a part of it at the same offset."""
    log = MemoryLog(TOPICS)
    await put(log, b"a", b"b", b"c", b"?")
    member = await opened(log)
    await member.until(b"A")
    await member.engine.close()
    # Another one gets the partition and gives it back, before this one has looked.
    other = Member(log)
    log.members.insert(0, other.broker)
    await log.rebalance()
    await other.until(b"A", b"B")
    await other.close()
    await member.until(b"A", b"B", b"C")
    assert len(member.made) == 2
    await member.rounds(5)
    assert out(log) == [b"a", b"b", b"c", b"?", b"A", b"B", b"C"]
    await member.close()


async def test_a_rebalance_in_the_middle_of_reading_drops_it() -> None:
    log = MemoryLog(TOPICS)
    await put(log, b"a", b"b", b"c", b"?")
    member = await opened(log, Interrupted(log, log.rebalance))
    await member.until(b"A", b"B", b"C")
    assert len(member.made) == 2
    reading = member.made[0].reading
    assert reading is not None
    assert reading.read == []
    assert out(log) == [b"a", b"b", b"c", b"?", b"A", b"B", b"C"]
    await member.close()


async def test_one_whose_partition_has_gone_to_another_is_dropped() -> None:
    log = MemoryLog(TOPICS)
    await put(log, b"a", b"b", b"c", b"?")
    other = Member(log)

    async def join() -> None:
        log.members.insert(0, other.broker)
        await log.rebalance()
        await other.until(b"A", b"B", b"C")

    member = await opened(log, Interrupted(log, join))
    while (reading := member.engine._rereading) is None:
        await member.engine.round()
    # It ends by itself, before the engine has looked at the assignment, and fails in nothing.
    async with asyncio.timeout(10):
        await reading
    await member.rounds(2)
    assert out(log) == [b"a", b"b", b"c", b"?", b"A", b"B", b"C"]
    assert member.engine.partitions == {}
    await member.close()
    await other.close()


async def test_what_the_log_loses_while_it_is_read_is_asked_for_again() -> None:
    log = MemoryLog(TOPICS)
    await put(log, *(b"%c" % n for n in b"abcdef"), b"?")
    first = None

    async def lose() -> None:
        nonlocal first
        first = member.made[0].reading
        log.first[0] = 3

    member = await opened(log, Interrupted(log, lose))
    await member.until(b"D", b"E", b"F")
    reading = member.made[0].reading
    assert first is not None
    assert reading is not None
    assert (first.read, reading.read) == ([], [(3, 3), (5, 3), (6, 3)])
    assert out(log)[7:] == [b"D", b"E", b"F"]
    await member.close()


async def test_none_begins_while_live_records_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MAX_RECORDS", 2)
    log = MemoryLog(TOPICS)
    await put(log, b"a", b"?", b"b", b"c", b"d", b"e")

    class Slow(MemoryBroker):
        behind = True

        def lag(self, partition: int, next_offset: int) -> int:
            return 2 if self.behind else super().lag(partition, next_offset)

    class Behind(Member):
        def on_committed(self, partition: int, reports: Sequence[str], lag: int) -> None:
            assert (partition, lag) == (0, 2 * broker.behind)
            self.reports += reports

    broker = Slow(log)
    member = Behind(log, broker)
    await broker.open()
    await member.until(b"e")
    await member.rounds(5)
    assert out(log)[-1] == b"e"
    broker.behind = False
    await member.until(b"A")
    await member.close()


async def test_a_lost_session_in_it_is_raised() -> None:
    log = MemoryLog(TOPICS)
    await put(log, b"a", b"b", b"?")

    class Failing(MemoryBroker):
        async def send(self, partition: int, outputs: Mapping[str, Sequence[Output]]) -> None:
            if [value for _, value, _ in outputs.get("out", ())] == [b"B"]:
                raise UnavailableError("gone")
            await super().send(partition, outputs)

    member = await opened(log, Failing(log))
    with pytest.raises(UnavailableError, match="gone"):
        await member.rounds(1000)
    await member.close()
    heir = await opened(log)
    await heir.until(b"A", b"B")
    assert out(log) == [b"a", b"b", b"?", b"A", b"B"]
    await heir.close()


async def test_stopping_gives_it_up() -> None:
    log = MemoryLog(TOPICS)
    await put(log, *(b"%d" % n for n in range(1, 200)), b"?")
    member = await opened(log)
    stop = asyncio.Event()
    running = asyncio.ensure_future(member.engine.run(stop))
    async with log.changed:
        await log.changed.wait_for(lambda: len(out(log)) > 205)
    stop.set()
    await asyncio.wait_for(running, 10)
    given = len(out(log))
    await asyncio.sleep(0)
    assert len(out(log)) == given
    await member.broker.close()


async def test_partitions_take_turns() -> None:
    log = MemoryLog(TOPICS, partitions=3)
    turns: list[int] = []

    class Greedy(Words):
        """Always has something to do again."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self._number = number

        def rereading(self, next_offset: int, now_s: float) -> Spelling | None:
            turns.append(self._number)
            self.asked = 1
            return super().rereading(next_offset + 2, now_s)

    class Member3(Member):
        def _make(self, number: int) -> Words:
            return Greedy(number)

    member = Member3(log)
    await member.broker.open()
    while len(turns) < 9:
        await member.rounds(1)
    assert turns == 3 * turns[:3]
    assert sorted(turns[:3]) == [0, 1, 2]
    await member.close()
