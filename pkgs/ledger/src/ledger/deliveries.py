"""Whether what waits in Kafka gets into InfluxDB, and what to restart if not: pure rules.

Two things stop it for good though everything runs. InfluxDB 2.7 goes on refusing writes after its
disk was full, with room again: its write-ahead log keeps the first error. And Telegraf may be a
member of its consumer group and take nothing. All times are elapsed ns, never less than before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fieldline.service.restarter import Pauses

# A consumer group and a partition of its topic.
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Writes:
    """How many writes InfluxDB has answered since its start.

    refused: with an error of its own (5xx), so that they come again.
    """

    taken: int
    refused: int


class Refusals:
    """Whether InfluxDB refuses whatever is written, and whether a restart may help.

    That something is refused shows that something waits, so Kafka is not asked: it may well be away
    itself, since it ends where its disk is full.
    """

    # A write that fails comes again ten times a second; a compaction may be in the way for seconds.
    _LEAST_NS = 10 * 10**9
    # Nothing is refused any more: nobody writes, or what is written is still under way.
    _QUIET_NS = 30 * 10**9

    def __init__(self) -> None:
        self._pauses = Pauses()
        self._before: Writes | None = None
        self._had_room = False
        self._since: int | None = None
        self._last = 0

    def since(self, now_ns: int) -> int | None:
        """Since when each write is refused; None while some are taken, or there are none."""
        if self._since is not None and now_ns - self._last > self._QUIET_NS:
            self._since = None
        return self._since

    def due(self, now_ns: int, writes: Writes | None, *, room: bool) -> bool:
        """Whether to restart InfluxDB now; then it counts as done.

        Args:
            writes: None while it does not answer: it starts, or a restart would not help.
            room: its disk has room.
        """
        refused = self._refused(now_ns, writes)
        # What was refused since the last look was refused with room only if there was some then.
        had_room, self._had_room = self._had_room, room
        since = self.since(now_ns)
        over = self._pauses.over(now_ns, ill=since is not None)
        if since is None or now_ns - since < self._LEAST_NS:
            return False
        if not (refused and had_room and room and over):
            return False
        self._pauses.begin(now_ns)
        self._since = None
        return True

    def _refused(self, now_ns: int, writes: Writes | None) -> bool:
        """Whether something was refused since the last look, and nothing taken."""
        if writes is None:
            return False
        before, self._before = self._before, writes
        if before is None:
            return False
        # Where there are fewer than before it was started anew.
        if writes.taken != before.taken or writes.refused < before.refused:
            self._since = None
            return False
        if writes.refused == before.refused:
            return False
        self._last = now_ns
        if self._since is None:
            self._since = now_ns
        return True


@dataclass(frozen=True, slots=True)
class Waiting:
    """A partition with records that its group has not taken.

    committed: up to which offset it has, -1 if nowhere; records: how many wait.
    """

    committed: int
    records: int


class Standstills:
    """Whether Telegraf takes what waits for it, and whether a restart may help."""

    # Longer than any wait of its own: 20 s for an answer of InfluxDB, 10 s until Kafka gives a
    # member up, 5 s between two attempts (lib/telegraf/writer.nix, sarama's defaults).
    _LEAST_NS = 25 * 10**9

    def __init__(self) -> None:
        self._pauses = Pauses()
        self._since: dict[Place, tuple[int, int]] = {}

    def due(
        self, now_ns: int, waiting: Mapping[Place, Waiting] | None, *, store: bool
    ) -> list[Place]:
        """The partitions for which to restart Telegraf now, if any; then it counts as done.

        Args:
            waiting: None while Kafka does not answer.
            store: InfluxDB answers, and does not refuse what is written.
        """
        if waiting is None or not store:
            # Once they are there again it has all the time anew.
            self._since = {}
            waiting = {}
        since: dict[Place, tuple[int, int]] = {}
        for place, found in waiting.items():
            committed, begun = self._since.get(place, (None, now_ns))
            since[place] = found.committed, begun if committed == found.committed else now_ns
        self._since = since
        still = [place for place, (_, begun) in since.items() if now_ns - begun >= self._LEAST_NS]
        if not self._pauses.over(now_ns, ill=bool(still)) or not still:
            return []
        self._pauses.begin(now_ns)
        self._since = {}
        return sorted(still)


def waiting_of(ends: Mapping[Place, int], committed: Mapping[Place, int]) -> dict[Place, Waiting]:
    """Which partitions have records that their group has not taken.

    One record alone does not count: the last one of `model` is the mark at a transaction's end,
    which no reader gets to see.

    Args:
        ends: where each partition ends, by its group; committed: as far as the group has any.
    """
    found = {}
    for place, end in ends.items():
        at = committed.get(place, -1)
        records = end - max(at, 0)
        if records > 1:
            found[place] = Waiting(at, records)
    return found
