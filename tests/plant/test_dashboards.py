"""Every query of the dashboards gives rows: asked of a running plant, with Grafana's own token.

What Grafana does with a query is done here by hand: its variables are filled in, and `v` is set.
"""

import csv
import io
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fieldline.evaluate import evaluate
from fieldline_lab.lab import Lab

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "/var/lib/influxdb-provision/influxdb-grafana-token"
VARIABLES = ("Temperature", "Pressure", "SlowSensor")
RANGE = "option v = {timeRangeStart: -5m, timeRangeStop: now(), windowPeriod: 1s}\n"


@pytest.fixture(scope="module")
def plant() -> Iterator[Lab]:
    lab = Lab.from_worktree(ROOT, name="dashboards")
    try:
        lab.up(fresh=True)
        lab.hosts["db"].exec(["fieldline", "wait", "--fresh-within", "60s"], check=True)
        yield lab
    finally:
        lab.down(purge=True)


def rows(plant: Lab, query: str, variable: str) -> list[dict[str, str]]:
    """Ask as Grafana does."""
    text = query.replace("${variable}", variable).replace("${asset:regex}", "Sensors")
    imports = [line for line in text.splitlines() if line.startswith("import ")]
    body = [line for line in text.splitlines() if not line.startswith("import ")]
    text = "\n".join([*imports, RANGE, *body])
    token = plant.hosts["db"].exec(["cat", TOKEN], check=True).stdout
    port = plant.status()["hosts"]["db"]["forwards"]["influxdb"]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v2/query?org=devorg",
        data=json.dumps({"query": text, "dialect": {"annotations": []}}).encode(),
        headers={"Authorization": f"Token {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return list(csv.DictReader(io.StringIO(answer.read().decode())))


def dashboards() -> dict[str, Any]:
    found: dict[str, Any] = evaluate(ROOT / "lib", ROOT / "site.toml")["dashboards"]
    return found


def test_each_panel_shows_rows(plant: Lab) -> None:
    queries = [
        target["query"]
        for board in dashboards().values()
        for panel in board["panels"]
        for target in panel["targets"]
    ]
    assert len(queries) >= 2
    for query in queries:
        for variable in VARIABLES:
            assert rows(plant, query, variable), query


def test_the_panels_choices_are_the_assets_and_variables(plant: Lab) -> None:
    found = {
        choice["name"]: {row["_value"] for row in rows(plant, choice["query"], "")}
        for board in dashboards().values()
        for choice in board["templating"]["list"]
    }
    assert found == {"asset": {"Sensors"}, "variable": set(VARIABLES)}


def test_a_variable_that_is_not_there_has_no_rows(plant: Lab) -> None:
    panels = next(iter(dashboards().values()))["panels"]
    query = next(panel["targets"][0]["query"] for panel in panels if panel.get("repeat"))
    assert rows(plant, query, "Nothing") == []
