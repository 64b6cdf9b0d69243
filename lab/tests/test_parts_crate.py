"""A part of a crate: nothing of a wrong one is compiled. No network; cargo is a script here."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from fieldline_lab.parts import Cache, Part, PartError, Silent, obtain, read_catalogue

CRATE = "deadnix-1.3.1.crate"

# `info` puts a crate where cargo does, `install` a program.
CARGO = f"""#!/bin/sh
echo "$@" >> "$CARGO_HOME/../../../said"
case $1 in
  --version) echo cargo 1.90.0 ;;
  info) mkdir -p "$CARGO_HOME/registry/cache/index-1"
    printf content > "$CARGO_HOME/registry/cache/index-1/{CRATE}" ;;
  install) while [ "$1" != --root ]; do shift; done
    mkdir -p "$2/bin"
    printf '#!/bin/sh\\n' > "$2/bin/deadnix"
    chmod 755 "$2/bin/deadnix" ;;
esac
"""


@pytest.fixture
def cargo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cargo of ours on PATH; what it was called with goes into this file."""
    program = tmp_path / "bin/cargo"
    program.parent.mkdir()
    program.write_text(CARGO)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path / "cache/said"


def made(folder: Path, content: bytes) -> Part:
    """A deadnix whose pin is the sum of `content`."""
    (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(content).hexdigest()}  {CRATE}\n")
    recipe = replace(read_catalogue()["deadnix"], folder=folder, version="1.3.1")
    cache = Cache(folder / "cache")
    catalogue = {"deadnix": recipe}
    return obtain(["deadnix"], reporter=Silent(), cache=cache, catalogue=catalogue, search_path="")[
        "deadnix"
    ]


def test_the_right_crate_is_compiled(tmp_path: Path, cargo: Path) -> None:
    part = made(tmp_path, b"content")
    assert part.executable == part.directory / "bin/deadnix"
    fetched, installed = [line for line in cargo.read_text().splitlines() if "deadnix" in line]
    assert fetched == "info --quiet deadnix@1.3.1"
    assert installed.startswith("install deadnix --version =1.3.1 --locked ")
    assert installed.endswith(" --no-default-features --features ")


def test_a_wrong_crate_is_not_compiled(tmp_path: Path, cargo: Path) -> None:
    with pytest.raises(PartError, match="not what this checkout pins") as error:
        made(tmp_path, b"other content")
    assert error.value.cause.startswith(f"{CRATE}: sha256 ")
    assert "install" not in cargo.read_text()


def test_a_crate_that_cannot_be_seen_is_not_compiled(tmp_path: Path, cargo: Path) -> None:
    """As with a mirror that cargo unpacks elsewhere."""
    program = tmp_path / "bin/cargo"
    program.write_text(CARGO.replace("index-1/", "index-1/other-"))
    with pytest.raises(PartError, match="not what this checkout pins") as error:
        made(tmp_path, b"content")
    assert error.value.cause == f"{CRATE}: is missing"
    assert "install" not in cargo.read_text()
