"""Plots of results whose figures depend on a size, as SVG beside the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from results import FOLDER

PLOTS = FOLDER.parent / "plots"

Draw = Callable[[Any, Mapping[str, Any]], None]


def _sizes(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What was measured with growing numbers of variables, the least first; without the
    demonstration plant, whose variables have other periods."""
    found = [size for name, size in result["sizes"].items() if name.startswith("v")]
    return sorted(found, key=lambda size: size["variables"])


def _latency(axes: Any, result: Mapping[str, Any]) -> None:
    sizes = _sizes(result)
    counts = [size["variables"] for size in sizes]
    for what in ("values", "results"):
        for share in ("p50_ms", "p99_ms"):
            shown = [size["latency"][what][share] for size in sizes]
            axes.plot(counts, shown, marker="o", label=f"{what}, {share[:3]}")
    axes.set_yscale("log")
    axes.set_ylabel("source to queryable, ms")


def _cost(axes: Any, result: Mapping[str, Any]) -> None:
    _stacked(axes, _sizes(result), "cpu_us_per_value")
    axes.set_ylabel("CPU per value, µs")


def _memory(axes: Any, result: Mapping[str, Any]) -> None:
    _stacked(axes, _sizes(result), "memory_mib")
    axes.set_ylabel("memory (PSS), MiB")


def _stacked(axes: Any, sizes: Sequence[Mapping[str, Any]], figure: str) -> None:
    """One layer per unit, in the order of the names."""
    counts = [size["variables"] for size in sizes]
    units = sorted({unit for size in sizes for unit in size["units"]})
    layers = [[size["units"].get(unit, {}).get(figure, 0.0) for size in sizes] for unit in units]
    axes.stackplot(counts, layers, labels=units)


DRAWN: Mapping[str, Mapping[str, Draw]] = {
    "chain": {"latency": _latency, "cpu": _cost, "memory": _memory},
}


def draw(name: str, result: Mapping[str, Any]) -> None:
    """Draw all there is of a benchmark's result; nothing if it has no plots."""
    if name not in DRAWN:
        return
    # The other benchmarks need not wait for it.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    PLOTS.mkdir(exist_ok=True)
    for plot, drawn in DRAWN[name].items():
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        drawn(axes, result)
        axes.set_xscale("log")
        axes.set_xlabel("variables, each at 1 Hz")
        axes.grid(visible=True, alpha=0.3)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
        # The same result gives the same file.
        with rc_context({"svg.hashsalt": name}):
            figure.savefig(plot_of(name, plot), metadata={"Date": None})


def plot_of(name: str, plot: str) -> Path:
    """The file of a plot."""
    return PLOTS / f"{name}-{plot}.svg"


def shown(name: str) -> list[str]:
    """The lines of the page that show a benchmark's plots; none where nothing was drawn yet."""
    files = [plot_of(name, plot) for plot in DRAWN.get(name, {})]
    return [f"![{f.stem}]({f.parent.name}/{f.name})" for f in files if f.exists()]
