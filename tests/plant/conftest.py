"""The real plant on lab hosts: needs root and the parts, and fails without them."""

import os
import sys
from pathlib import Path

import pytest
from fieldline_lab.elevate import find_tools

ROOT = Path(__file__).resolve().parents[2]

# Helpers of the tests beside these: the steps of the README, what a lab may leave, the faults.
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("docs", "lab", "plant", "faults/src")]


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    assert os.geteuid() == 0, "lab hosts need root: run `sudo make test`"
    find_tools()
