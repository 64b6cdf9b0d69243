"""What provisioning did, and how it tells so: one action per thing that the site declares."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import msgspec

Outcome = Literal["created", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class Action:
    """One declared thing, and what was done to have it; `detail` never holds a secret."""

    kind: str
    name: str
    outcome: Outcome
    detail: str = ""


def show(actions: Sequence[Action], *, as_json: bool) -> None:
    """Print the actions to standard output: a line each, or one JSON object."""
    if as_json:
        print(msgspec.json.encode({"actions": [asdict(action) for action in actions]}).decode())
        return
    for action in actions:
        detail = f" ({action.detail})" if action.detail else ""
        print(f"{action.outcome:<9} {action.kind} {action.name}{detail}")


class Waiting:
    """Tells on standard error that something is waited for, without filling the journal.

    The first line comes after 2 s, the next ones every 10 s.
    """

    def __init__(self, what: str, seconds: float) -> None:
        self._what = what
        self._seconds = seconds
        self._begin = time.monotonic()
        self._next = 2.0

    def __call__(self, passed: float, cause: str) -> None:
        """Note a failed try, `passed` seconds after the start."""
        if passed >= self._next:
            self._next = passed + 10.0
            limit = f"{self._seconds:.0f} s"
            print(f"waiting for {self._what}, {passed:.0f} s of {limit}: {cause}", file=sys.stderr)
