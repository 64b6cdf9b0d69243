"""A log of words for the engine, of which `?` asks for those before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence

import structlog
from fieldline.messages import FORMAT_HEADERS
from fieldline.stream import (
    Change,
    Engine,
    Observer,
    Processor,
    Range,
    Record,
    Rereading,
    Stepped,
    Topics,
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


async def opened(log: MemoryLog, broker: MemoryBroker | None = None) -> Member:
    member = Member(log, broker)
    await member.broker.open()
    return member


async def put(log: MemoryLog, *words: bytes) -> None:
    for word in words:
        await log.produce(0, word, None, 1000 * len(log.input[0]))


def out(log: MemoryLog) -> list[bytes]:
    return [record.value or b"" for record in log.committed("out")[0]]
