"""One round after the other: count hours, hold them against what was told, tell, ask again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial

import msgspec
import numpy as np
import structlog
from fieldline.arguments import iso
from fieldline.messages.ledger import (
    HOUR_NS,
    STORE_FIELDS,
    LedgerRecord,
    LedgerTags,
    Refill,
    decode_ledger,
    hour_of,
)

from ledger.book import Book, Hour
from ledger.kafka import Entry, Log
from ledger.metrics import Metrics
from ledger.refills import MINUTES, Key, Refills, narrow
from ledger.store import MINUTE_NS, Store
from ledger.threads import in_thread

# What was produced by the end of an hour is stored so long after it, usually.
_AFTER_HOUR_NS = 60 * 10**9
# Records about hours that are not over, in one round: they change all the time, and a plant of
# 10,000 variables would write as many in each. The others have their turn in the next rounds.
_MOST_OPEN = 1_000
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError, OverflowError)


class Rounds:
    """The work, without the waiting.

    Args:
        beat: called whenever something has moved on.
        clock: the wall clock, ns since 1970; monotonic: s.
    """

    def __init__(
        self,
        book: Book,
        log: Log,
        store: Store,
        *,
        refills: Refills,
        metrics: Metrics,
        logger: structlog.stdlib.BoundLogger,
        beat: Callable[[], None],
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.book = book
        self._log = log
        self._store = store
        self._refills = refills
        self._metrics = metrics
        self._logger = logger
        self._beat = beat
        self._clock = clock
        self._monotonic = monotonic
        # Where the topic of values ended at the mark; None before the first.
        self._mark: Mapping[int, int] | None = None
        self._turn = 0

    def take(self, entries: Sequence[Entry]) -> None:
        """Take records of the ledger's topic."""
        now = self._clock()
        for entry in entries:
            try:
                record = decode_ledger(entry.value)
            except _UNREADABLE:
                kind = "unreadable"
            else:
                kind = self.book.add(record, now, ours=entry.before) or "taken"
            self._metrics.records.labels(kind).inc()

    async def round(self) -> AsyncIterator[None]:
        """Count once; comes back after each question, so that InfluxDB can be left some time.

        Raises:
            UnavailableError: Kafka. FieldlineError: InfluxDB.
        """
        begin = self._monotonic()
        position = await self._log.position()
        reached = self._mark is not None and position.written_up_to(self._mark)
        self._metrics.behind.set(self._mark is not None and not reached)
        for hour in self._chosen(reached):
            stored = np.zeros(len(self.book.catalogue.variables), np.int64)
            for part in range(self._store.parts):
                stored += await in_thread(partial(self._store.hour, hour.begin, part))
                yield
            hour.count(stored, self._monotonic())
            if reached:
                self._judge(hour)
            await self._tell(hour)
        if reached or self._mark is None:
            await self._ask()
            self.book.mark(self._clock())
            self._mark = position.ends
        self._metrics.show(self.book)
        self._metrics.round_seconds.observe(self._monotonic() - begin)

    def _chosen(self, reached: bool) -> list[Hour]:
        """The hours to count: the one that goes on, and the one that has waited longest.

        First among those of which something was told, or is expected; else among all: what
        InfluxDB loses long afterwards is seen by that.
        """
        now = self._clock()
        open_ = {hour_of(now - _AFTER_HOUR_NS), hour_of(now)}
        chosen = [self.book.hour(begin) for begin in sorted(open_)]
        if not reached:
            return chosen
        waiting = self._refills.waiting()
        others = [hour for hour in self.book if hour.begin not in open_]
        if others:
            chosen.append(
                min(
                    others,
                    key=lambda hour: (
                        not (hour.pending or hour.begin in waiting),
                        -1.0 if hour.counted_at is None else hour.counted_at,
                    ),
                )
            )
        return chosen

    def _judge(self, hour: Hour) -> None:
        lacking = hour.judge()
        back = self._refills.found(hour.begin, lacking)
        if back:
            self._metrics.recovered.inc(back)
            self._logger.info("values are stored again", hour=_shown(hour.begin), values=back)

    async def _tell(self, hour: Hour) -> None:
        """Write what is new of an hour."""
        wanted, news = hour.news()
        certain = hour.counts.settled | (wanted[STORE_FIELDS.index("settled")] == 1)
        now = news[certain[news]]
        later = news[~certain[news]]
        if len(later) > _MOST_OPEN:
            begin = int(np.searchsorted(later, self._turn))
            later = np.roll(later, -begin)[:_MOST_OPEN]
            self._turn = int(later[-1]) + 1
        chosen = np.concatenate([now, later]).tolist()
        variables = self.book.catalogue.variables
        records = [
            LedgerRecord(
                LedgerTags(variables[index].asset, variables[index].variable),
                dict(zip(STORE_FIELDS, wanted[:, index].tolist(), strict=True)),
                hour.begin,
            )
            for index in chosen
        ]
        if records:
            await self._log.tell(records)
            for row, field in enumerate(STORE_FIELDS):
                hour.counts.of(field)[chosen] = wanted[row, chosen]
            self._metrics.told.inc(len(records))
            self._beat()

    async def _ask(self) -> None:
        """Ask for what InfluxDB lacks, as far as there is room."""
        now = self._monotonic()
        refills = self._refills
        refills.forget(self.book.begin_ns(self._clock()))
        self._given_up(refills.give_up(now))
        keys = refills.due(now)
        hours = dict.fromkeys(key.hour for key in keys)
        asked: list[tuple[Key, Refill, int]] = []
        room = refills.room(now)
        for begin in hours:
            of_hour = [key for key in keys if key.hour == begin]
            for key, (first, last), values in await self._narrowed(begin, of_hour):
                # One that is larger than all the room has its turn when nothing else is under way.
                if values > room and (asked or room < refills.most_values):
                    break
                room -= values
                asked.append((key, self._refill(key, first, last), values))
        if not asked:
            return
        await self._log.ask([refill for _, refill, _ in asked])
        for key, _, values in asked:
            refills.asked(key, values, now)
        self._metrics.refills.inc(len(asked))
        self._metrics.refill_values.inc(sum(values for _, _, values in asked))
        self._logger.warning(
            "InfluxDB lacks values that Kafka had; they are asked for again",
            variables=len(asked),
            lacking=sum(refills.cases[key].lacking for key, _, _ in asked),
            **self._example(asked[0][0]),
        )

    async def _narrowed(
        self, begin: int, keys: Sequence[Key]
    ) -> list[tuple[Key, tuple[int, int], int]]:
        """The minutes to ask for, and about how many values they have."""
        indices = [key.variable for key in keys]
        minutes = await in_thread(partial(self._store.minutes, begin, indices))
        self._beat()
        found = []
        for key, row in zip(keys, minutes, strict=True):
            case = self._refills.cases[key]
            # What did not help once does not help again: the whole hour then.
            first, last = narrow(row, case.lacking) if not case.asked else (0, MINUTES)
            stored = int(row[first:last].sum())
            found.append((key, (first, last), stored + case.lacking))
        return found

    def _refill(self, key: Key, first: int, last: int) -> Refill:
        variable = self.book.catalogue.variables[key.variable]
        until = min(key.hour + last * MINUTE_NS, self._clock())
        return Refill(variable.asset, variable.variable, key.hour + first * MINUTE_NS, until)

    def _given_up(self, keys: Sequence[Key]) -> None:
        cases = self._refills.cases
        self._metrics.given_up.set(sum(case.given_up for case in cases.values()))
        if keys:
            self._logger.error(
                "values are lost: they were asked for, and did not come; see docs/ledger.md",
                variables=len(keys),
                lacking=sum(cases[key].lacking for key in keys),
                **self._example(keys[0]),
            )

    def _example(self, key: Key) -> dict[str, str]:
        variable = self.book.catalogue.variables[key.variable]
        return {
            "hour": _shown(key.hour),
            "asset": variable.asset,
            "variable": variable.variable,
        }


def _shown(begin: int) -> str:
    return f"{iso(begin)[:13]}:00Z" if begin % HOUR_NS == 0 else iso(begin)
