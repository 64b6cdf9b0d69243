"""What a Python package says that it needs, it says twice: to pip and to Nix. Both say the same."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(path.parent for path in (ROOT / "pkgs").glob("*/pyproject.toml"))


def normalized(name: str) -> str:
    """A distribution's name as PEP 503 compares it, without version and extras."""
    match = re.match(r"[A-Za-z0-9._-]+", name)
    assert match is not None, name
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def nix_list(text: str, attribute: str) -> set[str]:
    """The names in `attribute = [ … ]`."""
    match = re.search(rf"\b{attribute} = \[(.*?)\]", text, re.DOTALL)
    assert match is not None, f"no {attribute} in this package"
    return {normalized(name) for name in match[1].split()}


def nix_text(text: str, attribute: str) -> str:
    match = re.search(rf'\b{attribute} = "(.*?)";', text)
    assert match is not None, f"no {attribute} in this package"
    return match[1]


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda path: path.name)
def test_package_is_described_the_same_twice(folder: Path) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    nix = (folder / "default.nix").read_text()
    metadata = project["project"]
    assert nix_list(nix, "dependencies") == {normalized(name) for name in metadata["dependencies"]}
    assert nix_list(nix, "build-system") == {
        normalized(name) for name in project["build-system"]["requires"]
    }
    assert nix_text(nix, "pname") == metadata["name"]
    assert nix_text(nix, "version") == metadata["version"]
    assert nix_text(nix, "description") == metadata["description"]
    assert nix_text(nix, "mainProgram") in metadata["scripts"]
    assert "pyproject = true;" in nix


def test_a_difference_would_be_seen() -> None:
    assert nix_list("dependencies = [\n  aiokafka\n  tomli-w\n];", "dependencies") == {
        "aiokafka",
        "tomli-w",
    }
    assert normalized("prometheus_client>=0.20") == "prometheus-client"


def test_every_package_is_built_by_nix() -> None:
    assert PACKAGES
    assert all((folder / "default.nix").is_file() for folder in PACKAGES)
