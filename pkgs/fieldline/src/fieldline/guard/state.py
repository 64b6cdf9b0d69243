"""The guard of a switch as a pure state machine: `step(record, event)` gives record and action.

The record is what is on the disk, so it is all that survives a kill or a power cut. A phase is
written before what it is named after begins; whoever finds it afterwards knows how far it may have
come. Nothing here asks a clock or starts anything.

    armed → testing → waiting → persisting → confirmed
              ↓          ↓          ↓
            reverting ←─────────────┘  → reverted
              ↓ after some attempts
            rebooting (once) → reverted, or reverting again where another system came up
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

# What goes on failing (a boot loader that cannot be written, an old system whose switch ends with
# an error) is tried this often. Of the way back it is the last resort that follows then: a restart.
ATTEMPTS = 3

# Between two attempts: what failed a moment ago (a unit that is still stopping) may end meanwhile.
RETRY_SECONDS = 2.0


class Phase(StrEnum):
    """How far a guarded switch has come."""

    ARMED = "armed"
    TESTING = "testing"
    WAITING = "waiting"
    PERSISTING = "persisting"
    CONFIRMED = "confirmed"
    REVERTING = "reverting"
    REBOOTING = "rebooting"
    REVERTED = "reverted"


FINAL = frozenset({Phase.CONFIRMED, Phase.REVERTED})
# Before the confirmation: whatever happens now, the host goes back.
UNDECIDED = frozenset({Phase.ARMED, Phase.TESTING, Phase.WAITING})


@dataclass(frozen=True, slots=True)
class Moment:
    """When: ns of CLOCK_BOOTTIME, which no clock step moves, and the boot in which it counts."""

    boot: str
    ns: int


@dataclass(frozen=True, slots=True)
class Record:
    """One guarded switch."""

    id: str
    old: str
    new: str
    boot: str
    """The boot in which `deadline` counts."""
    deadline: int
    phase: Phase = Phase.ARMED
    reason: str = ""
    """Why the host goes, or went, back; or a remark on how it was confirmed."""
    attempts: int = 0
    """How often what the phase is named after was begun."""
    reboots: int = 0
    """Restarts that the guard itself asked for."""

    @property
    def final(self) -> bool:
        """Whether it is over."""
        return self.phase in FINAL


# -- what happens -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The guard's process has started, for the first time or again; `running` is the system now."""

    now: Moment
    running: str


@dataclass(frozen=True, slots=True)
class Ticked:
    """Some time has passed."""

    now: Moment


@dataclass(frozen=True, slots=True)
class ConfirmAsked:
    """Somebody confirms the switch with this id."""

    now: Moment
    id: str


@dataclass(frozen=True, slots=True)
class RevertAsked:
    """Somebody wants to go back at once."""

    now: Moment
    id: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    """What was begun in `phase` has ended; `cause` is empty if it went well."""

    now: Moment
    phase: Phase
    cause: str
    note: str = ""
    """What is worth telling though it went well."""


Event = Started | Ticked | ConfirmAsked | RevertAsked | Ended


# -- what is to be done -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Switch:
    """Switch to the new system without making it the boot default; not beyond the deadline."""


@dataclass(frozen=True, slots=True)
class Persist:
    """Make the new system the boot default."""


@dataclass(frozen=True, slots=True)
class Revert:
    """Switch to the old system, and make it the boot default where it is not."""


@dataclass(frozen=True, slots=True)
class Reboot:
    """Restart the host: the boot default is the old system."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing but waiting; `seconds` at least where something has failed just now."""

    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Done:
    """It is over."""


Action = Switch | Persist | Revert | Reboot | Wait | Done


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of a record, what is to be done, and why a question was refused."""

    record: Record
    action: Action
    refused: str = ""


def step(record: Record, event: Event, attempts: int = ATTEMPTS) -> Step:
    """What an event makes of a record. Only `Started`, `Ticked` and `Ended` begin something."""
    if record.final:
        return _after_the_end(record, event)
    if event.now.boot != record.boot and not isinstance(event, Started):
        # The guard has not looked yet at what came up.
        return Step(record, Wait(), "The host has restarted; the guard decides what that means.")
    match event:
        case Started():
            return _begin(_found(record, event), event.now, attempts)
        case Ticked():
            return _begin(_late(record, event.now), event.now, attempts)
        case ConfirmAsked():
            return _confirm(record, event)
        case RevertAsked():
            return _revert(record, event)
        case Ended():
            return _ended(record, event, attempts)
        case _:
            assert_never(event)


def _to(record: Record, phase: Phase, reason: str = "") -> Record:
    return replace(record, phase=phase, reason=reason or record.reason, attempts=0)


def _back(record: Record, reason: str) -> Record:
    return _to(record, Phase.REVERTING, reason)


def _after_the_end(record: Record, event: Event) -> Step:
    refused = ""
    if isinstance(event, ConfirmAsked) and event.id != record.id:
        refused = f"The switch {event.id} is not the last one, which was {record.id}."
    elif isinstance(event, ConfirmAsked) and record.phase is Phase.REVERTED:
        refused = f"It comes too late: the host went back ({record.reason})."
    elif isinstance(event, RevertAsked) and record.phase is Phase.CONFIRMED:
        refused = "It is confirmed already; deploy the earlier system instead."
    return Step(record, Done(), refused)


def _found(record: Record, event: Started) -> Record:
    """What the guard's start finds: the first one, one after a kill, or one after a restart."""
    if event.now.boot == record.boot:
        if record.phase is Phase.TESTING:
            # How far the switch came nobody knows, so it is not repeated.
            return _back(record, "the guard was interrupted while the host switched")
        return record
    here = replace(record, boot=event.now.boot)
    if record.phase is Phase.PERSISTING:
        # The confirmation stands; the boot default may be written or not.
        return replace(here, attempts=0)
    if event.running == record.old:
        if record.phase in UNDECIDED:
            reason = "the host restarted before a confirmation, and started the old system"
        else:
            reason = record.reason
        return _to(here, Phase.REVERTED, reason)
    # Neither confirmed nor old: somebody's other boot default, or one half written.
    return _back(here, record.reason or "the host restarted before a confirmation")


def _late(record: Record, now: Moment) -> Record:
    if record.phase in UNDECIDED and now.ns >= record.deadline:
        if record.phase is Phase.WAITING:
            return _back(record, "nobody confirmed in time")
        return _back(record, "the switch did not end in time")
    return record


def _begin(record: Record, now: Moment, attempts: int) -> Step:
    """The action of a phase. An attempt is counted before it begins, so that a kill counts too."""
    begun = replace(record, attempts=record.attempts + 1)
    match record.phase:
        case Phase.ARMED:
            record = _late(record, now)
            if record.phase is not Phase.ARMED:
                return _begin(record, now, attempts)
            return Step(_to(record, Phase.TESTING), Switch())
        case Phase.TESTING | Phase.WAITING:
            return Step(record, Wait())
        case Phase.PERSISTING:
            if record.attempts < attempts:
                return Step(begun, Persist())
            failed = "it was confirmed, but could not be made the boot default"
            return _begin(_back(record, failed), now, attempts)
        case Phase.REVERTING:
            # One restart at most: a host that starts again and again helps nobody.
            if record.attempts < attempts or record.reboots:
                return Step(begun, Revert())
            return _begin(_to(record, Phase.REBOOTING), now, attempts)
        case Phase.REBOOTING:
            return Step(replace(begun, reboots=1), Reboot())
        case Phase.CONFIRMED | Phase.REVERTED:
            return Step(record, Done())
        case _:
            assert_never(record.phase)


def _confirm(record: Record, event: ConfirmAsked) -> Step:
    if event.id != record.id:
        return Step(record, Wait(), f"The switch under guard is {record.id}, not {event.id}.")
    if record.phase is Phase.PERSISTING:
        return Step(record, Wait())
    if record.phase in UNDECIDED and event.now.ns >= record.deadline:
        return Step(record, Wait(), "It comes too late: the time for it has passed.")
    if record.phase is Phase.WAITING:
        return Step(_to(record, Phase.PERSISTING), Wait())
    if record.phase in UNDECIDED:
        return Step(record, Wait(), "It comes too early: the host has not switched yet.")
    return Step(record, Wait(), f"It comes too late: the host goes back ({record.reason}).")


def _revert(record: Record, event: RevertAsked) -> Step:
    if event.id is not None and event.id != record.id:
        return Step(record, Wait(), f"The switch under guard is {record.id}, not {event.id}.")
    if record.phase is Phase.PERSISTING:
        return Step(record, Wait(), "It is confirmed already; deploy the earlier system instead.")
    if record.phase in UNDECIDED:
        return Step(_back(record, "somebody asked for it"), Wait())
    return Step(record, Wait())


def _ended(record: Record, event: Ended, attempts: int) -> Step:
    if event.phase is not record.phase:
        # Something else was decided while it ran.
        return _begin(record, event.now, attempts)
    failed = Step(record, Wait(RETRY_SECONDS))
    match record.phase:
        case Phase.TESTING if event.cause:
            return _begin(_back(record, f"the switch failed: {event.cause}"), event.now, attempts)
        case Phase.TESTING:
            return _begin(_late(_to(record, Phase.WAITING), event.now), event.now, attempts)
        case Phase.PERSISTING:
            if event.cause:
                return failed
            return Step(_to(record, Phase.CONFIRMED, event.note), Done())
        case Phase.REVERTING:
            if event.cause:
                return failed
            reason = f"{record.reason}; {event.note}" if event.note else record.reason
            return Step(_to(record, Phase.REVERTED, reason), Done())
        case _:
            return failed
