"""A guarded switch as the admin's side sees it: begin, watch, confirm, or tell what went wrong.

Nothing here can hold the host up: whatever becomes of this process or of the network, the host's
guard decides by its own clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

from fieldline.deploy.facts import GENERATION, Facts, parse_facts
from fieldline.deploy.remote import Answer
from fieldline.errors import FieldlineError
from fieldline.service import ServiceError

GUARD = ["sudo", "-n", "fieldline", "guard"]
CURRENT = "/run/current-system"

POLL_SECONDS = 0.5
# For one question; a host that is switching answers late.
ANSWER_SECONDS = 20.0
# What is left for the confirmation to arrive, ssh's log in included, when fresh data were waited
# for as long as possible. A Pi's log in and start of Python take about 2 s.
MARGIN_SECONDS = 4.0
# A way back: three attempts of a switch and, at last, a restart. Not longer than anybody looks on.
GO_BACK_SECONDS = 300.0

Say = Callable[..., None]


class Outcome(IntEnum):
    """How it ended; the exit codes of `fieldline deploy`."""

    CONFIRMED = 0
    REFUSED = 1
    WENT_BACK = 3
    UNKNOWN = 4


class Remote(Protocol):
    """A host that commands can be run on; see `fieldline.deploy.remote.Ssh`."""

    def run(self, argv: Sequence[str], timeout: float | None = None) -> Answer:
        """Run a command there."""


@dataclass
class Deployment:
    """One guarded switch of one host.

    Args:
        ways: how the host may be reached, the present way first; the last one that worked is tried
            first.
        database: how the host with InfluxDB is reached, or None if that is this host.
        fresh: whether the site has a database at all, in which fresh data can be seen.
        say: is told each event, with its data.
    """

    name: str
    ways: list[Remote]
    database: Remote | None
    fresh: bool
    say: Say
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    id: str = ""
    deadline: float = 0.0
    """When the host goes back by itself, by `clock`."""
    problems: list[str] = field(default_factory=list)
    """What did not return, for the report."""

    # -- before anything -------------------------------------------------------------------------

    def check_idle(self) -> None:
        """Refuse where the host cannot be reached or is switching already.

        Raises:
            FieldlineError: with the reason; nothing was changed.
        """
        answer = self.ways[0].run([*GUARD, "status", "--json"], ANSWER_SECONDS)
        status = answer.json()
        if not answer.reached:
            raise FieldlineError(
                f"{self.name} cannot be reached by ssh; nothing was changed. Try `ssh` with the"
                " same user, key and port: a host whose key is not known yet is refused here.",
                answer.errors.strip(),
            )
        if answer.code or status is None:
            raise FieldlineError(
                f"{self.name} has no guard that this user may ask; nothing was changed. The user"
                " must be an admin of the site, and the host have a system of Fieldline.",
                answer.errors.strip() or answer.output.strip()[-500:],
            )
        if status["armed"]:
            raise FieldlineError(
                f"{self.name} is under guard already: switch {status['id']}, {status['phase']},"
                f" {status['remaining_s']:.0f} s left. Wait for its end, or go back now with"
                f" `sudo fieldline guard revert {status['id']}` there."
            )

    def facts(self, system: str = CURRENT) -> Facts:
        """What a system on the host says that it cannot go back from.

        Raises:
            FieldlineError: the host cannot be asked, or the facts are none.
        """
        path = f"{system}/{GENERATION}"
        # `cat` alone would not tell a missing file from one that cannot be read.
        answer = self.ways[0].run(
            ["sh", "-c", f'if test -e "{path}"; then cat "{path}"; fi'], ANSWER_SECONDS
        )
        if answer.code:
            raise FieldlineError(
                f"{path} on {self.name} cannot be read; nothing was changed.",
                answer.errors.strip(),
            )
        return parse_facts(answer.output, f"{path} on {self.name}")

    # -- the switch ------------------------------------------------------------------------------

    def start(self, system: str, within: float) -> None:
        """Have the host switch under guard.

        Raises:
            FieldlineError: it refused; nothing was changed. A ServiceError with the exit code
                for it where that is not known.
        """
        # The host's clock begins a little later: it never goes back before this says so.
        self.deadline = self.clock() + within
        argv = [*GUARD, "start", system, "--within", f"{round(within * 1000)}ms", "--json"]
        answer = self.ways[0].run(argv, ANSWER_SECONDS)
        status = answer.json()
        if not answer.reached:
            # It may have begun all the same.
            status = self._status_of(lambda found: found.get("new") == system and found["armed"])
            if status is None:
                raise ServiceError(
                    f"The connection to {self.name} broke while the switch was to begin. If it has"
                    f" begun, the host goes back by itself within {within:.0f} s; ask `sudo"
                    " fieldline guard status` there.",
                    answer.errors.strip(),
                    code=Outcome.UNKNOWN,
                )
        if status is None or (answer.reached and answer.code):
            raise FieldlineError(
                f"{self.name} did not begin the switch; nothing was changed.",
                answer.errors.strip() or answer.output.strip()[-500:],
            )
        self.id = str(status["id"])
        self.say("armed", f"{self.name} switches under guard {self.id}", id=self.id, system=system)

    def _status_of(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        """The host's status, whichever way it is reached, if it is the wanted one."""
        for way in list(self.ways):
            answer = way.run([*GUARD, "status", "--json"], ANSWER_SECONDS)
            status = answer.json()
            if answer.code == 0 and status is not None and wanted(status):
                self.ways.remove(way)
                self.ways.insert(0, way)
                return status
        return None

    def _status(self) -> dict[str, Any] | None:
        """The status of this switch, or None if the host cannot be asked now."""
        return self._status_of(lambda found: found.get("id") == self.id)

    # -- watching --------------------------------------------------------------------------------

    def watch(self) -> Outcome:
        """Wait for host and data, confirm; or wait until the host is back."""
        status = self._until_switched()
        if status is not None and status["phase"] == "waiting":
            self.say("switched", f"{self.name} has switched and answers again")
            if self._fresh(float(status["remaining_s"]) - MARGIN_SECONDS):
                return self._confirm()
        return self._end()

    def _until_switched(self) -> dict[str, Any] | None:
        """The status once the host has switched or goes back; None if it does not answer."""
        while True:
            status = self._status()
            if status is not None and status["phase"] not in ("armed", "testing"):
                return status
            if self.clock() >= self.deadline:
                answers = "has not switched" if status else "does not answer by ssh"
                self.problems.append(f"{self.name} {answers}")
                return status
            self.sleep(POLL_SECONDS)

    def _fresh(self, seconds: float) -> bool:
        if not self.fresh:
            self.say("fresh", "the site has no database: nobody looks for fresh data", skipped=True)
            return True
        end = self.clock() + seconds
        while (left := end - self.clock()) > 0:
            where = self.database or self.ways[0]
            within = f"{round(left * 1000)}ms"
            self.say("waiting", f"waiting up to {left:.0f} s for fresh data of every variable")
            answer = where.run(
                ["sudo", "-n", "fieldline", "wait", "--fresh-within", within, "--json"],
                left + ANSWER_SECONDS,
            )
            waited = answer.json()
            if answer.code == 0:
                seconds_taken = round(float((waited or {}).get("seconds", 0.0)), 1)
                self.say("fresh", f"fresh data after {seconds_taken} s", seconds=seconds_taken)
                return True
            if answer.reached:
                self.problems.append(_missing(answer, waited))
                return False
            self.sleep(POLL_SECONDS)
        self.problems.append("the database's host does not answer by ssh")
        return False

    def _confirm(self) -> Outcome:
        answer = self.ways[0].run([*GUARD, "confirm", self.id, "--json"], GO_BACK_SECONDS)
        if answer.code == 0:
            return Outcome.CONFIRMED
        if answer.reached:
            self.problems.append(answer.errors.strip() or "the confirmation was refused")
        # Without an answer it may have arrived or not: the host knows.
        return self._end()

    def _end(self) -> Outcome:
        """Wait for the host's own decision and tell it."""
        left = max(self.deadline - self.clock(), 0.0)
        self.say(
            "problem",
            f"not confirmed: {'; '.join(self.problems) or 'the host goes back'}",
            problems=self.problems,
            goes_back_in_s=round(left, 1),
        )
        self.say("waiting", f"{self.name} goes back by itself, in {left:.0f} s at the latest")
        end = self.deadline + GO_BACK_SECONDS
        while True:
            status = self._status()
            if status is not None and not status["armed"]:
                if status["phase"] == "confirmed":
                    return Outcome.CONFIRMED
                self.problems.append(f"the host says: {status['reason']}")
                return Outcome.WENT_BACK
            if self.clock() >= end:
                return Outcome.UNKNOWN
            self.sleep(POLL_SECONDS)


def _missing(answer: Answer, waited: dict[str, Any] | None) -> str:
    if waited is None or not waited.get("missing"):
        return "no fresh data: " + (answer.errors.strip() or "the database gave no answer")
    names = [f"{one['asset']} {one['name']}" for one in waited["missing"]]
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return f"no fresh data of {len(names)} series: {shown}"
