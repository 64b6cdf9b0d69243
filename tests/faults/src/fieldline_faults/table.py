"""docs/faults.md, from the results: the text of the template, and the figures as they were got."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from . import record
from .deeds import FULL, SHORT
from .faults import COMPLETE, FLOWING, FLOWING_AFTER_BOOT, KINDS, Kind
from .record import ROOT

DOCUMENT = ROOT / "docs/faults.md"
TEMPLATE = ROOT / "tests/faults/faults.template.md"
_PLACES = ("values", "results", "topic_opc", "topic_model")


def document(results: Mapping[str, dict[str, Any]]) -> str:
    """The document's text."""
    entries = _in_order(results.values())
    held = sum(entry["held"] for entry in entries)
    text = TEMPLATE.read_text()
    for name, part in {
        "verdict": f"{held} of {len(entries)} cells hold.",
        "origin": _origin(entries),
        "table": _table(entries),
        "missed": _missed(entries),
        "kinds": _kinds(),
        "complete": f"{COMPLETE:g}",
        "flowing": f"{FLOWING:g}",
        "booted": f"{FLOWING_AFTER_BOOT:g}",
    }.items():
        text = text.replace(f"<!-- {name} -->", part)
    return text


def write() -> None:
    """Write the document; a user's work tree keeps its owner where root writes."""
    DOCUMENT.write_text(document(record.read()))
    owner = ROOT.stat()
    for path in (DOCUMENT, record.FILE, record.FILE.parent):
        if os.geteuid() == 0 and path.exists():
            os.chown(path, owner.st_uid, owner.st_gid)


def _in_order(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the kinds stand, and within one as the cells were run."""
    order = [kind.name for kind in KINDS]
    return sorted(
        (entry for entry in entries if entry["kind"] in order),
        key=lambda entry: order.index(entry["kind"]),
    )


def _origin(entries: list[dict[str, Any]]) -> str:
    """When, on what, with which code."""
    if not entries:
        return "No cell was run yet."
    days = sorted({entry["at"][:10] for entry in entries})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    commits = Counter(entry["commit"] for entry in entries)
    listed = ", ".join(f"`{commit}` ({count} cells)" for commit, count in commits.items())
    machine, versions = entries[-1]["machine"], entries[-1]["versions"]
    loads = [entry["load"] for entry in entries]
    parts = ", ".join(f"{name.capitalize()} {version}" for name, version in versions.items())
    return (
        f"Run {when}, commit {listed}; {machine['cores']} cores {machine['architecture']}, "
        f"{machine['memory_gib']} GiB, {machine['system']}, kernel {machine['kernel']}; {parts}. "
        f"Load average before a cell: {min(loads):.1f} to {max(loads):.1f}."
    )


def _table(entries: list[dict[str, Any]]) -> str:
    head = (
        "| fault | target | holds | flows again, s | complete, s | published | values lost | "
        "results lost or wrong | doubled | healed by |"
    )
    return "\n".join([head, "|---|---|---|--:|--:|--:|--:|--:|--:|---|", *map(_row, entries)])


def _row(entry: dict[str, Any]) -> str:
    values, results = entry["values"], entry["results"]
    doubled = sum(entry[place].get("doubled", 0) for place in _PLACES)
    cells = [
        entry["kind"],
        f"`{entry['target']}`",
        "yes" if entry["held"] else "**no**",
        _seconds(entry["flowing_s"]),
        _seconds(entry["complete_s"]),
        f"{values.get('required', 0):,}",
        f"{values.get('lost', 0) + values.get('wrong', 0):,}",
        f"{results.get('lost', 0) + results.get('wrong', 0):,}",
        f"{doubled:,}",
        "; ".join(entry["mechanisms"]) or "nothing to heal",
    ]
    return f"| {' | '.join(cells)} |"


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f}"


def _missed(entries: list[dict[str, Any]]) -> str:
    """What did not hold, cell by cell."""
    missed = [entry for entry in entries if not entry["held"]]
    if not missed:
        return "Nothing."
    return "\n".join(f"- {entry['cell']}: {'; '.join(entry['missed'])}" for entry in missed)


def _kinds() -> str:
    rows = [f"| {kind.name} | {_spans(kind)} |" for kind in KINDS]
    return "\n".join(["| fault | what is done |", "|---|---|", *rows])


def _spans(kind: Kind) -> str:
    full, brief = (kind.text.format(**asdict(spans)) for spans in (FULL, SHORT))
    if full == brief:
        return full
    key = next(key for key in asdict(FULL) if f"{{{key}:g}}" in kind.text)
    return f"{full} (short form: {asdict(SHORT)[key]:g} s)"
