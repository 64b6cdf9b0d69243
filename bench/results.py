"""Results that were kept: `results/DATE-NAME.json`, raw as the benchmark printed them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "results"
_NAME = re.compile(r"(\d{4}-\d{2}-\d{2}(?:T\d{4})?)-(.+)\.json")


@dataclass(frozen=True)
class Kept:
    """One result: when it was measured, its file and what is in it."""

    date: str
    path: Path
    content: dict[str, object]


def kept(name: str, folder: Path = FOLDER) -> list[Kept]:
    """The results of a benchmark, the oldest first.

    Raises:
        ValueError: a file is no JSON object.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        match = _NAME.fullmatch(path.name)
        if match is None or match[2] != name:
            continue
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError(f"{path} is no result: it must be a JSON object")
        found.append(Kept(match[1], path, content))
    return found


def keep(name: str, date: str, content: dict[str, object], folder: Path = FOLDER) -> Path:
    """Write a result; a second one of the same moment takes the place of the first."""
    path = folder / f"{date}-{name}.json"
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    new.rename(path)
    return path
