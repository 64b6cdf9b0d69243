"""What the README tells an engineer to do, done on a copy of the work tree and booted."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fieldline_lab.lab import Lab
from readme_steps import follow, steps

ROOT = Path(__file__).resolve().parents[2]
PLC_ADDRESS = "192.168.0.50"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    for step in steps((ROOT / "README.md").read_text()):
        follow(step, tmp_path)
    return tmp_path


@pytest.fixture
def lab(tree: Path) -> Iterator[Lab]:
    lab = Lab.from_worktree(tree)
    try:
        lab.up([])
        yield lab
    finally:
        lab.down(purge=True)


@pytest.fixture
def _plc(lab: Lab) -> Iterator[None]:
    """A PLC on the plant's network, in a namespace of its own."""
    lab.network.attach("plc", PLC_ADDRESS)
    server = Path(__file__).with_name("plc.py")
    process = subprocess.Popen(
        [
            *("ip", "netns", "exec", lab.names.namespace("plc")),
            *(sys.executable, str(server), f"opc.tcp://{PLC_ADDRESS}:4840"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "serving\n"
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("_plc")
def test_variable_assets_plc_and_model_reach_influxdb(lab: Lab) -> None:
    lab.up()
    db = lab.hosts["db"]
    # Temperature and the other fast ones; each has to be there, the PLC's and the new model's too.
    done = db.exec(["fieldline", "wait", "--fresh-within", "60s", "--json"])
    assert done.returncode == 0, done.stdout + done.stderr
    done = db.exec(["fieldline", "verify", "--for", "10s", "--json"])
    report = json.loads(done.stdout)
    assert report["ok"], report
    assert report["values"]["matched"] > 0
    assert "plc" in json.dumps(report["not_verifiable"])
    done = db.exec(["fieldline", "where", "--json"])
    seen = {(one["asset"], one["name"]): one for one in json.loads(done.stdout)["series"]}
    assert {("Sensors", "Humidity"), ("press3", "Force"), ("pump1", "Flow")} <= set(seen)
    spread = seen["Sensors", "spread"]["value"]
    assert spread is not None
    assert spread >= 0
