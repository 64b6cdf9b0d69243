"""What checks give."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from fieldline.doctor.context import Context

# ok; warning: look at it when there is time; failed: something is wrong, or will be soon; skipped:
# it could not be checked from here.
Verdict = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: such as `topic opc` or `host db`.
        text: what was found; what_to_do: empty where nothing is to be done.
    """

    subject: str
    verdict: Verdict
    text: str
    what_to_do: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A check: its name, what it looks at, and the function that does."""

    name: str
    about: str
    run: Callable[[Context], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Checked:
    """The findings of one check."""

    check: str
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class Report:
    """All findings; `ok` if none has failed. `host` is None on a machine that is not the site's."""

    time_ns: int
    host: str | None
    ok: bool
    checks: list[Checked]
