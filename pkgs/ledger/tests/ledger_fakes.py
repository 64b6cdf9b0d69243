"""A plant, a store and a Kafka in memory; the first two keep contracts that the real ones pass."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from fieldline.errors import FieldlineError
from fieldline.ledger import Ints
from fieldline.messages.ledger import (
    HOUR_NS,
    LedgerRecord,
    LedgerTags,
    Refill,
    decode_ledger,
    encode_ledger,
)
from fieldline.site import load_site
from fieldline.stream import UnavailableError
from fieldline.verify.catalogue import Catalogue, catalogue_of
from ledger.kafka import Entry, Position
from ledger.store import MINUTE_NS

SITE = Path(__file__).parents[3] / "site.toml"
VARIABLES = ("Temperature", "Pressure", "SlowSensor")
HOUR = 500_000 * HOUR_NS
SECOND = 10**9


def catalogue() -> Catalogue:
    """The demonstration plant's: three variables of one asset on one server."""
    return catalogue_of(load_site(SITE))


def told(variable: str, hour: int, **fields: int) -> LedgerRecord:
    return LedgerRecord(LedgerTags("Sensors", variable), fields, hour)


def history(variable: str, hour: int, produced: int, **fields: int) -> LedgerRecord:
    """As the gap filler tells it: all six counts."""
    counts = {"received": produced, "missing": 0, "filled": 0, "late": 0, "doubled": 0, **fields}
    return told(variable, hour, produced=produced, **counts)


class MemoryStore:
    """`Store` in memory: source times by variable; `failure` is raised instead of an answer."""

    def __init__(self, of: Catalogue) -> None:
        self._catalogue = of
        self.times: dict[int, set[int]] = defaultdict(set)
        self.failure: FieldlineError | None = None
        self.counted: list[int] = []

    def put(self, variable: str, times: Sequence[int]) -> None:
        self.times[self._catalogue.variable_index["Sensors", variable]].update(times)

    def drop(self, variable: str, since: int, until: int) -> None:
        index = self._catalogue.variable_index["Sensors", variable]
        self.times[index] = {t for t in self.times[index] if not since <= t < until}

    parts = 2

    def hour(self, begin: int, part: int) -> Ints:
        """Its halves are the variables with an even and with an odd place."""
        if self.failure is not None:
            raise self.failure
        self.counted.append(begin)
        counts = [
            0
            if index % 2 != part
            else sum(begin <= time < begin + HOUR_NS for time in self.times[index])
            for index in range(len(self._catalogue.variables))
        ]
        return np.array(counts, np.int64)

    def minutes(self, begin: int, indices: Sequence[int]) -> Ints:
        if self.failure is not None:
            raise self.failure
        counts = np.zeros((len(indices), 60), np.int64)
        for row, index in enumerate(indices):
            for time in self.times[index]:
                if begin <= time < begin + HOUR_NS:
                    counts[row, (time - begin) // MINUTE_NS] += 1
        return counts


class MemoryLog:
    """`Log` in memory: what the topic holds, where the writer is, what was asked for."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []
        self.refills: list[Refill] = []
        self.ends: dict[int, int] = {0: 0}
        self.written: dict[int, int] = {0: 0}
        self.down = False
        self.opened_at: list[int] = []
        self._read = 0
        self._end = 0

    def put(self, *records: LedgerRecord) -> None:
        self.rows += [encode_ledger(record) for record in records]

    def ours(self) -> list[LedgerRecord]:
        """What the ledger has told."""
        return [r for r in map(decode_ledger, self.rows) if "stored" in r.fields]

    def _check(self) -> None:
        if self.down:
            raise UnavailableError("Kafka in memory is down.")

    async def open(self, since_ms: int) -> None:
        self._check()
        self.opened_at.append(since_ms)
        self._read, self._end = 0, len(self.rows)

    async def read(self) -> Sequence[Entry]:
        self._check()
        await asyncio.sleep(0.001)
        begin, self._read = self._read, len(self.rows)
        return [Entry(row, begin + i < self._end) for i, row in enumerate(self.rows[begin:])]

    async def position(self) -> Position:
        self._check()
        return Position(dict(self.ends), dict(self.written))

    async def tell(self, records: Sequence[LedgerRecord]) -> None:
        self._check()
        self.put(*records)

    async def ask(self, refills: Sequence[Refill]) -> None:
        self._check()
        self.refills += refills

    async def close(self) -> None:
        pass


def latest(records: Sequence[LedgerRecord]) -> Mapping[tuple[str, int], dict[str, int]]:
    """What InfluxDB has of records: the last of each variable's hour."""
    return {(r.tags.variable, r.timestamp): r.fields for r in records}
