"""What a verification found: counts, and the first few of each kind of finding."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

from fieldline.arguments import iso

# Enough to see a pattern (one asset, one moment), few enough to read.
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Example:
    """One finding: which asset, which variable or model, which source time, and what is wrong."""

    asset: str
    name: str
    time: str
    time_ns: int
    detail: str


@dataclass(slots=True)
class Finding:
    """A kind of finding: how many, and the first of them."""

    count: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, count: int, examples: list[Example]) -> None:
        """Count more of them."""
        self.count += count
        self.examples += examples[: EXAMPLES - len(self.examples)]


# A span without any entry in the record, ISO 8601, and how many values were due in it.
Gap = TypedDict("Gap", {"asset": str, "variable": str, "from": str, "to": str, "periods": int})


@dataclass(slots=True)
class NotProduced:
    """Values that were due and are not in the record: how many, and the first gaps.

    Not a failure: a server that is stopped or starts anew rightly produces nothing.
    """

    count: int = 0
    examples: list[Gap] = field(default_factory=list)

    def add(self, count: int, examples: list[Gap]) -> None:
        """Count more of them."""
        self.count += count
        self.examples += examples[: EXAMPLES - len(self.examples)]


@dataclass(slots=True)
class ValueReport:
    """Values against the record, own servers only.

    recorded = required + bad + before_collection; required = matched + missing + wrong_value;
    stored = in_record + invented + unverifiable. A wrong quality is counted besides, and so is what
    was not produced: it is none of the recorded.
    """

    recorded: int = 0
    required: int = 0
    matched: int = 0
    bad: int = 0
    before_collection: int = 0
    stored: int = 0
    in_record: int = 0
    unverifiable: int = 0
    missing: Finding = field(default_factory=Finding)
    wrong_value: Finding = field(default_factory=Finding)
    wrong_quality: Finding = field(default_factory=Finding)
    invented: Finding = field(default_factory=Finding)
    stored_twice: Finding = field(default_factory=Finding)
    not_produced: NotProduced = field(default_factory=NotProduced)


@dataclass(slots=True)
class ModelReport:
    """Results of models against what the stored inputs require."""

    required: int = 0
    matched: int = 0
    stored: int = 0
    missing: Finding = field(default_factory=Finding)
    wrong_value: Finding = field(default_factory=Finding)
    invented: Finding = field(default_factory=Finding)
    stored_twice: Finding = field(default_factory=Finding)


@dataclass(slots=True)
class Report:
    """The whole verification of [since, until).

    Attributes:
        without_points: declared variables and models (`asset/name`) without a point in the window.
        not_verifiable: existing servers, which keep no record.
        undeclared_recorded: recorded values of variables that the site does not declare.
        seconds: how long it took.
    """

    since_ns: int
    until_ns: int
    values: ValueReport = field(default_factory=ValueReport)
    models: ModelReport = field(default_factory=ModelReport)
    without_points: list[str] = field(default_factory=list)
    not_verifiable: list[str] = field(default_factory=list)
    undeclared_recorded: int = 0
    seconds: float = 0.0

    def findings(self) -> dict[str, Finding]:
        """Every kind of finding by name; each must be empty."""
        return {
            "values missing": self.values.missing,
            "values wrong": self.values.wrong_value,
            "qualities wrong": self.values.wrong_quality,
            "values invented": self.values.invented,
            "values stored twice": self.values.stored_twice,
            "results missing": self.models.missing,
            "results wrong": self.models.wrong_value,
            "results invented": self.models.invented,
            "results stored twice": self.models.stored_twice,
        }

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.without_points and not any(f.count for f in self.findings().values())

    def as_json(self) -> dict[str, Any]:
        """The report for programs."""
        window = {"since": iso(self.since_ns), "until": iso(self.until_ns)}
        return {"ok": self.ok, **window, **asdict(self)}

    def lines(self) -> list[str]:
        """The report for people."""
        v, m = self.values, self.models
        lines = [
            f"window   {iso(self.since_ns)} to {iso(self.until_ns)}",
            f"values   {v.matched} of {v.required} recorded values are stored",
            f"         {v.in_record} of {v.stored} stored values are in the record",
            f"results  {m.matched} of {m.required} required results are stored; {m.stored} stored",
        ]
        apart = {
            "of bad quality, not required": v.bad,
            "from before the collection began": v.before_collection,
            "stored, older than the record": v.unverifiable,
            "recorded of variables that are not declared": self.undeclared_recorded,
        }
        lines += [f"apart    {count} {what}" for what, count in apart.items() if count]
        if v.not_produced.count:
            lines.append(f"apart    {v.not_produced.count} not produced: gaps in the record")
            lines += [
                f"           {g['asset']} {g['variable']} {g['from']} to {g['to']}: {g['periods']}"
                for g in v.not_produced.examples
            ]
        if self.not_verifiable:
            lines.append(f"apart    not verifiable, no record: {', '.join(self.not_verifiable)}")
        for what, finding in self.findings().items():
            if finding.count:
                lines.append(f"FAILED   {finding.count} {what}")
                lines += [
                    f"           {e.asset} {e.name} {e.time} {e.detail}".rstrip()
                    for e in finding.examples
                ]
        if self.without_points:
            shown = ", ".join(self.without_points[: 2 * EXAMPLES])
            more = len(self.without_points) - 2 * EXAMPLES
            lines.append(
                f"FAILED   {len(self.without_points)} declared without any point in the window: "
                + shown
                + (f" and {more} more" if more > 0 else "")
            )
        verdict = "everything holds" if self.ok else "does not hold"
        return [*lines, f"{'ok' if self.ok else 'FAILED':<8} {verdict} ({self.seconds:.1f} s)"]
