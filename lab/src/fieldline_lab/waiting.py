"""The state of a host's units, and what it means for a boot."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,Result,Type,Job,NRestarts,ConditionResult,"
    "ConditionTimestampMonotonic,"
    "ExecMainExitTimestampMonotonic,ExecMainStatus,ActiveEnterTimestamp,InactiveEnterTimestamp,"
    "StateChangeTimestamp"
)

Verdict = Literal["running", "waiting", "stopped", "failed"]
# `stopped` is as bad as `failed` once the boot has ended: nothing will start the unit.


@dataclass(frozen=True)
class UnitState:
    """What systemd says of one unit."""

    name: str
    load: str
    active: str
    sub: str
    result: str
    restarts: int
    since: float | None
    """When it came into this state, in seconds since 1970."""
    verdict: Verdict
    exit_status: int

    @property
    def text(self) -> str:
        """The state for people: `active (running)`, with what is wrong if something is."""
        if self.load not in ("loaded", ""):
            return self.load
        text = f"{self.active} ({self.sub})"
        if self.result not in ("success", ""):
            text += f", {self.result}"
            if self.exit_status:
                text += f" {self.exit_status}"
        if self.restarts:
            text += f", {self.restarts} restarts"
        return text


def show_command(units: Sequence[str]) -> list[str]:
    """The command whose output `parse` reads."""
    return ["systemctl", "show", "--timestamp=unix", f"--property={PROPERTIES}", *units]


def parse(output: str) -> list[UnitState]:
    """The units' states from `systemctl show`."""
    states = []
    for block in output.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in values:
            states.append(_state(values))
    return states


def _state(values: dict[str, str]) -> UnitState:
    since = values.get("StateChangeTimestamp", "")
    return UnitState(
        name=values["Id"],
        load=values.get("LoadState", ""),
        active=values.get("ActiveState", ""),
        sub=values.get("SubState", ""),
        result=values.get("Result", ""),
        restarts=int(values.get("NRestarts") or 0),
        since=float(since[1:]) if since.startswith("@") else None,
        verdict=_verdict(values),
        exit_status=int(values.get("ExecMainStatus") or 0),
    )


def _verdict(values: dict[str, str]) -> Verdict:
    if values.get("LoadState") not in ("loaded", ""):
        return "failed"
    match values.get("ActiveState"):
        case "active":
            return "running"
        case "failed":
            return "failed"
        case "inactive":
            if values.get("Job", "") not in ("", "0"):
                return "waiting"
            # A one-shot that ran and does not remain, or one that had nothing to do here.
            ended = values.get("ExecMainExitTimestampMonotonic", "0") not in ("", "0")
            done = values.get("Type") == "oneshot" and ended and values.get("Result") == "success"
            # `no` is also what a unit says whose condition was never looked at.
            looked = values.get("ConditionTimestampMonotonic", "0") not in ("", "0")
            skipped = looked and values.get("ConditionResult") == "no"
            # Neither, and nothing queued: a unit it requires has failed, so it never starts.
            return "running" if done or skipped else "stopped"
    return "waiting"
