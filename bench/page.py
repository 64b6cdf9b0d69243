"""The page of all results, `bench/README.md`, made from what is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from catalogue import BENCHES
from figures import Bench, Figure
from plots import shown
from results import FOLDER, Kept, kept

PAGE = FOLDER.parent / "README.md"

_HEAD = """# Bench
What is measured, and the last results beside the ones before. Nothing here is a test: a figure
that gets worse fails nothing, and is looked at. `make bench` runs everything, `make bench
NAME=kafka-flush` one of them; both keep the raw data in `results/` and write this page anew (its
words are in `catalogue.py`). Machines are noisy: a range is what several turns of one run gave,
and peers take their turns in the same run. **met** and *missed* are against what Fieldline has set
itself; without such a word nothing was set.
"""


def write(folder: Path = FOLDER, page: Path = PAGE) -> None:
    """Write the page."""
    parts = [_HEAD]
    for bench in BENCHES:
        results = kept(bench.name, folder)
        if results:
            parts.append(_section(bench, results))
    page.write_text("\n".join(parts))


def _section(bench: Bench, results: Sequence[Kept]) -> str:
    last = results[-1]
    before = results[-2] if len(results) > 1 else None
    lines = [f"## {bench.name}", bench.about, ""]
    lines.append(f"{_machine(last)} Raw data: [{last.date}](results/{last.path.name}).")
    lines += ["", f"| figure | to reach | {last.date} | {before.date if before else 'before'} |"]
    lines.append("|---|---|---|---|")
    for figure in bench.figures:
        now = figure.values(last.content)
        earlier = figure.values(before.content) if before else []
        lines.append(
            f"| {figure.label}, {figure.unit} | {_bar(figure)} | {_shown(figure, now)} | "
            f"{span(earlier)} |"
        )
    lines += [line for plot in shown(bench.name) for line in ("", plot)]
    return "\n".join(lines) + "\n"


def _machine(result: Kept) -> str:
    machine = result.content.get("machine")
    if not isinstance(machine, dict):
        return "The machine was not written down."
    words = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in machine.items())
    return f"Measured on: {words}."


def _bar(figure: Figure) -> str:
    if figure.bar is None:
        return ""
    return f"{'≥' if figure.better == 'more' else '≤'} {number(figure.bar)}"


def _shown(figure: Figure, values: Sequence[float]) -> str:
    met = figure.met(values)
    if met is None:
        return span(values)
    return f"{span(values)}, {'**met**' if met else '*missed*'}"


def span(values: Sequence[float]) -> str:
    """The least and the greatest, or the one there is; a dash for none."""
    if not values:
        return "–"
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def number(value: float) -> str:
    """Three digits are all that a noisy machine gives."""
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    if abs(value) >= 1000:
        digits = len(str(int(abs(value)))) - 3
        return f"{round(value / 10**digits) * 10**digits:,}"
    return f"{value:.3g}"
