"""The scenarios as text: what the NixOS driver checks at build time is checked here."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from fieldline_lab.vocabulary import check_scenario, stub

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "scenarios"
PRELUDE = FOLDER / "prelude.py"
SCENARIOS = sorted(path for path in FOLDER.glob("*.py") if path != PRELUDE)
HOSTS = list(tomllib.loads((ROOT / "site.toml").read_text())["hosts"])


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_it_keeps_to_the_vocabulary(scenario: Path) -> None:
    check_scenario(PRELUDE, HOSTS, prelude=True)
    check_scenario(scenario, HOSTS)


def _run(tool: str, *arguments: str, **environment: str) -> None:
    argv = [sys.executable, "-m", tool, *arguments]
    env = {**os.environ, **environment}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_the_drivers_type_check_passes(scenario: Path, tmp_path: Path) -> None:
    text = tmp_path / "script.py"
    text.write_text(stub(HOSTS) + PRELUDE.read_text() + scenario.read_text())
    _run("mypy", "--config-file=", f"--cache-dir={ROOT / '.mypy_cache' / 'scenarios'}", str(text))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_the_drivers_linter_passes(scenario: Path, tmp_path: Path) -> None:
    text = tmp_path / "script.py"
    text.write_text(PRELUDE.read_text() + scenario.read_text())
    names = [*(host.replace("-", "_") for host in HOSTS), "start_all", "subtest"]
    _run("pyflakes", str(text), PYFLAKES_BUILTINS=",".join(names))
