"""The steps of the README as it tells them: code blocks whose info string names a file.

A block ```` ```toml site.toml ```` is appended to that file, or becomes it if there is none; one
```` ```toml site.toml replaces KEY ```` replaces the line that sets KEY.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"^```\w+ (?P<file>\S+)(?: replaces (?P<key>\w+))?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
HEADING = re.compile(r"^### (?P<title>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """One code block below one heading of the README."""

    heading: str
    file: str
    replaces: str | None
    text: str


def steps(readme: str) -> list[Step]:
    """All blocks that name a file, in their order."""
    found = []
    for block in BLOCK.finditer(readme):
        above = [heading["title"] for heading in HEADING.finditer(readme, 0, block.start())]
        found.append(Step(above[-1] if above else "", block["file"], block["key"], block["text"]))
    return found


def follow(step: Step, tree: Path) -> None:
    """Do in `tree` what the step says.

    Raises:
        LookupError: a line to replace is not there exactly once.
    """
    target = tree / step.file
    if step.replaces:
        lines = target.read_text().splitlines()
        places = [i for i, line in enumerate(lines) if line.startswith(f"{step.replaces} =")]
        if len(places) != 1:
            raise LookupError(f"{step.file}: {len(places)} lines set {step.replaces}")
        lines[places[0]] = step.text.rstrip("\n")
        target.write_text("\n".join(lines) + "\n")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("a") as file:
        file.write(("\n" if target.stat().st_size else "") + step.text)
