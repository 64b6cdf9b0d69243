"""On the database host, what has stopped delivering is restarted by itself, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fieldline_lab.host import Host
from plants import booted, now, until_succeeds

STORE = "/var/lib/influxdb2"


@pytest.fixture(scope="module")
def db() -> Iterator[Host]:
    with booted("store-guard") as lab:
        host = lab.hosts["db"]
        _own_disk(host)
        host.exec(["fieldline", "wait", "--fresh-within", "60s"], check=True)
        yield host


def _own_disk(host: Host) -> None:
    """Put InfluxDB's folder on a small disk of its own: Kafka's has room all the time."""
    host.exec(["systemctl", "stop", "influxdb2"], check=True)
    script = f"""
        mkdir /var/lib/kept && cp -a {STORE}/. /var/lib/kept/
        mount -t tmpfs -o size=300m tmpfs {STORE}
        cp -a /var/lib/kept/. {STORE}/ && chown --reference=/var/lib/kept {STORE}
    """
    host.exec(["sh", "-ec", script], check=True)
    host.exec(["systemctl", "start", "influxdb2"], check=True)


def invocation(host: Host, unit: str) -> str:
    return host.exec(["systemctl", "show", "-P", "InvocationID", unit]).stdout.strip()


def until_restarted(host: Host, unit: str, before: str) -> None:
    until_succeeds(host, f'test "$(systemctl show -P InvocationID {unit})" != {before}')


def restarts(host: Host) -> dict[str, Any]:
    url = f"http://{host.address}:9105/state"
    found: dict[str, Any] = json.loads(host.exec(["curl", "-fsS", url], check=True).stdout)
    return dict(found["restarts"])


def until_whole(host: Host, since: str) -> None:
    host.exec(["fieldline", "wait", "--fresh-within", "60s"], check=True)
    until_succeeds(host, f"fieldline verify --since {since} --until {now(host)} --settle 0s")


def test_influxdb_that_refuses_after_a_full_disk_is_restarted(db: Host) -> None:
    since, before, writer = now(db), invocation(db, "influxdb2"), invocation(db, "telegraf")
    # dd fails when there is no room left, which is what it is for.
    db.exec(["dd", "if=/dev/zero", f"of={STORE}/filler", "bs=64k", "status=none"])
    until_succeeds(
        db,
        "curl -fsS http://127.0.0.1:8086/metrics "
        """| grep -q '^http_api_requests_total.*path="/api/v2/write",response_code="500"'""",
    )
    assert invocation(db, "influxdb2") == before
    db.exec(["rm", f"{STORE}/filler"], check=True)
    until_restarted(db, "influxdb2", before)
    until_whole(db, since)
    told = restarts(db)
    assert told["influxdb2"]["count"] == 1
    assert "refused every write" in told["influxdb2"]["reason"]
    # It was not the writer's fault.
    assert told["telegraf"]["count"] == 0
    assert invocation(db, "telegraf") == writer
    assert invocation(db, "influxdb2") != before


def test_a_writer_that_takes_nothing_is_restarted(db: Host) -> None:
    since, before, store = now(db), invocation(db, "telegraf"), invocation(db, "influxdb2")
    db.exec(["systemctl", "kill", "--signal=STOP", "telegraf"], check=True)
    until_restarted(db, "telegraf", before)
    until_whole(db, since)
    told = restarts(db)
    assert told["telegraf"]["count"] == 1
    assert "nothing is taken" in told["telegraf"]["reason"]
    # Whichever of its groups stood still first.
    assert "for telegraf-" in told["telegraf"]["reason"]
    assert invocation(db, "influxdb2") == store


def test_a_wish_of_before_is_none_when_the_ledger_stops_and_starts(db: Host) -> None:
    """systemd takes a file that vanishes for one that was written."""
    db.exec(["test", "-e", "/run/ledger/restart-influxdb2"], check=True)
    units = ("influxdb2", "telegraf", "influxdb2-restart", "telegraf-restart")
    before = {unit: invocation(db, unit) for unit in units}
    for deed in ("stop", "start", "restart"):
        db.exec(["systemctl", deed, "ledger"], check=True)
    until_succeeds(db, "systemctl is-active ledger")
    # A wish now shows that the old ones would have been seen by now: systemd takes them in order.
    db.exec(["sh", "-c", "echo now > /run/ledger/restart-telegraf"], check=True)
    until_restarted(db, "telegraf", before["telegraf"])
    assert invocation(db, "influxdb2") == before["influxdb2"]
    assert invocation(db, "influxdb2-restart") == before["influxdb2-restart"]
