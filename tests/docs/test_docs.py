"""What the documents say is held against the project itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from fieldline.doctor import CHECKS  # noqa: E402
from fieldline.site import SiteError, load_site  # noqa: E402
from fieldline.where.causes import CAUSES  # noqa: E402
from readme_steps import follow, steps  # noqa: E402

README = (ROOT / "README.md").read_text()
STEPS = steps(README)
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "site.toml", tmp_path)
    return tmp_path


def test_readme_has_the_steps_it_promises() -> None:
    assert [step.heading for step in STEPS] == [
        "Add a variable",
        "Add a variable",
        "Add assets",
        "Add an existing PLC",
        "Write a model",
        "Write a model",
        "Write a model",
    ]


def test_steps_lead_from_one_right_site_to_the_next(tree: Path) -> None:
    for heading in dict.fromkeys(step.heading for step in STEPS):
        for step in STEPS:
            if step.heading == heading:
                follow(step, tree)
        load_site(tree / "site.toml")
    site = load_site(tree / "site.toml")
    assert "Humidity" in site.types["sensors"].variables
    assert [asset.name for asset in site.assets if asset.type == "press"] == [
        "press1",
        "press2",
        "press3",
    ]
    assert site.servers["plc"].endpoint == "opc.tcp://192.168.0.50:4840"
    assert "spread" in site.types["sensors"].models


def test_a_step_left_out_is_refused(tree: Path) -> None:
    follow(STEPS[0], tree)
    with pytest.raises(SiteError) as refused:
        load_site(tree / "site.toml")
    assert "assets[0].nodes.Humidity" in str(refused.value)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    prose = re.sub(r"`[^`]*`", "", document.read_text())
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", prose):
        assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_no_lock_file_names_an_address() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    locks = [
        name
        for name in tracked
        if Path(name).name in {"go.sum", "go.mod", "requirements.txt", "SHA256SUMS", "flake.lock"}
    ]
    assert locks
    for name in locks:
        assert not re.search(r"\bhttps?://", (ROOT / name).read_text()), name


def test_every_cause_and_every_check_is_explained_to_who_operates() -> None:
    text = (ROOT / "docs" / "operate.md").read_text()
    named = set(re.findall(r"`([a-z0-9-]+)`", text))
    assert set(CAUSES) <= named, sorted(set(CAUSES) - named)
    assert {check.name for check in CHECKS} <= named


def test_the_causes_in_the_table_are_those_that_are_told() -> None:
    text = (ROOT / "docs" / "operate.md").read_text()
    table = text.partition("### Causes")[2].partition("## ")[0]
    cells = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ")]
    listed = {code for cell in cells for code in re.findall(r"`([a-z-]+)`", cell)} - {"code"}
    assert listed
    assert listed <= set(CAUSES), sorted(listed - set(CAUSES))
