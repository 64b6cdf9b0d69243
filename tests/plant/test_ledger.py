"""The ledger on a running plant: what InfluxDB loses is seen, asked for again, and comes back."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fieldline.arguments import iso
from fieldline.ledger import FIELDS
from fieldline.messages.ledger import HOUR_NS, decode_refill, hour_of
from fieldline_lab.lab import Lab
from ledger_feed import consume, delete, history, influxdb, produce, values
from plants import booted

NODE = "ns=2;i=2"
SECOND = 10**9
MINUTE = 60 * SECOND
READER = "/var/lib/influxdb-provision/influxdb-reader-token"


@pytest.fixture(scope="module")
def plant() -> Iterator[Lab]:
    with booted("ledger") as lab:
        lab.hosts["db"].exec(["fieldline", "wait", "--fresh-within", "60s"], check=True)
        yield lab


def asked(plant: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["fieldline", "ledger", *arguments]
    return plant.hosts["db"].exec(command, timeout=60)


def hour_is(plant: Lab, hour: int, **wanted: Any) -> dict[str, Any]:
    """Ask until an hour is as wanted."""
    end = time.monotonic() + 120
    while True:
        done = asked(plant, "Temperature", "--all", "--since", iso(hour), "--json")
        assert done.returncode in (0, 1), done.stderr
        found = [v for v in json.loads(done.stdout)["variables"] if v["hour_ns"] == hour]
        if found:
            flat = {**found[0], **found[0]["counts"], "code": done.returncode}
            if all(flat[key] == value for key, value in wanted.items()):
                return flat
        assert time.monotonic() < end, done.stdout


def test_a_lost_piece_is_seen_asked_for_and_comes_back(plant: Lab) -> None:
    now_hour = hour_of(time.time_ns())
    hour = now_hour - HOUR_NS
    times = [hour + i * SECOND for i in range(600)]
    produce(plant, "opc", values("Temperature", NODE, times))
    # The hour after it closes it.
    told = [history("Temperature", hour, 600), history("Temperature", now_hour, 0)]
    produce(plant, "opc.ledger", told)
    hour_is(plant, hour, stored=600, state="complete", code=0)

    lost = (hour + 2 * MINUTE, hour + 4 * MINUTE)
    delete(plant, NODE, *lost)
    hour_is(plant, hour, stored=480, lacking=120, state="incomplete", code=1)
    assert "incomplete: 1 of 1 variables" in asked(plant, "Temperature").stdout
    refill = decode_refill(consume(plant, "opc.refill", 1)[0].encode())
    assert (refill.asset, refill.variable) == ("Sensors", "Temperature")
    assert (refill.since, refill.until) == lost

    again = [t for t in times if refill.since <= t < refill.until]
    produce(plant, "opc", values("Temperature", NODE, again))
    hour_is(plant, hour, stored=600, lacking=0, state="complete", code=0)


def test_the_counts_are_integers_in_influxdb(plant: Lab) -> None:
    """By the real Telegraf, which makes floats of numbers unless told otherwise."""
    query = 'import "types"\nfrom(bucket: "dev") |> range(start: -3h)'
    query += ' |> filter(fn: (r) => r._measurement == "ledger" and types.isType(v: r._value, '
    query += 'type: "int")) |> keep(columns: ["_field"]) |> distinct(column: "_field")'
    body = {"query": query, "type": "flux", "dialect": {"annotations": []}}
    answer = influxdb(plant, "/api/v2/query?org=devorg", body, READER)
    found = {line.rpartition(",")[2].strip() for line in answer.splitlines() if line.strip()}
    assert found - {"_value"} == set(FIELDS)


def test_the_metrics_are_there_for_the_sites_hosts(plant: Lab) -> None:
    script = "import urllib.request as r; "
    script += 'print(r.urlopen("http://192.168.0.10:9105/metrics").read().decode())'
    done = plant.hosts["collector"].exec(["python3", "-c", script], check=True)
    assert 'fieldline_ledger_stored{server="opc"}' in done.stdout
    assert "fieldline_ledger_refills_total 1.0" in done.stdout


def test_it_waits_for_influxdb_and_says_so_once(plant: Lab) -> None:
    db = plant.hosts["db"]
    since = db.exec(["date", "+%s"], check=True).stdout.strip()
    db.exec(["systemctl", "stop", "influxdb2"], check=True)
    journal_until(plant, since, "InfluxDB does not answer")
    db.exec(["systemctl", "start", "influxdb2"], check=True)
    events = journal_until(plant, since, "what was waited for is there")
    assert sum("InfluxDB does not answer" in event for event in events) == 1
    assert db.exec(["systemctl", "is-active", "ledger"]).stdout.strip() == "active"
    restarts = db.exec(["systemctl", "show", "-p", "NRestarts", "--value", "ledger"])
    assert restarts.stdout.strip() == "0"


def journal_until(plant: Lab, since: str, text: str) -> list[str]:
    """The ledger's events, once there is one with a text."""
    command = ["journalctl", "-u", "ledger", "-o", "cat", "--since", f"@{since}"]
    end = time.monotonic() + 120
    while True:
        lines = plant.hosts["db"].exec(command, check=True).stdout.splitlines()
        events = [json.loads(line)["event"] for line in lines if line.startswith("{")]
        if any(text in event for event in events):
            return events
        assert time.monotonic() < end, lines


def test_the_gap_filler_brings_it_back(plant: Lab) -> None:
    """The same with the plant's own values: from the server's history, value by value."""
    if "gap-filler" not in plant.plan.declaration.hosts["collector"].units:
        pytest.skip("the collector has no gap-filler")
    db = plant.hosts["db"]
    since = time.time_ns()
    hour = hour_of(since)
    # More than what InfluxDB is ahead of the gap filler.
    db.exec(["fieldline", "verify", "--for", "120s"], check=True, timeout=240)
    now = time.time_ns()
    # A part of one minute, which is over: it is what the ledger asks for at first.
    minute = (now - 20 * SECOND) // MINUTE * MINUTE
    delete(plant, NODE, minute - 40 * SECOND, minute - 5 * SECOND)
    gone = db.exec(["fieldline", "verify", "--since", str(since), "--settle", "0s"], timeout=60)
    assert gone.returncode == 1, gone.stdout
    back = ["fieldline", "verify", "--since", str(since), "--until", str(now), "--settle", "3min"]
    db.exec(back, check=True, timeout=300)
    hour_is(plant, hour, lacking=0)
