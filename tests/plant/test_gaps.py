"""Holes in the collection of a running plant are filled, and dead subscriptions revived."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from fieldline_lab.lab import Lab
from plants import booted, now, until_succeeds


@pytest.fixture(scope="module")
def plant() -> Iterator[Lab]:
    with booted("gaps") as lab:
        lab.hosts["db"].exec(["fieldline", "wait", "--fresh-within", "60s"], check=True)
        yield lab


def metrics(plant: Lab) -> dict[str, float]:
    collector = plant.hosts["collector"]
    url = f"http://{collector.address}:9104/metrics"
    text = collector.exec(["curl", "-fsS", url], check=True).stdout
    rows = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


def test_what_was_not_collected_is_filled(plant: Lab) -> None:
    collector, db = plant.hosts["collector"], plant.hosts["db"]
    since = now(db)
    collector.exec(["systemctl", "stop", "telegraf"], check=True)
    # Values that nobody collects: time itself is the fault.
    collector.exec(["sleep", "8"], check=True)
    collector.exec(["systemctl", "start", "telegraf"], check=True)
    db.exec(["fieldline", "wait", "--fresh-within", "60s"], check=True)
    until = now(db)
    until_succeeds(db, f"fieldline verify --since {since} --until {until} --settle 0s")
    # 8 s of a variable at 5 Hz alone are 40.
    assert metrics(plant)['gap_filler_filled_values_total{server="opc"}'] >= 40


def test_a_subscription_that_is_dead_is_revived(plant: Lab) -> None:
    collector, db = plant.hosts["collector"], plant.hosts["db"]
    since = now(db)
    before = collector.exec(["systemctl", "show", "-P", "InvocationID", "telegraf"]).stdout
    # It holds its connections, and delivers nothing any more.
    collector.exec(["systemctl", "kill", "--signal=STOP", "telegraf"], check=True)
    until_succeeds(
        collector, f'test "$(systemctl show -P InvocationID telegraf)" != {before.strip()}'
    )
    db.exec(["fieldline", "wait", "--fresh-within", "60s"], check=True)
    state = json.loads(
        collector.exec(
            ["curl", "-fsS", f"http://{collector.address}:9104/state"], check=True
        ).stdout
    )
    assert state["restarts"]["telegraf"]["count"] >= 1
    assert "dead subscriptions" in state["restarts"]["telegraf"]["reason"]
    until = now(db)
    until_succeeds(db, f"fieldline verify --since {since} --until {until} --settle 0s")


def test_a_telegraf_that_is_stopped_is_not_started(plant: Lab) -> None:
    collector = plant.hosts["collector"]
    collector.exec(["systemctl", "stop", "telegraf"], check=True)
    done = collector.exec(["systemctl", "start", "telegraf-restart"])
    assert done.returncode == 0, done.stderr
    shown = collector.exec(["systemctl", "is-active", "telegraf"]).stdout
    assert shown.strip() == "inactive"
    collector.exec(["systemctl", "start", "telegraf"], check=True)
