"""What `fieldline ledger` says: totals of each hour, and the variables that are not complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fieldline.arguments import iso
from fieldline.ledger.counts import FIELDS, UNKNOWN, Counts, Ints
from fieldline.messages.ledger import HOUR_NS
from fieldline.verify.catalogue import Catalogue

State = Literal["complete", "incomplete", "goes on", "not known yet"]

# What is said in words, or computed.
_COUNTS = tuple(name for name in FIELDS if name not in ("settled", "lacking"))
# The columns of both tables. `received` is for programs.
_COLUMNS = ("produced", "stored", "lacking", "missing", "filled", "late", "doubled")
# Variables that are shown unless all are asked for.
_MOST = 20


@dataclass(frozen=True, slots=True)
class VariableHour:
    """One variable's hour; a count that nobody gave is None. `hour` is its begin, ISO 8601."""

    asset: str
    variable: str
    hour: str
    hour_ns: int
    state: State
    lacking: int
    counts: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class HourTotals:
    """The sums of an hour over all its variables; settled: how many of them are."""

    hour: str
    hour_ns: int
    state: State
    variables: int
    settled: int
    incomplete: int
    lacking: int
    counts: Mapping[str, int]


@dataclass(slots=True)
class Report:
    """The ledger of [since, until).

    Attributes:
        variables: the incomplete ones, those that lack most first, or all of them.
    """

    since_ns: int
    until_ns: int
    hours: list[HourTotals] = field(default_factory=list)
    variables: list[VariableHour] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is lacking in the hours that are settled."""
        return not any(hour.lacking for hour in self.hours)

    def as_json(self) -> dict[str, Any]:
        """The report for programs."""
        window = {"since": iso(self.since_ns), "until": iso(self.until_ns)}
        return {"ok": self.ok, **window, **asdict(self)}

    def render(self, *, every: bool = False) -> RenderableType:
        """The report for people.

        Args:
            every: show all variables that the report has, not only the first of them.
        """
        if not self.hours:
            return Text("not known yet: the ledger has nothing of this time")
        hours = _table("hour")
        for hour in self.hours:
            hours.add_row(
                _short(hour.hour),
                *_cells(hour.counts, hour.lacking),
                Text(_said(hour), style="bold red" if hour.state == "incomplete" else ""),
            )
        parts: list[RenderableType] = [hours]
        shown = self.variables if every else self.variables[:_MOST]
        if shown:
            variables = _table("asset", "variable", "hour")
            for one in shown:
                style = "bold red" if one.state == "incomplete" else ""
                variables.add_row(
                    one.asset,
                    one.variable,
                    _short(one.hour),
                    *_cells(one.counts, one.lacking),
                    Text(one.state, style=style),
                )
            parts += [Text(), variables]
        if len(shown) < len(self.variables):
            more = len(self.variables) - len(shown)
            parts.append(Text(f"{more} more; --all shows them", style="dim"))
        return Group(*parts)


def make_report(
    catalogue: Catalogue,
    hours: Mapping[int, Counts],
    *,
    since: int,
    until: int,
    wanted: Sequence[int] | None = None,
    every: bool = False,
) -> Report:
    """Look at hours: from the first of which something is told until now.

    Args:
        until: now, ns.
        wanted: indices of the variables to look at; None for all.
        every: list complete variables, too.
    """
    count = len(catalogue.variables)
    chosen: Ints = np.array(range(count) if wanted is None else wanted, np.int64)
    mask = np.zeros(count, np.bool_)
    mask[chosen] = True
    report = Report(since, until)
    nothing = Counts(count)
    for begin in range(min(hours, default=until), until, HOUR_NS):
        counts = hours.get(begin, nothing)
        goes_on = begin + HOUR_NS > until
        lacking = counts.lacking()
        settled, incomplete = counts.settled & mask, (lacking > 0) & mask
        total = int(lacking[mask].sum())
        report.hours.append(
            HourTotals(
                iso(begin),
                begin,
                _state(total, bool(settled[chosen].all()), goes_on),
                len(chosen),
                int(settled.sum()),
                int(incomplete.sum()),
                total,
                {name: counts.total(name, mask) for name in _COUNTS},
            )
        )
        for index in np.flatnonzero(mask if every else incomplete).tolist():
            variable = catalogue.variables[index]
            values = {name: int(counts.of(name)[index]) for name in _COUNTS}
            report.variables.append(
                VariableHour(
                    variable.asset,
                    variable.variable,
                    iso(begin),
                    begin,
                    _state(int(lacking[index]), bool(settled[index]), goes_on),
                    int(lacking[index]),
                    {name: None if v == UNKNOWN else v for name, v in values.items()},
                )
            )
    report.variables.sort(key=lambda one: (-one.lacking, one.hour_ns, one.asset, one.variable))
    return report


def _state(lacking: int, settled: bool, goes_on: bool) -> State:
    if lacking:
        return "incomplete"
    if settled:
        return "complete"
    return "goes on" if goes_on else "not known yet"


def _said(hour: HourTotals) -> str:
    if hour.state == "incomplete":
        return f"incomplete: {hour.incomplete} of {hour.variables} variables"
    if hour.state == "not known yet" and hour.settled:
        return f"not known yet: {hour.variables - hour.settled} of {hour.variables} variables"
    return hour.state


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, no_wrap=True)
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state")
    return table


def _cells(counts: Mapping[str, int | None], lacking: int) -> list[str]:
    values = {**counts, "lacking": lacking}
    return ["–" if values[name] is None else f"{values[name]}" for name in _COLUMNS]


def _short(hour: str) -> str:
    """`2026-03-01T12:00:00.000000000Z` as a person reads it."""
    return f"{hour[:10]} {hour[11:16]}Z"
