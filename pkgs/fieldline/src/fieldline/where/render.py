"""A snapshot on one screen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fieldline.influx.layout import BAD_STATUS
from fieldline.where.state import OK, Hop, Latency, SeriesState, Snapshot

_BLOCKS = "▁▂▃▄▅▆▇█"
_SPARK_WIDTH = 30


def render(snapshot: Snapshot, rows: int = 30) -> RenderableType:
    """The hops, the last values and the latency.

    Args:
        rows: how many series are shown at most.
    """
    parts: list[RenderableType] = [_hops(snapshot.hops), _series(snapshot.series[:rows])]
    hidden = snapshot.declared - min(rows, len(snapshot.series))
    if hidden > 0 and snapshot.watched < snapshot.declared:
        parts.append(Text(f"{hidden} more series; name one to see it", style="dim"))
    for what, latency in (
        ("values", snapshot.latency_values),
        ("results", snapshot.latency_results),
    ):
        if latency.count:
            parts.append(Text(_latency(what, latency)))
    return Group(*parts)


def _hops(hops: Sequence[Hop]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("hop", "", "per s", "lag", "newest", "state"):
        table.add_column(name, justify="right" if name in ("per s", "lag", "newest") else "left")
    for hop in hops:
        table.add_row(
            hop.kind,
            hop.name,
            _number(hop.rate),
            "" if hop.lag is None else str(hop.lag),
            _age(hop.age_s),
            Text(f"{hop.state} {hop.detail}".strip(), style="" if hop.state == OK else "bold red"),
        )
    return table


def _series(series: Sequence[SeriesState]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("asset", "series", "value", "unit", "newest", "quality", "last values"):
        table.add_column(name, justify="right" if name in ("value", "newest") else "left")
    for one in series:
        status = one.status
        table.add_row(
            one.asset,
            one.name,
            "" if one.value is None else f"{one.value:.6g}",
            one.unit,
            _age(one.age_s) or "none",
            "" if status is None else _quality(status),
            sparkline(one.recent_values[-_SPARK_WIDTH:]),
        )
    return table


def sparkline(values: Sequence[float]) -> str:
    """Values as blocks of eight heights, from the least to the greatest of them."""
    finite = [value for value in values if value == value]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[round((value - low) * scale)] for value in finite)


def _quality(status: int) -> Text:
    if status >= BAD_STATUS:
        return Text(f"bad 0x{status:X}", style="bold red")
    return Text("good" if status < 0x40000000 else f"uncertain 0x{status:X}")


def _latency(what: str, latency: Latency) -> str:
    ahead = f", {latency.ahead} ahead of this clock" if latency.ahead else ""
    return (
        f"source to queryable, {what}: p50 {latency.p50_ms:.0f} ms, p99 {latency.p99_ms:.0f} ms, "
        f"{latency.count} seen{ahead} (of it the polling: up to {latency.poll_ms or 0:.0f} ms)"
    )


def _number(rate: float | None) -> str:
    if rate is None:
        return "–"
    return f"{rate:.1f}" if rate < 1000 else f"{rate:,.0f}"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
