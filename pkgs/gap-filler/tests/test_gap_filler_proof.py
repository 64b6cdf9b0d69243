"""A log that loses its end and grows again, read in pieces: what was read is what it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gap_filler.proof import RESTART_MS, Again, Cut, Next, Proof
from gap_filler.trail import Mark, Step, Trail
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

BEGIN_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Record:
    offset: int
    timestamp: int
    value: bytes


def records(first: int, last: int, at_ms: int = BEGIN_MS, value: bytes = b"a") -> list[Any]:
    return [Record(offset, at_ms, value) for offset in range(first, last)]


def proof(*marks: Mark) -> Proof:
    return Proof([Trail([Step(0, {}), *(Step(m.offset, {0: m}) for m in marks)])])


def mark(offset: int, at_ms: int = BEGIN_MS, value: bytes = b"a") -> Mark:
    [record] = records(offset, offset + 1, at_ms, value)
    return Mark.of(record)


def test_what_was_appended_soon_after_comes_next() -> None:
    here = proof()
    assert here.given(0, records(0, 5)) == Next(records(0, 5))
    later = records(5, 9, BEGIN_MS + RESTART_MS)
    assert here.given(0, later) == Next(later)
    assert here.marks == {0: mark(8, BEGIN_MS + RESTART_MS)}


def test_after_a_pause_the_newest_record_is_read_once_more_and_left_out() -> None:
    for pause in (RESTART_MS + 1, -1):
        here = proof()
        here.given(0, records(0, 5))
        later = records(5, 9, BEGIN_MS + pause)
        assert here.given(0, later) == Again(4)
        assert here.given(0, records(4, 5) + later) == Next(later)
        assert not here.doubted


def test_another_record_in_its_place_shows_that_the_end_was_lost() -> None:
    for other in (records(9, 10, BEGIN_MS + 1), records(9, 10, value=b"b")):
        here = proof(mark(3), mark(6))
        here.given(0, records(7, 10))
        assert here.given(0, other) == Again(6)
        assert here.doubted == {0}
        assert here.given(0, records(6, 7) + records(7, 9, value=b"b")) == Cut(7, 10)
        assert not here.doubted


def test_a_log_that_is_shorter_is_looked_into_where_it_may_be_the_same() -> None:
    here = proof(mark(3), mark(6), mark(9))
    assert here.ends(0, 0, 10) is None
    assert here.ends(0, 0, 9) == Again(6)
    assert here.given(0, records(6, 7, value=b"b")) == Again(3)
    assert here.given(0, records(3, 4)) == Cut(4, 10)


def test_a_log_without_any_record_that_was_read_has_lost_all() -> None:
    here = proof(mark(3))
    assert here.ends(0, 0, 0) == Cut(0, 4)
    assert here.given(0, records(0, 2, value=b"b")) == Next(records(0, 2, value=b"b"))


def test_what_retention_has_removed_is_not_lost() -> None:
    here = proof(mark(3))
    assert here.ends(0, 4, 9) is None
    assert here.given(0, records(4, 6)) == Next(records(4, 6))


class Logs(RuleBasedStateMachine):
    """A log, a reader of it, and its position, which is how many records it has read."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Record] = []
        self.now = BEGIN_MS
        self.made = 0
        self.trail = Trail([Step(0, {})])
        self.position = 0
        self.read: list[Record] = []
        self.resume()

    @rule(count=st.integers(1, 9), pause=st.integers(0, 3 * RESTART_MS))
    def append(self, count: int, pause: int) -> None:
        self.now += pause
        for _ in range(count):
            self.made += 1
            self.log.append(Record(len(self.log), self.now, b"%d" % self.made))

    @rule(share=st.floats(0, 1), grown=st.integers(0, 30))
    def restart(self, share: float, grown: int) -> None:
        """Lose the end, or nothing; grow again before anybody looks."""
        del self.log[round(share * len(self.log)) :]
        self.now += RESTART_MS + 1
        if grown:
            self.append(grown, 0)

    @rule()
    def note(self) -> None:
        if not self.proof.doubted:
            self.position = len(self.read)
            self.trail.note(self.position, self.proof.marks)

    @rule(back=st.integers(0, 20))
    def resume(self, back: int = 0) -> None:
        """The reader itself is started again, from what is kept."""
        self.read = self.read[: self.position]
        self.proof = Proof([self.trail])
        self.next = self.proof.begin(0, max(0, len(self.read) - back))
        self.look()

    def look(self) -> None:
        verdict = self.proof.ends(0, 0, len(self.log))
        if verdict is not None:
            self.heed(verdict)

    def heed(self, verdict: Again | Cut) -> None:
        if isinstance(verdict, Cut):
            self.position = self.trail.cut(0, verdict.end) or 0
            self.read = self.read[: verdict.end]
            self.next = self.proof.begin(0, max(0, self.position - 3))
        else:
            self.next = verdict.offset

    @rule(most=st.integers(1, 12))
    def poll(self, most: int) -> None:
        if self.next > len(self.log):
            # Out of range: the session ends, and the next one asks for the ends.
            self.look()
            return
        polled = self.log[self.next : self.next + most]
        if not polled:
            # As the reader does once a second.
            self.look()
            return
        verdict = self.proof.given(0, polled)  # type: ignore[arg-type]
        if not isinstance(verdict, Next):
            self.heed(verdict)
            return
        self.next = polled[-1].offset + 1
        for record in verdict.records:
            # No record is passed over, whatever was lost.
            assert record.offset <= len(self.read)
            self.read[record.offset :] = [*self.read[record.offset : record.offset], record]

    @precondition(lambda self: self.log)
    @rule()
    def read_up(self) -> None:
        """In the end what was read is what there is, and the position relies on nothing else."""
        # A log that has grown to just where the reader is shows by the record after that.
        for _ in range(2):
            self.append(1, 2 * RESTART_MS)
            for _ in range(200):
                self.poll(12)
        assert not self.proof.doubted
        assert self.read == self.log
        assert self.position <= len(self.log)
        for step in self.trail.steps:
            for there in step.marks.values():
                assert Mark.of(self.log[there.offset]) == there  # type: ignore[arg-type]
                assert step.position_ns <= there.offset + 1

    @invariant()
    def the_trail_is_in_order(self) -> None:
        offsets = [m.offset for m in self.trail.marks(0)]
        assert offsets == sorted(offsets)


Logs.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLogs = Logs.TestCase
