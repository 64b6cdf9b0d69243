"""Every query of the dashboards gives rows: asked of a running plant, with Grafana's own token.

What Grafana does with a query is done here by hand: its variables are filled in, and `v` is set.
"""

import csv
import io
import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from fieldline.evaluate import evaluate
from fieldline.messages.ledger import HOUR_NS, hour_of
from fieldline_lab.lab import Lab
from ledger_feed import history, produce
from plants import ROOT, booted

TOKEN = "/var/lib/influxdb-provision/influxdb-grafana-token"
VARIABLES = ("Temperature", "Pressure", "SlowSensor")


@pytest.fixture(scope="module")
def plant() -> Iterator[Lab]:
    with booted("dashboards") as lab:
        lab.hosts["db"].exec(["fieldline", "wait", "--fresh-within", "60s"], check=True)
        tell_of_a_loss(lab)
        yield lab


def tell_of_a_loss(lab: Lab) -> None:
    """Five values that were produced an hour ago, and never came."""
    hour = hour_of(time.time_ns())
    told = [history("Temperature", hour - HOUR_NS, 5, received=0)]
    told.append(history("Temperature", hour, 0))
    produce(lab, "opc.ledger", told)
    end = time.monotonic() + 120
    while '"lacking":5' not in lab.hosts["db"].exec(["fieldline", "ledger", "--json"]).stdout:
        assert time.monotonic() < end, "the ledger does not settle the hour"


def rows(plant: Lab, query: str, variable: str, begin: str = "-15m") -> list[dict[str, str]]:
    """Ask as Grafana does, over the time range from `begin`."""
    text = query.replace("${variable}", variable).replace("${asset:regex}", "Sensors")
    imports = [line for line in text.splitlines() if line.startswith("import ")]
    body = [line for line in text.splitlines() if not line.startswith("import ")]
    option = f"option v = {{timeRangeStart: {begin}, timeRangeStop: now(), windowPeriod: 1s}}"
    text = "\n".join([*imports, option, *body])
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
        (target["query"], board["time"]["from"].removeprefix("now"))
        for board in dashboards().values()
        for panel in board["panels"]
        for target in panel["targets"]
    ]
    assert len(queries) == 6
    for query, begin in queries:
        for variable in VARIABLES if "${variable}" in query else ("",):
            assert rows(plant, query, variable, begin), query


def test_the_panels_of_the_ledger_tell_the_loss(plant: Lab) -> None:
    panels = {panel["title"]: panel for panel in dashboards()["completeness"]["panels"]}

    def asked(title: str) -> list[dict[str, str]]:
        return rows(plant, panels[title]["targets"][0]["query"], "", "-24h")

    [worst] = asked("Variables that lack most")
    assert (worst["asset"], worst["variable"]) == ("Sensors", "Temperature")
    assert (worst["lacking"], worst["missing"]) == ("5", "5")
    assert "5" in [row["_value"] for row in asked("Lacking")]
    produced = [
        row["_value"] for row in asked("Produced and stored") if row["_field"] == "produced"
    ]
    assert "5" in produced


def test_the_panels_choices_are_the_assets_and_variables(plant: Lab) -> None:
    found = {
        choice["name"]: {row["_value"] for row in rows(plant, choice["query"], "")}
        for board in dashboards().values()
        for choice in board["templating"]["list"]
    }
    assert found == {"asset": {"Sensors"}, "variable": set(VARIABLES)}


def test_a_variable_that_is_not_there_has_no_rows(plant: Lab) -> None:
    panels = dashboards()["sensors"]["panels"]
    query = next(panel["targets"][0]["query"] for panel in panels if panel.get("repeat"))
    assert rows(plant, query, "Nothing") == []
