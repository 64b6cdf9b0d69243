"""What late values beyond the horizon have left to be done: one interval of time per asset.

A value that comes later than the horizon changes results that the window cannot give any more. It
marks a *repair*: a recomputation reads the log again and gives them (see `recompute`). Repairs of
an asset are merged into one, so that their memory is bounded whatever is filled; a recomputation
finds the late values themselves in the log, by their offsets, so the merging costs only reading.

Marks that come while a recomputation is under way are kept apart, since it does not know of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from stream_model.judge import FUTURE_NS, NS_PER_MS

# The gap filler sends a hole in one go; its history is read a variable at a time, some tenths of a
# second between two. Less would recompute an asset once per variable, more only delays.
QUIET_S = 3.0
# Values that keep coming late (a source's clock was set back) are taken together for so long.
PATIENCE_S = 60.0
# While they keep coming, recomputations take at most one part in ten of a process's time, however
# long one takes: the live records need the rest.
_REST = 9
# Above every revision that a window gives (they count from 0), and with an offset added still
# within an int64 and a float64.
REVISION = 1 << 32
# A source's clock is ahead of Kafka's by so much at most, unless it was seen to be more.
_LEAST_LEAD_NS = 16 * 10**9


class Repair(msgspec.Struct, array_like=True, gc=False):
    """What is to be given again of an asset: all ticks of [done, end) that a late value changes.

    first, last: source times of the earliest and the latest late value. end: no tick from there on
    is changed but by what the window gives itself. mark: the offset of the first late value. done:
    ticks before are given. Times in ns.
    """

    first: int
    last: int
    end: int
    mark: int
    done: int

    def merged(self, other: Repair | None) -> Repair:
        """Both in one; what of one of them is done may be given again."""
        if other is None:
            return self
        return Repair(
            min(self.first, other.first),
            max(self.last, other.last),
            max(self.end, other.end),
            min(self.mark, other.mark),
            min(self.done, other.done),
        )


class Ledger(msgspec.Struct, array_like=True, gc=False):
    """What recomputations need to know of the whole partition.

    revision: the highest that one has given. lead: how far a source time was ahead of its record's
    own time at most, ns, as far as the state knows. rebuilt: it was rebuilt from a part of the log,
    up to a record of this time of its own, ms; 0 if it knows all.
    """

    revision: int = 0
    lead: int = _LEAST_LEAD_NS
    rebuilt: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Repair]).decode
_decode_ledger = msgspec.msgpack.Decoder(Ledger).decode


@dataclass(slots=True)
class Repairs:
    """The repairs of one input partition.

    waiting: asset → repair; running: those that a recomputation is at work on. marks: how many
    there were. from_offset: no recomputation until the next offset is above. changed: assets whose
    repairs have changed, and ledger_changed, since they were written.
    """

    waiting: dict[str, Repair] = field(default_factory=dict)
    running: dict[str, Repair] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    marks: int = 0
    from_offset: int = 0
    changed: set[str] = field(default_factory=set)
    ledger_changed: bool = False

    def __len__(self) -> int:
        """How many there are."""
        return len(self.waiting) + len(self.running)

    def mark(self, asset: str, time: int, end: int, offset: int) -> None:
        """Note a late value; `end` as in `Repair`."""
        self.marks += 1
        self.changed.add(asset)
        repair = self.waiting.get(asset)
        if repair is None:
            self.waiting[asset] = Repair(time, time, end, offset, time)
            return
        if time < repair.first:
            repair.first = time
        if time > repair.last:
            repair.last = time
        if time < repair.done:
            repair.done = time
        if end > repair.end:
            repair.end = end
        # Records that are looked at again are older than those that came last.
        if offset < repair.mark:
            repair.mark = offset

    def run(self) -> dict[str, Repair]:
        """Have all of them worked on."""
        self.give_back()
        self.running, self.waiting = self.waiting, {}
        return self.running

    def give_back(self) -> None:
        """Have those wait again that were not ended."""
        for asset, repair in self.running.items():
            self.waiting[asset] = repair.merged(self.waiting.get(asset))
        self.running = {}

    def raise_lead(self, ahead: int) -> None:
        """Note a source time so far ahead of its record's; by doubling, since it is stored."""
        while self.ledger.lead < min(ahead, FUTURE_NS):
            self.ledger.lead = min(2 * self.ledger.lead, FUTURE_NS)
            self.ledger_changed = True

    def rebuilt(self, next_offset: int, arrived_ms: int) -> None:
        """The state was rebuilt from a part of the log, up to this offset and time.

        What was given before may have had a revision of this very offset.
        """
        self.ledger.rebuilt = arrived_ms
        self.ledger_changed = True
        self.from_offset = next_offset

    def knows_all(self, now_ms: int, retention_ns: int) -> bool:
        """Whether the log has nothing of before what the state has seen.

        Args:
            now_ms: the last record's own time.
        """
        rebuilt = self.ledger.rebuilt
        return not rebuilt or (now_ms - rebuilt) * NS_PER_MS > retention_ns

    def take_revision(self, next_offset: int) -> int:
        """A revision above all that were given; after a lost state the offset makes it so."""
        self.ledger.revision = max(REVISION + next_offset, self.ledger.revision + 1)
        self.ledger_changed = True
        return self.ledger.revision

    def encode(self, asset: str) -> bytes:
        """The repairs of an asset, whole."""
        both = (self.running.get(asset), self.waiting.get(asset))
        return _encode([repair for repair in both if repair is not None])

    def load(self, asset: str, data: bytes) -> None:
        """Take an asset's repairs, in the place of those that it has."""
        self.running.pop(asset, None)
        self.waiting.pop(asset, None)
        for repair in _decode(data):
            self.waiting[asset] = repair.merged(self.waiting.get(asset))

    def encode_ledger(self) -> bytes:
        """What is known of the whole partition."""
        return _encode(self.ledger)

    def load_ledger(self, data: bytes) -> None:
        """Take what is known of the whole partition."""
        self.ledger = _decode_ledger(data)

    def assets(self) -> Iterable[str]:
        """Those that have a repair."""
        return self.waiting.keys() | self.running.keys()


@dataclass(slots=True)
class Rest:
    """When the last recomputation of a process ended, and how long it took, s."""

    ended: float = 0.0
    took: float = 0.0


class Pace:
    """When to recompute a partition; times are seconds of a clock that is never set."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._marks = 0
        self._quiet_since = self._since = 0.0
        self._waiting = False
        self._began: float | None = None
        self._took = 0.0

    def due(self, waiting: bool, marks: int, now: float) -> bool:
        """Whether to recompute now; asked again and again while no recomputation is at work."""
        if self._began is not None:
            self._took = self._rest.took = now - self._began
            self._rest.ended = now
            self._began, self._waiting = None, False
        if waiting and not self._waiting:
            self._since = now
        self._waiting = waiting
        if marks != self._marks:
            self._marks, self._quiet_since = marks, now
        quiet = now - self._quiet_since >= max(QUIET_S, self._took)
        rested = now - self._rest.ended >= _REST * self._rest.took
        if waiting and (quiet or (rested and now - self._since >= PATIENCE_S)):
            self._began = now
            return True
        return False
