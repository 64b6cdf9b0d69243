"""The guard's state machine: whatever happens in whatever order, it ends, and never by accident."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline.guard.state import (
    ATTEMPTS,
    FINAL,
    Action,
    ConfirmAsked,
    Done,
    Ended,
    Event,
    Moment,
    Persist,
    Phase,
    Reboot,
    Record,
    Revert,
    RevertAsked,
    Started,
    Switch,
    Ticked,
    Wait,
    step,
)
from fieldline.guard.store import Store
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

OLD, NEW, OTHER = "/nix/store/old", "/nix/store/new", "/nix/store/other"
DEADLINE = 100
EARLY, LATE = Moment("a", 50), Moment("a", DEADLINE)


def record(phase: Phase = Phase.ARMED, **more: object) -> Record:
    return replace(Record("id", OLD, NEW, "a", DEADLINE, phase), **more)  # type: ignore[arg-type]


def after(first: Record, *events: Event) -> tuple[Record, Action]:
    """The record and the last action after some events."""
    action: Action = Wait()
    for event in events:
        result = step(first, event)
        first, action = result.record, result.action
    return first, action


def ended(phase: Phase, cause: str = "", note: str = "", now: Moment = EARLY) -> Ended:
    return Ended(now, phase, cause, note)


def test_the_usual_way() -> None:
    first, action = after(record(), Started(EARLY, OLD))
    assert (first.phase, action) == (Phase.TESTING, Switch())
    first, action = after(first, ended(Phase.TESTING))
    assert (first.phase, action) == (Phase.WAITING, Wait())
    first, action = after(first, ConfirmAsked(EARLY, "id"), Ticked(EARLY))
    assert (first.phase, action) == (Phase.PERSISTING, Persist())
    first, action = after(first, ended(Phase.PERSISTING))
    assert (first.phase, action) == (Phase.CONFIRMED, Done())


def test_without_a_confirmation_it_goes_back() -> None:
    first, action = after(record(Phase.WAITING), Ticked(EARLY))
    assert (first.phase, action) == (Phase.WAITING, Wait())
    first, action = after(first, Ticked(LATE))
    assert (first.phase, action) == (Phase.REVERTING, Revert())
    first, action = after(first, ended(Phase.REVERTING))
    assert (first.phase, action) == (Phase.REVERTED, Done())
    assert first.reason == "nobody confirmed in time"


@pytest.mark.parametrize(
    ("phase", "event", "refused"),
    [
        (Phase.ARMED, ConfirmAsked(EARLY, "id"), "too early"),
        (Phase.TESTING, ConfirmAsked(EARLY, "id"), "too early"),
        (Phase.WAITING, ConfirmAsked(EARLY, "id"), ""),
        (Phase.WAITING, ConfirmAsked(LATE, "id"), "too late"),
        (Phase.WAITING, ConfirmAsked(EARLY, "other"), "under guard is id"),
        (Phase.WAITING, ConfirmAsked(Moment("b", 1), "id"), "has restarted"),
        (Phase.PERSISTING, ConfirmAsked(LATE, "id"), ""),
        (Phase.REVERTING, ConfirmAsked(EARLY, "id"), "too late"),
        (Phase.REBOOTING, ConfirmAsked(EARLY, "id"), "too late"),
        (Phase.REVERTED, ConfirmAsked(EARLY, "id"), "too late"),
        (Phase.CONFIRMED, ConfirmAsked(EARLY, "id"), ""),
        (Phase.CONFIRMED, ConfirmAsked(EARLY, "other"), "not the last one"),
        (Phase.WAITING, RevertAsked(EARLY, None), ""),
        (Phase.TESTING, RevertAsked(EARLY, "id"), ""),
        (Phase.WAITING, RevertAsked(EARLY, "other"), "under guard is id"),
        (Phase.PERSISTING, RevertAsked(EARLY, None), "confirmed already"),
        (Phase.CONFIRMED, RevertAsked(EARLY, None), "confirmed already"),
        (Phase.REVERTED, RevertAsked(EARLY, None), ""),
    ],
)
def test_who_asks_is_answered(phase: Phase, event: Event, refused: str) -> None:
    result = step(record(phase), event)
    assert bool(result.refused) == bool(refused)
    assert refused in result.refused
    if refused:
        assert result.record == record(phase)


def test_a_failed_switch_goes_back() -> None:
    first, action = after(record(Phase.TESTING), ended(Phase.TESTING, "exit 4"))
    assert (first.phase, action) == (Phase.REVERTING, Revert())
    assert first.reason == "the switch failed: exit 4"


def test_a_switch_that_ends_at_the_deadline_goes_back() -> None:
    first, action = after(record(Phase.TESTING), ended(Phase.TESTING, now=LATE))
    assert (first.phase, action) == (Phase.REVERTING, Revert())
    first, action = after(record(Phase.TESTING), Ticked(LATE))
    assert (first.phase, action) == (Phase.REVERTING, Revert())


def test_an_interrupted_switch_is_not_repeated_and_everything_else_is() -> None:
    again = Started(EARLY, NEW)
    assert after(record(Phase.TESTING), again)[1] == Revert()
    assert after(record(Phase.WAITING), again) == (record(Phase.WAITING), Wait())
    assert after(record(Phase.PERSISTING), again)[1] == Persist()
    assert after(record(Phase.REVERTING), again)[1] == Revert()
    assert after(record(Phase.CONFIRMED), again)[1] == Done()


def test_asked_to_go_back_while_it_switches_the_end_of_the_switch_is_not_that_of_the_way_back() -> (
    None
):
    asked, _ = after(record(Phase.TESTING), RevertAsked(EARLY, None))
    assert after(asked, ended(Phase.TESTING)) == (replace(asked, attempts=1), Revert())


@pytest.mark.parametrize("phase", [Phase.ARMED, Phase.TESTING, Phase.WAITING, Phase.REVERTING])
def test_a_restart_before_the_confirmation_went_back(phase: Phase) -> None:
    first, action = after(record(phase, reason="r"), Started(Moment("b", 1), OLD))
    assert (first.phase, first.boot, action) == (Phase.REVERTED, "b", Done())
    # Another system than the old one came up: that is no way back yet.
    first, action = after(record(phase), Started(Moment("b", 1), OTHER))
    assert (first.phase, first.boot, action) == (Phase.REVERTING, "b", Revert())


def test_a_restart_does_not_undo_a_confirmation() -> None:
    for running in (OLD, NEW):
        first, action = after(record(Phase.PERSISTING), Started(Moment("b", 1), running))
        assert (first.phase, action) == (Phase.PERSISTING, Persist())


def test_what_cannot_be_persisted_goes_back_after_some_attempts() -> None:
    first = record(Phase.PERSISTING)
    for _ in range(ATTEMPTS):
        first, action = after(first, Ticked(LATE))
        assert action == Persist()
        first, action = after(first, ended(Phase.PERSISTING, "disk full", now=LATE))
        assert isinstance(action, Wait)
        assert action.seconds > 0
    first, action = after(first, Ticked(LATE))
    assert (first.phase, action) == (Phase.REVERTING, Revert())
    assert "could not be made the boot default" in first.reason


def test_a_failing_way_back_restarts_the_host_once() -> None:
    first = record(Phase.REVERTING, reason="r")
    for _ in range(ATTEMPTS):
        first, action = after(first, Ticked(LATE))
        assert action == Revert()
        first, _ = after(first, ended(Phase.REVERTING, "exit 1", now=LATE))
    first, action = after(first, Ticked(LATE))
    assert (first.phase, action) == (Phase.REBOOTING, Reboot())
    # It came up with another system, and from there it goes on without a further restart.
    later = Moment("b", 1)
    first, action = after(first, Started(later, OTHER))
    for _ in range(3 * ATTEMPTS):
        assert action == Revert()
        first, action = after(first, ended(Phase.REVERTING, "exit 1", now=later), Ticked(later))
    first, _ = after(first, ended(Phase.REVERTING, now=later))
    assert (first.phase, first.reason, first.reboots) == (Phase.REVERTED, "r", 1)


def test_a_kill_during_each_attempt_counts() -> None:
    first = record(Phase.REVERTING)
    actions = []
    for _ in range(ATTEMPTS + 1):
        first, action = after(first, Started(LATE, NEW))
        actions.append(action)
    assert actions == [Revert()] * ATTEMPTS + [Reboot()]


def test_the_store_keeps_the_record_and_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.read() is None
    assert store.apply(Ticked(EARLY)) is None
    store.write(record(Phase.WAITING))
    result = store.apply(Ticked(LATE))
    assert result is not None
    assert store.read() == result.record
    assert result.record.phase is Phase.REVERTING
    # A power cut leaves the old or the new file; half of one is somebody's doing.
    for text in ("", "{", "[]", '{"phase": "armed"}', '{"phase": "flying"}'):
        (tmp_path / "switch.json").write_text(text)
        with pytest.raises(FieldlineError, match="holds no record"):
            store.read()


class GuardedHost(RuleBasedStateMachine):
    """A host with a guard that is killed, cut from power and asked things at any moment."""

    # Any phase with what may be true in it: the way to the late ones is long and mostly ends early.
    @initialize(
        attempts=st.integers(1, 2),
        phase=st.sampled_from([p for p in Phase if p not in FINAL]),
        written=st.booleans(),
    )
    def arm(self, attempts: int, phase: Phase, written: bool) -> None:
        # Few, so that a run comes to what follows after them.
        self.attempts = attempts
        self.record = record(phase, reason="r")
        self.boot = 0
        self.clock = 0
        self.restarts = 0
        self.running = OLD if phase is Phase.ARMED else NEW
        self.confirmed_in_time = phase is Phase.PERSISTING or (
            written and phase in (Phase.REVERTING, Phase.REBOOTING)
        )
        self.default = NEW if self.confirmed_in_time and written else OLD
        self.action: Action | None = None
        """What the guard's process does now; None while there is no process."""

    @property
    def now(self) -> Moment:
        return Moment("a" if self.boot == 0 else f"b{self.boot}", self.clock)

    def apply(self, event: Event) -> Action:
        result = step(self.record, event, self.attempts)
        self.record = result.record
        return result.action

    @rule(passed=st.sampled_from([1, 1, DEADLINE]))
    def time_passes(self, passed: int) -> None:
        self.clock += passed

    @precondition(lambda self: self.action is None)
    @rule()
    def systemd_starts_the_guard(self) -> None:
        self.action = self.apply(Started(self.now, self.running))

    @precondition(lambda self: self.action is not None)
    @rule()
    def the_guard_is_killed(self) -> None:
        self.action = None

    @precondition(lambda self: self.boot < 2)
    @rule()
    def power_is_cut(self) -> None:
        self.action = None
        self.boot += 1
        self.clock = 0
        self.running = self.default

    @precondition(lambda self: self.action is not None)
    @rule(well=st.sampled_from([True, True, False]), halfway=st.booleans())
    def the_guard_goes_on(self, well: bool, halfway: bool) -> None:
        cause = "" if well else "it failed"
        match self.action:
            case Switch():
                assert self.record.phase in (Phase.TESTING, Phase.REVERTING)
                if well or halfway:
                    self.running = NEW
                self.action = self.apply(Ended(self.now, Phase.TESTING, cause))
            case Persist():
                # No host boots by itself what nobody confirmed.
                assert self.confirmed_in_time
                if well or halfway:
                    self.default = NEW
                if well:
                    self.running = NEW
                self.action = self.apply(Ended(self.now, Phase.PERSISTING, cause))
            case Revert():
                if well or halfway:
                    self.running = OLD
                if well:
                    self.default = OLD
                self.action = self.apply(Ended(self.now, Phase.REVERTING, cause))
            case Reboot():
                if well:
                    self.restarts += 1
                    self.power_is_cut()
                else:
                    self.action = self.apply(Ended(self.now, Phase.REBOOTING, cause))
            case Wait():
                self.action = self.apply(Ticked(self.now))
            case _:
                pass

    @rule(name=st.sampled_from(["id", "id", "other"]))
    def somebody_confirms(self, name: str) -> None:
        waiting = self.record.phase is Phase.WAITING
        in_time = self.boot == 0 and self.clock < DEADLINE
        before = self.record
        self.apply(ConfirmAsked(self.now, name))
        if waiting and in_time and name == "id":
            assert self.record.phase is Phase.PERSISTING
            self.confirmed_in_time = True
        else:
            assert self.record == before

    @precondition(lambda self: self.record.phase in (Phase.WAITING, Phase.TESTING))
    @rule()
    def somebody_wants_to_go_back(self) -> None:
        self.apply(RevertAsked(self.now, None))

    @invariant()
    def nothing_is_kept_without_a_confirmation_in_time(self) -> None:
        if self.record.phase in (Phase.PERSISTING, Phase.CONFIRMED):
            assert self.confirmed_in_time
        if not self.confirmed_in_time:
            assert self.default == OLD

    @invariant()
    def the_end_is_true(self) -> None:
        if self.record.phase is Phase.CONFIRMED:
            assert (self.running, self.default) == (NEW, NEW)
        if self.record.phase is Phase.REVERTED:
            assert (self.running, self.default) == (OLD, OLD)

    @invariant()
    def the_guard_restarts_a_host_once_at_most(self) -> None:
        assert self.restarts <= 1

    def teardown(self) -> None:
        """From wherever it is, if things only go well from now on, it ends."""
        self.clock += DEADLINE
        for _ in range(20):
            if self.record.final:
                break
            if self.action is None:
                self.systemd_starts_the_guard()
            else:
                self.the_guard_goes_on(well=True, halfway=False)
        assert self.record.final
        self.the_end_is_true()


TestGuardedHost = GuardedHost.TestCase
TestGuardedHost.settings = settings(max_examples=400, stateful_step_count=20)
