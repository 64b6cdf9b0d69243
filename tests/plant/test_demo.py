"""`make demo` as a newcomer runs it, without a terminal."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fieldline_lab import lab as labs
from fieldline_lab.lab import Lab
from fieldline_lab.names import LabNames
from traces import nothing, traces

ROOT = Path(__file__).resolve().parents[2]
NAMES = LabNames.of(ROOT, ROOT / "site.toml", "demo")
SECONDS = 240.0


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    try:
        yield
        assert traces(NAMES) == nothing(NAMES)
    finally:
        labs.down(NAMES, purge=True)


def start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "fieldline_lab.demo", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def test_it_ends_with_0_when_everything_arrived() -> None:
    demo = start("--duration", "12", "--json")
    output, errors = demo.communicate(timeout=SECONDS)
    assert demo.returncode == 0, output + errors
    summary = json.loads(output)
    assert summary["verify"]["ok"]
    assert summary["verify"]["values"]["matched"] >= 12 * 5
    assert summary["first_value_s"] > 0
    assert summary["latency"]["values"]["p99_ms"] >= summary["latency"]["values"]["p50_ms"] > 0


def test_it_ends_with_1_when_values_are_lost() -> None:
    demo = start("--duration", "25")
    assert demo.stderr is not None
    # The first of these lines comes seconds after the first value: by then there is one to miss.
    assert any("opc" in line and "/s" in line for line in demo.stderr)
    collector = Lab.running(NAMES).hosts["collector"]
    # Without the gap filler nobody brings them from the server's history.
    collector.exec(["systemctl", "stop", "gap-filler", "telegraf"], check=True)
    # Values that nobody collects: time itself is the fault.
    collector.exec(["sleep", "2"], check=True)
    collector.exec(["systemctl", "start", "telegraf"], check=True)
    output, errors = demo.communicate(timeout=SECONDS)
    assert demo.returncode == 1, output + errors
    assert "NOT everything arrived" in output


@pytest.mark.parametrize("moment", ["hosts are started", "values flow"])
def test_ctrl_c_cleans_up(moment: str) -> None:
    demo = start("--duration", "60")
    assert demo.stderr is not None
    awaited = "switching on" if moment == "hosts are started" else "/s"
    assert any(awaited in line for line in demo.stderr)
    demo.send_signal(signal.SIGINT)
    output, errors = demo.communicate(timeout=SECONDS)
    assert demo.returncode == 130, output + errors
    assert "Traceback" not in errors


def test_a_second_one_is_refused_and_disturbs_nothing() -> None:
    first = start("--duration", "12", "--json")
    assert first.stderr is not None
    assert any("switching on" in line for line in first.stderr)
    second = start("--duration", "1")
    output, errors = second.communicate(timeout=SECONDS)
    assert second.returncode == 1, output + errors
    assert "in use by another command" in errors
    output, errors = first.communicate(timeout=SECONDS)
    assert first.returncode == 0, output + errors
