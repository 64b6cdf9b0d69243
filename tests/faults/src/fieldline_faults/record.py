"""The results: one line of JSON for each cell that was run, with where, when and on what."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fieldline_lab.names import find_worktree
from fieldline_lab.parts.catalogue import read_catalogue

from .cell import Outcome
from .deeds import Spans
from .evidence import mechanisms
from .matrix import Cell, missed

ROOT = find_worktree(Path(__file__))
FILE = ROOT / "tests/faults/results/matrix.jsonl"
# What decides how a cell comes out: the product, the lab, and the way it is hurt and checked.
_CODE = ("pkgs", "lib", "lab", "tests/faults/src", "tests/faults/site.toml", "requirements.txt")

_PARTS = ("kafka", "telegraf", "influxdb")


def _git(*arguments: str) -> str:
    # Root looks at somebody else's work tree.
    argv = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.strip()


@dataclass(frozen=True)
class Origin:
    """Where results come from.

    Attributes:
        commit: of the work tree, with `+` if its code has changes that are not committed.
        code: a hash of the code that decides; equal for commits that change only documents.
    """

    commit: str
    code: str
    machine: dict[str, Any]
    versions: dict[str, str]

    @classmethod
    def here(cls) -> Origin:
        """This machine, this work tree."""
        changed = _git("status", "--porcelain", "--", *_CODE)
        trees = "\n".join(_git("rev-parse", f"HEAD:{path}") for path in _CODE)
        difference = _git("diff", "HEAD", "--", *_CODE) + changed
        code = hashlib.sha256(f"{trees}\n{difference}".encode()).hexdigest()[:12]
        versions = {name: read_catalogue()[name].version for name in _PARTS}
        return cls(
            _git("rev-parse", "--short=12", "HEAD") + ("+" if changed else ""),
            code,
            _machine(),
            {**versions, "python": platform.python_version()},
        )


def _machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "memory_gib": round(memory / 2**30),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
    }


def line(cell: Cell, outcome: Outcome, origin: Origin, spans: Spans, load: float) -> dict[str, Any]:
    """The record of a cell that was run.

    Args:
        load: the machine's load average of the last minute before the cell.
    """
    problems = missed(cell, outcome)
    return {
        "cell": cell.name,
        "kind": cell.kind.name,
        "target": cell.target.label,
        "fault": cell.text(spans),
        "held": not problems,
        "missed": problems,
        "flowing_s": _rounded(outcome.flowing),
        "complete_s": _rounded(outcome.complete),
        **{name.replace(" ", "_"): f.as_json() for name, f in outcome.places.items()},
        "mechanisms": mechanisms(outcome.evidence),
        "evidence": outcome.evidence.as_json(),
        "note": outcome.note,
        "load": load,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": origin.commit,
        "code": origin.code,
        "machine": origin.machine,
        "versions": origin.versions,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def read(path: Path = FILE) -> dict[str, dict[str, Any]]:
    """The last record of each cell. A line that was cut off by a kill is passed over."""
    found: dict[str, dict[str, Any]] = {}
    if path.exists():
        for text in path.read_text().splitlines():
            try:
                entry = json.loads(text)
            except ValueError:
                continue
            found[entry["cell"]] = entry
    return found


def append(entry: dict[str, Any], path: Path = FILE) -> None:
    """Add a record; it takes the place of an earlier one of the same cell."""
    kept = read(path)
    kept.pop(entry["cell"], None)
    kept[entry["cell"]] = entry
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in kept.values()))
    new.replace(path)
