"""What both sides have told of each hour, and which of it can be held against each other.

The gap filler closes an hour by going on to the next one: it looks at a server's values in the
order of their time, and tells only what has changed. So an hour of a server is over where a later
one of it was told, and a count that nobody told by then is none.

InfluxDB is behind Kafka. Counts are therefore held against what was known at an earlier moment, the
mark, once Telegraf has written all that Kafka had then; see `Book.mark`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from fieldline.ledger import UNKNOWN, Counts, Ints
from fieldline.messages.ledger import (
    HISTORY_FIELDS,
    HOUR_NS,
    STORE_FIELDS,
    LedgerRecord,
    hour_of,
)
from fieldline.verify.catalogue import Catalogue
from numpy.typing import NDArray

Bools = NDArray[np.bool_]

# A server's clock may be ahead of ours.
_AHEAD_NS = HOUR_NS
_NEVER = -1


class Hour:
    """One hour; arrays have the shape (variables,).

    Attributes:
        begin: ns. counts: as told on the topic, by others and by us.
        counted: values in InfluxDB as last counted, `UNKNOWN` before that.
        counted_at: when, s of a monotonic clock; None before.
        changed: the gap filler has told something that no count was held against yet.
    """

    def __init__(self, begin: int, variables: int) -> None:
        self.begin = begin
        self.counts = Counts(variables)
        self.counted: Ints = np.full(variables, UNKNOWN, np.int64)
        self.counted_at: float | None = None
        self.changed = False
        # At the mark: what InfluxDB must have, `UNKNOWN` where nobody can say, and whether the
        # hour was over.
        self._due: Ints = np.full(variables, UNKNOWN, np.int64)
        self._over: Bools = np.zeros(variables, np.bool_)
        self._marked = False
        self._settled: Bools = np.zeros(variables, np.bool_)

    def count(self, stored: Ints, at: float) -> None:
        """Take a count of InfluxDB."""
        self.counted = stored
        self.counted_at = at

    def mark(self, over: Bools) -> None:
        """Remember what is known now."""
        produced, received = self.counts.of("produced"), self.counts.of("received")
        # Kafka has nothing but what the history has, and the other way round: what only one of
        # them has can't be asked for again, or is not in Kafka yet.
        self._due = np.minimum(produced, received)
        self._over = over.copy()
        self._marked |= self.changed
        self.changed = False

    def judge(self) -> Ints:
        """Hold the count against the mark, once InfluxDB must have all that Kafka had then.

        Returns:
            How many values InfluxDB lacks that Kafka had, shape (variables,).
        """
        self._marked = False
        self._settled = self._over
        lacking: Ints = np.maximum(self._due - self.counted, 0)
        return lacking

    @property
    def pending(self) -> bool:
        """Whether a count is due since something was told."""
        return self.changed or self._marked

    def news(self) -> tuple[Ints, Ints]:
        """What the topic does not have of ours: (fields of `STORE_FIELDS`, variables) as they
        should be, and the indices of the variables that differ."""
        now = Counts(len(self.counted))
        now.table[:] = self.counts.table
        now.of("stored")[:] = self.counted
        now.of("settled")[:] = np.where(self._settled, 1, self.counts.known("settled"))
        now.of("lacking")[:] = now.lacking()
        wanted = np.stack([now.of(field) for field in STORE_FIELDS])
        told = np.stack([self.counts.of(field) for field in STORE_FIELDS])
        differs = (wanted != told).any(axis=0) & (self.counted != UNKNOWN)
        return wanted, np.flatnonzero(differs)


class Book:
    """The hours of the last time.

    Args:
        window_ns: how far back hours are kept.
    """

    def __init__(self, catalogue: Catalogue, window_ns: int) -> None:
        self.catalogue = catalogue
        self._window_ns = window_ns
        self._hours: dict[int, Hour] = {}
        self.servers = sorted({v.server for v in catalogue.variables})
        number = {name: i for i, name in enumerate(self.servers)}
        self.server_of: Ints = np.array([number[v.server] for v in catalogue.variables], np.int64)
        # By server, the first and the last hour of which the gap filler has told something, and
        # whether it knows the server's history.
        self._first = np.full(len(self.servers), _NEVER, np.int64)
        self._last = np.full(len(self.servers), _NEVER, np.int64)
        self._history = np.zeros(len(self.servers), np.bool_)

    def __iter__(self) -> Iterator[Hour]:
        """All hours in their order."""
        return iter([self._hours[begin] for begin in sorted(self._hours)])

    def by_server(self, values: Ints) -> Ints:
        """Sums of what variables have, shape (servers,)."""
        sums = np.bincount(self.server_of, weights=values, minlength=len(self.servers))
        return sums.astype(np.int64)

    def hour(self, begin: int) -> Hour:
        """An hour, made if it is new."""
        if begin not in self._hours:
            self._hours[begin] = Hour(begin, len(self.catalogue.variables))
        return self._hours[begin]

    def begin_ns(self, now_ns: int) -> int:
        """The begin of the oldest hour that is kept: it is in the window as a whole, or goes on."""
        return min(hour_of(now_ns), -((self._window_ns - now_ns) // HOUR_NS) * HOUR_NS)

    def add(self, record: LedgerRecord, now_ns: int, *, ours: bool) -> str:
        """Take a record of the topic; a later one takes the place of an earlier one.

        Args:
            ours: take the fields that this service writes, too.
        Returns:
            Why it is not taken, empty if it is.
        """
        index = self.catalogue.variable_index.get((record.tags.asset, record.tags.variable))
        if index is None:
            return "unknown-variable"
        begin = record.timestamp
        if begin % HOUR_NS or any(value < 0 for value in record.fields.values()):
            return "wrong-value"
        if begin < self.begin_ns(now_ns):
            return "old"
        if begin > now_ns + _AHEAD_NS:
            return "future"
        hour = self.hour(begin)
        told = [field for field in HISTORY_FIELDS if field in record.fields]
        for field in told:
            hour.counts.of(field)[index] = record.fields[field]
        if told:
            hour.changed = True
            self._told(self.server_of[index], begin, "produced" in record.fields)
        if ours:
            for field in STORE_FIELDS:
                if field in record.fields:
                    hour.counts.of(field)[index] = record.fields[field]
        return ""

    def _told(self, server: int, begin: int, history: bool) -> None:
        first, last = int(self._first[server]), int(self._last[server])
        self._first[server] = begin if first == _NEVER else min(first, begin)
        self._history[server] |= history
        if begin <= last:
            return
        self._last[server] = begin
        # Over now, with those in which nothing was produced, so that nothing was told.
        for over in range(begin if last == _NEVER else last, begin, HOUR_NS):
            self.hour(over).changed = True

    def over(self, hour: Hour) -> Bools:
        """Of which variables the gap filler has closed an hour, with their history known."""
        closed = (self._first <= hour.begin) & (hour.begin < self._last)
        over: Bools = (closed & self._history & (self._first != _NEVER))[self.server_of]
        return over

    def mark(self, now_ns: int) -> None:
        """Remember what is known now, to hold later counts against it; forget what is too old."""
        for begin in [b for b in self._hours if b < self.begin_ns(now_ns)]:
            del self._hours[begin]
        for hour in self._hours.values():
            hour.mark(self.over(hour))
