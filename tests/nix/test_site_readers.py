"""Both readers of a site, Python and Nix, against one corpus, and each other.

All sites of a kind go through one Nix evaluation: starting Nix takes longer than reading a site.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fieldline.site import load_site

from .both_readers import (
    CORPUS,
    RIGHT,
    ROOT,
    SEED,
    Mistakes,
    nix,
    normalised,
    of_nix,
    of_python,
    read_all,
)

WRONG = sorted((CORPUS / "wrong").glob("*.toml"))
UNREADABLE = sorted((CORPUS / "unreadable").glob("*.toml"))

CODES = ["schema", "missing-key", "unknown-key", "wrong-type", "bad-value", "out-of-range", "empty",
         "duplicate", "unknown-reference", "role-needs", "outside-network", "port-taken", "buffer",
         "memory", "one-of", "security"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readers")


@pytest.fixture(scope="module")
def by_nix(folder: Path) -> dict[str, Any]:
    return read_all(WRONG + RIGHT, folder)


def header(path: Path) -> Mistakes:
    text = path.read_text()
    keys = re.findall(r"^# key: (.+)$", text, re.MULTILINE)
    codes = re.findall(r"^# code: (.+)$", text, re.MULTILINE)
    assert len(keys) == len(codes) >= 1
    assert re.search(r"^# why: .", text, re.MULTILINE)
    return set(zip(keys, codes, strict=True))


def named(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", WRONG, ids=named)
def test_wrong_site_has_the_mistakes_of_its_header(path: Path, by_nix: dict[str, Any]) -> None:
    assert of_python(path) == header(path)
    assert of_nix(by_nix[str(path)]) == header(path)


def test_corpus_has_every_code() -> None:
    assert {code for path in WRONG for _, code in header(path)} == set(CODES)
    assert len(WRONG) >= 60
    assert len(RIGHT) > 12


@pytest.mark.parametrize("path", RIGHT, ids=named)
def test_right_site_is_equal_in_both(path: Path, by_nix: dict[str, Any]) -> None:
    assert by_nix[str(path)]["mistakes"] == []
    assert by_nix[str(path)]["site"] == normalised(load_site(path))


def refused_by_both(path: Path, folder: Path) -> None:
    assert of_python(path) == {("site.toml", "unreadable")}
    result = nix(f"import {ROOT}/lib/site.nix {path}", folder)
    assert result.returncode != 0
    assert "error:" in result.stderr


@pytest.mark.parametrize("path", UNREADABLE, ids=named)
def test_unreadable_site_is_refused(path: Path, folder: Path) -> None:
    refused_by_both(path, folder)


@pytest.mark.parametrize(
    "junk",
    [
        lambda: random.Random(SEED).randbytes(10_000_000),
        lambda: b"# padding\n" * 1_000_000,
        lambda: b"schema = 1\n" + b"#" * (4 * 1024 * 1024 - 10),
    ],
    ids=["junk", "comments", "one-byte-more"],
)
def test_large_file_is_refused(junk: Callable[[], bytes], folder: Path) -> None:
    path = folder / "large.toml"
    path.write_bytes(junk())
    refused_by_both(path, folder)


def test_largest_file_is_read(folder: Path) -> None:
    text = (ROOT / "site.toml").read_bytes() + b"\n#"
    path = folder / "largest.toml"
    path.write_bytes(text + b"x" * (4 * 1024 * 1024 - len(text)))
    assert of_python(path) == of_nix(read_all([path], folder)[str(path)]) == set()


def test_refusal_lists_all_mistakes(folder: Path) -> None:
    path = CORPUS / "wrong/many-references.toml"
    result = nix(f"import {ROOT}/lib/site.nix {path}", folder)
    assert result.returncode != 0
    for key, code in header(path):
        assert re.search(
            rf"site\.toml: {re.escape(key)}: {re.escape(code)}: .+; .+", result.stderr
        ), result.stderr
