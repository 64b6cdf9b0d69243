"""What the demonstration says at its end."""

from typing import Any

from fieldline.where.state import Latency, Snapshot


def summarise(seconds: float, first: float | None, last: Snapshot, report: dict[str, Any]) -> str:
    """One paragraph for people.

    Args:
        seconds: how long values were watched.
        first: seconds from the command to the first value in InfluxDB, if there was one.
        last: the last snapshot.
        report: the report of `fieldline verify --json`.
    """
    values, models = report["values"], report["models"]
    ran = f"{seconds:.0f} s"
    if first is not None:
        ran += f"; first value in InfluxDB {first:.1f} s after the command"
    counts = "{} stored, {} missing, {} invented, {} wrong".format
    stored = counts(
        values["matched"],
        values["missing"]["count"],
        values["invented"]["count"],
        values["wrong_value"]["count"] + values["wrong_quality"]["count"],
    )
    given = counts(
        models["matched"],
        models["missing"]["count"],
        models["invented"]["count"],
        models["wrong_value"]["count"],
    )
    of_values, of_results = _latency(last.latency_values), _latency(last.latency_results)
    lines = [
        f"ran        {ran}",
        f"values     {values['required']} produced, {stored}",
        f"results    {models['required']} due, {given}",
        f"latency    source to queryable: values {of_values}; results {of_results}",
    ]
    if report["without_points"]:
        lines.append(f"silent     {', '.join(map(str, report['without_points']))}")
    # What was found wrong, named: the plant is gone when somebody reads this.
    for kind in ("values", "models"):
        for name, found in report[kind].items():
            if isinstance(found, dict) and found["count"]:
                what = f"{kind}, {name.replace('_', ' ')}"
                examples = "; ".join(map(str, found["examples"]))
                lines.append(f"           {what}: {found['count']}: {examples}")
    lines.append(
        "result     " + ("everything arrived" if report["ok"] else "NOT everything arrived")
    )
    return "\n".join(lines)


def _latency(latency: Latency) -> str:
    if latency.p50_ms is None or latency.p99_ms is None:
        return "not seen"
    return f"p50 {latency.p50_ms:.0f} ms, p99 {latency.p99_ms:.0f} ms"
