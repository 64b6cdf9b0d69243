"""What a collector looks after, and what the command line refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline.site import load_site
from gap_filler.cli import app
from gap_filler.plan import make_plans
from gap_filler_server import site_of
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[3]
DAY_MS = 86_400_000


def test_the_demonstration_plant() -> None:
    [plan] = make_plans(load_site(ROOT / "site.toml"), "collector")
    assert plan.name == "opc"
    assert [(v.key, str(v.node)) for v in plan.variables] == [
        ("Sensors/Temperature", "ns=2;i=2"),
        ("Sensors/Pressure", "ns=2;i=3"),
        ("Sensors/SlowSensor", "ns=2;i=4"),
    ]
    assert plan.rate == pytest.approx(5 + 0.5 + 0.125)
    # The server's record, which is shorter than the topic's retention.
    assert plan.lookback_ms == DAY_MS
    assert plan.fresh_lookback_ns == DAY_MS * 10**6


def test_a_large_plant_does_not_begin_a_day_ago(tmp_path: Path) -> None:
    [plan] = make_plans(site_of(tmp_path, "opc.tcp://127.0.0.1:4840", pumps=1_000), "all")
    assert plan.rate == 2_000
    assert plan.fresh_lookback_ns == 10_000 * 10**9


def test_a_host_that_collects_nothing_is_refused() -> None:
    with pytest.raises(FieldlineError, match=r"'db' collects from no server .*: collector\."):
        make_plans(load_site(ROOT / "site.toml"), "db")


def test_a_wrong_command_line_is_a_wrong_configuration(tmp_path: Path) -> None:
    command = ["--site", str(ROOT / "site.toml"), "--collector", "db", "--bootstrap-servers", "a:1"]
    command += ["--state", str(tmp_path), "--metrics", "127.0.0.1:0"]
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, "collects from no server" in result.output) == (78, True)
    result = CliRunner().invoke(app, [*command[:-1], "nowhere"])
    assert (result.exit_code, '--metrics "nowhere"' in result.output) == (78, True)
    result = CliRunner().invoke(app, [*command, "--bootstrap-servers", "a"])
    assert (result.exit_code, '--bootstrap-servers "a"' in result.output) == (78, True)
