"""The process behind `deploy-guard.service`: does what the state machine says, until it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from fieldline.guard.state import (
    ATTEMPTS,
    Action,
    Done,
    Ended,
    Event,
    Moment,
    Persist,
    Phase,
    Reboot,
    Record,
    Revert,
    Started,
    Switch,
    Ticked,
    Wait,
)
from fieldline.guard.store import Store
from fieldline.guard.system import POLL_SECONDS, GoOn


class Host(Protocol):
    """What is done on a host; see `fieldline.guard.system.Machine`."""

    def test(self, system: str, go_on: GoOn) -> str:
        """Switch to a system without making it the boot default."""

    def persist(self, system: str) -> tuple[str, str]:
        """Make a system the boot default."""

    def revert(self, system: str) -> tuple[str, str]:
        """Go back to a system."""

    def reboot(self) -> str:
        """Restart the host."""


class Runner:
    """Drives the record in a store to its end."""

    def __init__(
        self,
        store: Store,
        host: Host,
        *,
        now: Callable[[], Moment],
        running: Callable[[], str],
        say: Callable[[Record], None],
        sleep: Callable[[float], None] = time.sleep,
        attempts: int = ATTEMPTS,
    ) -> None:
        self._store = store
        self._host = host
        self._now = now
        self._running = running
        self._say = say
        self._sleep = sleep
        self._attempts = attempts
        self._said: Phase | None = None

    def run(self) -> Record | None:
        """Go on from the recorded phase until the switch is confirmed or reverted."""
        action = self._apply(Started(self._now(), self._running()))
        while not isinstance(action, Done):
            action = self._do(action)
        return self._store.last()

    def _apply(self, event: Event) -> Action:
        result = self._store.apply(event, self._attempts)
        if result is None:
            return Done()
        if result.record.phase is not self._said:
            self._said = result.record.phase
            self._say(result.record)
        return result.action

    def _do(self, action: Action) -> Action:
        """Do what is to be done; gives what comes next."""
        record = self._store.last()
        if record is None:
            return Done()
        match action:
            case Switch():
                return self._test(record)
            case Persist():
                cause, note = self._host.persist(record.new)
                return self._apply(Ended(self._now(), Phase.PERSISTING, cause, note))
            case Revert():
                cause, note = self._host.revert(record.old)
                return self._apply(Ended(self._now(), Phase.REVERTING, cause, note))
            case Reboot():
                return self._apply(Ended(self._now(), Phase.REBOOTING, self._host.reboot()))
            case Wait(seconds):
                # The clock of a deadline goes on while a host is suspended, timers may not: looking
                # often costs nothing over some minutes, and also sees what another process decided.
                self._sleep(max(seconds, POLL_SECONDS))
                return self._apply(Ticked(self._now()))
            case Done():
                return action

    def _test(self, record: Record) -> Action:
        decided: list[Action] = []

        def go_on() -> bool:
            """Whether the switch may go on: it is neither late nor was going back asked for."""
            action = self._apply(Ticked(self._now()))
            if not isinstance(action, Wait):
                decided.append(action)
            return not decided

        cause = self._host.test(record.new, go_on)
        if decided:
            return decided[0]
        return self._apply(Ended(self._now(), Phase.TESTING, cause))
