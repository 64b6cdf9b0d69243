"""The scenarios of the NixOS VM tests, on lab hosts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fieldline_lab.driver import run_scenario
from fieldline_lab.lab import Lab
from plants import with_admin

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(
    path for path in (ROOT / "tests" / "scenarios").glob("*.py") if path.name != "prelude.py"
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    # The admin whose key a scenario may log in with.
    site = with_admin(tmp_path, "scenario", (ROOT / "tests/scenarios/admin.pub").read_text())
    lab = Lab.from_worktree(ROOT, site=site, name="scenarios")
    try:
        yield lab
    finally:
        lab.down(purge=True)


def test_there_are_scenarios() -> None:
    assert {path.stem for path in SCENARIOS} >= {
        "base",
        "boot",
        "chain",
        "power",
        "restart",
        "secrets",
    }


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(scenario: Path, lab: Lab) -> None:
    run_scenario(scenario, lab)
