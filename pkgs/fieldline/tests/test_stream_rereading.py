"""The engine's work on records of before: a log of words, of which `?` asks for those before it."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)

import pytest
import structlog
from fieldline.messages import FORMAT_HEADERS
from fieldline.stream import (
    Change,
    Engine,
    Observer,
    Output,
    Processor,
    Range,
    Record,
    Rereading,
    Stepped,
    Topics,
    UnavailableError,
    engine,
    memory,
)
from fieldline.stream.memory import MemoryBroker, MemoryLog

TOPICS = Topics("group", "in", "state", ("out",))


class Spelling(Rereading[str]):
    """Gives all words before the asking one again, one at a step, as far as it has not yet."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self.found: dict[int, bytes] = {}
        self.read: list[tuple[int, int]] = []

    def run(self) -> Iterator[Range | Stepped[str] | None]:
        words = self._words
        yield Range(words.asked)
        # What a later time has, twice, and nothing: other ways to say where to begin.
        yield Range(words.asked, start=words.asked - 1)
        yield Range(words.asked, since_ms=10**12)
        yield None
        for offset in sorted(self.found)[words.given :]:
            words.given += 1
            outputs = {"out": [(None, self.found[offset].upper(), FORMAT_HEADERS)]}
            yield Stepped("again", outputs, [(b"given", b"%d" % words.given)])
        words.asked = 0
        yield Stepped("done", {}, [(b"asked", b"0")])

    def take(self, records: Sequence[Record]) -> None:
        self.found.update((record.offset, record.value or b"") for record in records)

    def taken(self, start: int, first: int) -> None:
        self.read.append((start, first))


class Words(Processor[str]):
    """Gives each word; `?` asks for all words before."""

    def __init__(self) -> None:
        self.asked = self.given = 0
        self.reading: Spelling | None = None

    def step(self, records: Sequence[Record], now_ns: int) -> Stepped[str]:
        assert now_ns
        changes = []
        for record in records:
            if record.value == b"?":
                self.asked, self.given = record.offset, 0
                changes = [(b"asked", b"%d" % self.asked), (b"given", b"0")]
        outputs = [(None, record.value, FORMAT_HEADERS) for record in records]
        return Stepped("live", {"out": outputs}, changes)

    def snapshot(self, key: bytes) -> bytes:
        return b"%d" % getattr(self, key.decode())

    def load(self, key: bytes, snapshot: bytes) -> bool:
        setattr(self, key.decode(), int(snapshot))
        return True

    def apply(self, context: bytes, changes: Iterable[Change]) -> None:
        assert context == b""
        for key, number in changes:
            self.load(key, number)

    def rebuild(self, records: Sequence[Record], now_ns: int) -> None:
        self.step(records, now_ns)

    def keys(self) -> Iterable[bytes]:
        return [b"asked", b"given"]

    def owed(self) -> int:
        return int(self.asked > 0)

    def rereading(self, next_offset: int, now_s: float) -> Spelling | None:
        assert next_offset > self.asked or not self.asked
        assert now_s
        self.reading = Spelling(self) if self.asked else None
        return self.reading


class Member(Observer[str]):
    """An engine and its broker, with what it has committed."""

    def __init__(self, log: MemoryLog, broker: MemoryBroker | None = None) -> None:
        self.log = log
        self.broker = broker or MemoryBroker(log)
        self.reports: list[str] = []
        self.made: list[Words] = []
        self.engine = Engine(
            self.broker, self._make, changelog="state", lookback_ms=0, observer=self,
            log=structlog.get_logger(),
        )  # fmt: skip

    def _make(self, _: int) -> Words:
        self.made.append(Words())
        return self.made[-1]

    def on_committed(self, partition: int, reports: Sequence[str], lag: int) -> None:
        assert (partition in self.engine.partitions, lag) == (True, 0)
        self.reports += reports

    async def rounds(self, count: int) -> None:
        async with asyncio.timeout(10):
            for _ in range(count):
                await self.engine.round()

    async def until(self, *texts: bytes) -> None:
        """Go on until these are the last words that were given."""
        async with asyncio.timeout(10):
            while out(self.log)[-len(texts) :] != list(texts):
                await self.engine.round()

    async def close(self) -> None:
        await self.engine.close()
        await self.broker.close()


class Interrupted(MemoryBroker):
    """Does something else once, in the middle of reading."""

    def __init__(self, log: MemoryLog, instead: Callable[[], Awaitable[None]]) -> None:
        super().__init__(log)
        self._instead = instead
        self.interrupted = False

    async def read(
        self, partition: int, start: int, end: int
    ) -> AsyncGenerator[Sequence[memory.MemoryRecord], None]:
        async for records in super().read(partition, start, end):
            yield records
            if not self.interrupted:
                self.interrupted = True
                await self._instead()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "POLL_S", 0.001)
    monkeypatch.setattr(memory, "_CHUNK", 2)


async def opened(log: MemoryLog, broker: MemoryBroker | None = None) -> Member:
    member = Member(log, broker)
    await member.broker.open()
    return member


async def put(log: MemoryLog, *words: bytes) -> None:
    for word in words:
        await log.produce(0, word, None, 1000 * len(log.input[0]))


def out(log: MemoryLog) -> list[bytes]:
    return [record.value or b"" for record in log.committed("out")[0]]


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
