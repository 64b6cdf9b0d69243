"""A snapshot on one screen: what stopped, the hops, the last values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fieldline.influx.layout import BAD_STATUS
from fieldline.where.diagnosis import Diagnosis, Stopped
from fieldline.where.state import OK, Hop, Latency, SeriesState, Snapshot

_BLOCKS = "▁▂▃▄▅▆▇█"
_SPARK_WIDTH = 30
# A hop that works shows errors no older than this; --json has those of an hour.
_RECENT_NS = 120 * 10**9
# How many series of a group are named.
_NAMED = 5


def render(snapshot: Snapshot, rows: int = 30, width: int = 80) -> RenderableType:
    """The hops, what stopped, the last values and the latency.

    Args:
        rows: how many lines the series and what stopped may take together, about.
        width: of the screen, in columns.
    """
    below = [*_errors(snapshot), *_diagnosis(snapshot.diagnosis, rows)]
    # A line that is longer than the screen takes several rows.
    taken = sum(-(-len(line) // max(width, 20)) for line in below)
    rows = max(3, rows - taken)
    parts: list[RenderableType] = [_hops(snapshot.hops), *below]
    if any(one.time_ns is not None for one in snapshot.series):
        parts.append(_series(snapshot.series[:rows]))
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


def _errors(snapshot: Snapshot) -> list[Text]:
    """The last error of each hop, where one is known."""
    lines = []
    for hop in snapshot.hops:
        error = hop.last_error
        if error is None:
            continue
        if hop.state == OK and not _is_recent(snapshot, hop):
            continue
        age = None if error.time_ns is None else (snapshot.time_ns - error.time_ns) / 1e9
        ago = "" if age is None else f", {_span(age)} ago"
        line = Text(f"{hop.kind} {hop.name}{ago}: {_sentence(error.text)}", style="yellow")
        if error.what_to_do:
            line.append(f" {error.what_to_do}", style="dim")
        lines.append(line)
    return lines


def _is_recent(snapshot: Snapshot, hop: Hop) -> bool:
    """Whether a hop that works has had its last error a moment ago."""
    error = hop.last_error
    if error is None or error.time_ns is None:
        return False
    return snapshot.time_ns - error.time_ns < _RECENT_NS


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", ")")) else f"{text}."


def _diagnosis(diagnosis: Diagnosis | None, rows: int) -> list[Text]:
    if diagnosis is None:
        return [Text("looking where data stopped ...", style="dim")]
    lines = []
    # Three lines each; the largest of each hop stand in front.
    most = max(1, rows // 4)
    for group in diagnosis.stopped[:most]:
        lines += _stopped(group, diagnosis.time_ns)
    if len(diagnosis.stopped) > most:
        more = len(diagnosis.stopped) - most
        lines.append(Text(f"and {more} more groups; --json has them all", style="bold red"))
    for note in diagnosis.notes:
        line = Text(f"note: {_sentence(note.text)}", style="yellow")
        line.append(f" {note.what_to_do}", style="dim")
        lines.append(line)
    lines += [Text(f"not seen: {text}", style="dim") for text in diagnosis.unseen]
    if not diagnosis.seen_at:
        return [*lines, Text("whether values arrive cannot be seen from this host")]
    count = f"{diagnosis.arriving} of {diagnosis.declared} series arrive in {diagnosis.seen_at}"
    well = diagnosis.arriving == diagnosis.declared
    return [*lines, Text(count, style="green" if well else "bold red")]


def _stopped(group: Stopped, now_ns: int) -> list[Text]:
    counts = [(group.variables, "variable"), (group.models, "model")]
    series = ", ".join(f"{n} {what}{'s' if n > 1 else ''}" for n, what in counts if n)
    since = ""
    if group.since_ns is not None:
        at = datetime.fromtimestamp(group.since_ns / 1e9, UTC)
        since = f" since {at:%Y-%m-%d %H:%M:%S} UTC, {_span((now_ns - group.since_ns) / 1e9)}"
    elif group.never:
        since = ", never had a value"
    head = Text(f"stopped at {group.hop} {group.name}{since}: {series}", style="bold red")
    head.append(f" ({_some_of(group)})", style="red")
    why = Text(f"  {_sentence(group.cause)}")
    return [head, why, Text(f"  {group.what_to_do}", style="dim")]


def _some_of(group: Stopped) -> str:
    names = [one.series for one in group.worst[:_NAMED]]
    more = group.variables + group.models - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _span(seconds: float) -> str:
    """A span of time with the unit that fits."""
    for least, unit, what in ((172_800, 86_400, "d"), (7200, 3600, "h"), (120, 60, "min")):
        if seconds >= least:
            return f"{seconds / unit:.0f} {what}"
    return f"{seconds:.0f} s"


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
