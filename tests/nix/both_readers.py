"""Both readers of a site, Python and Nix, and what makes their answers the same."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fieldline.site import Site, SiteError, load_site

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/sites"
RIGHT = [ROOT / "site.toml", *sorted((CORPUS / "right").glob("*.toml"))]

SEED = 20261122

Mistakes = set[tuple[str, str]]


def nix(expression: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Evaluate an expression; it goes through a file, since long arguments are refused."""
    file = folder / "expression.nix"
    file.write_text(expression)
    return subprocess.run(
        [
            *("nix-instantiate", "--store", "dummy://"),  # any user may evaluate
            "--eval",
            "--strict",
            "--json",
            str(file),
        ],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=120,
    )


def nix_json(expression: str, folder: Path) -> Any:
    """Evaluate an expression to JSON, in which there is no float."""
    result = nix(expression, folder)
    assert result.returncode == 0, result.stderr[-4000:]

    def no_float(text: str) -> float:
        raise AssertionError(f"a float in the output of lib/: {text}")

    return json.loads(result.stdout, parse_float=no_float, parse_constant=no_float)


def read_all(paths: list[Path], folder: Path) -> dict[str, Any]:
    """Read sites with Nix: the mistakes of each, and the resolved site if there are none."""
    texts = " ".join(json.dumps(str(path)) for path in paths)
    result = nix_json(f"import {ROOT}/tests/nix/readers.nix [ {texts} ]", folder)
    assert isinstance(result, dict)
    return result


def of_nix(found: dict[str, Any]) -> Mistakes:
    return {(mistake["key"], mistake["code"]) for mistake in found["mistakes"]}


def of_python(path: Path) -> Mistakes:
    try:
        load_site(path)
    except SiteError as error:
        return {(mistake.key, mistake.code) for mistake in error.mistakes}
    return set()


def normalised(site: Site) -> dict[str, Any]:
    """A site of Python in the form of `lib/site.nix`."""
    data = asdict(site)
    del data["path"], data["collection"]["buffer"]
    for asset_type in data["types"].values():
        del asset_type["name"]
        for variable in asset_type["variables"].values():
            del variable["range"], variable["source"]
    for topic in data["topics"].values():
        del topic["name"]
    for asset, original in zip(data["assets"], site.assets, strict=True):
        asset["nodes"] = {name: str(node) for name, node in original.nodes.items()}
    return json.loads(json.dumps(data))  # type: ignore[no-any-return]
