"""A host's units, ports and clock: what is well, what is not, and what could not be looked at."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from doctor_findings import context, found, local_site, unit, verdicts
from fieldline.doctor import clocks as clocks_check
from fieldline.doctor.ports import declared_ports, ports
from fieldline.doctor.units import units
from fieldline.local import LocalHost
from where_plant import NOW, SECOND, SITE, Plant, failed


def test_units() -> None:
    states = [
        unit("telegraf"),
        unit("grafana", restarts=1, since_ns=NOW - SECOND),
        unit("influxdb2", restarts=5, since_ns=NOW - 60 * SECOND),
        unit("ledger", restarts=5, since_ns=NOW - 7200 * SECOND),
        unit("apache-kafka", "inactive"),
        unit("kafka-provision", "failed", status=78),
        unit("deploy-guard", restarts=1, since_ns=NOW - SECOND),
    ]
    words = {
        "kafka-provision": failed("Topic opc has 2, declared: 4."),
        "deploy-guard": failed("deploy-guard.service: Watchdog timeout (limit 30s)!"),
    }
    plant = Plant(here=LocalHost("db", {s.name: s for s in states}), words=words)
    seen = found(units(context(plant)))
    assert seen["unit telegraf"] == ("ok", "it runs")
    assert seen["unit grafana"] == ("ok", "it runs, restarted 1 times by itself")
    assert seen["unit influxdb2"][0] == "warning"
    assert seen["unit ledger"][0] == "ok"
    assert seen["unit apache-kafka"] == ("failed", "it was stopped")
    assert seen["unit kafka-provision"] == (
        "failed",
        "it has refused to run (exit code 78): Topic opc has 2, declared: 4.",
    )
    assert seen["unit deploy-guard"][0] == "warning"
    assert "it hung" in seen["unit deploy-guard"][1]
    assert seen["host opc"][0] == seen["host collector"][0] == "skipped"
    assert verdicts(units(context(Plant(host=None)))) == {"this host": "skipped"}
    barred = Plant(here=LocalHost("db", problem="no systemd"))
    assert found(units(context(barred)))["host db"] == ("skipped", "no systemd")


def test_ports() -> None:
    here = LocalHost("collector", {"stream-model": unit("stream-model")})
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        site = local_site({"telegraf": port})
        seen = verdicts(ports(context(Plant(site=site, here=here))))
        from_db = verdicts(ports(context(Plant(site=site, here=LocalHost("db")))))
    assert seen[f"collector {port} (telegraf)"] == "ok"
    assert seen[f"db {port} (telegraf)"] == "ok"
    assert seen["opc 1 (opc-server)"] == "failed"
    assert seen["db 1 (apache-kafka)"] == "failed"
    assert seen["collector 1 (stream-model)"] == "failed"
    # InfluxDB's is its own host's alone; a unit that is not there does not listen.
    assert seen["db 1 (influxdb2)"] == from_db["db 1 (influxdb2)"] == "skipped"
    assert from_db["collector 1 (stream-model)"] == "failed"


def test_a_silent_host_and_who_may_reach_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldline.doctor.ports.reach_of_port", lambda *_: ("silent", "x"))
    from_opc = verdicts(ports(context(Plant(host="opc"))))
    assert from_opc["db 22 (sshd)"] == "failed"
    assert from_opc["db 9092 (apache-kafka)"] == "skipped"
    assert from_opc["opc 4840 (opc-server)"] == "skipped"
    from_collector = verdicts(ports(context(Plant(host="collector"))))
    assert from_collector["opc 4840 (opc-server)"] == "failed"
    assert from_collector["db 9092 (apache-kafka)"] == "failed"
    assert len(declared_ports(SITE)) == len(from_collector) == 13


# -- clocks ---------------------------------------------------------------------------------------


def test_clocks(tmp_path: Path) -> None:
    seen = found(clocks_check.clocks(context(Plant(clock_s=0.4), tmp_path)))
    assert seen["host db"][0] == "failed"
    assert seen["host opc"] == ("ok", "its clock agrees within 2 s")
    assert seen["host collector"][0] == "skipped"
    assert seen["source times"][0] == "skipped"
    file = tmp_path / "run/systemd/timesync/synchronized"
    file.parent.mkdir(parents=True)
    file.touch()
    for clock, words in ((30.0, "30 s ahead of"), (-30.0, "30 s behind")):
        seen = found(clocks_check.clocks(context(Plant(clock_s=clock), tmp_path)))
        assert seen["host db"] == ("ok", "NTP has set its clock")
        assert seen["host opc"] == ("failed", f"its clock is {words} this host's")
    assert verdicts(clocks_check.clocks(context(Plant(host=None))))["this host"] == "skipped"
