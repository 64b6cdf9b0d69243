"""`make format` and `make lint` for Nix files: scripts/nix-files, the rules of lint/nix.yml."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.prefix) / "bin"
RULES = ROOT / "lint/nix.yml"

# Each antipattern with what is right instead, both as a value.
PAIRS = [
    ("bool_comparison", "a == true", "a"),
    ("bool_comparison", "false != a", "a"),
    ("bool_simplification", "!(a == b)", "a != b"),
    ("empty_let_in", "let in a", "a"),
    ("collapsible_let_in", "let a = 1; in let b = a; in b", "let a = 1; b = a; in b"),
    ("legacy_let_syntax", "let { body = a; }", "let b = a; in b"),
    ("manual_inherit", "{ a = a; }", "{ inherit a; b = a; c.a = a; a = a.a.b; }"),
    ("manual_inherit_from", "{ a = b.a; }", "{ inherit (b) a; c = b.a; d = b.d or 1; e.a = b.a; }"),
    ("empty_inherit", "{ inherit; }", "{ inherit a; }"),
    ("eta_reduction", "x: f x", "x: f x x"),
    ("eta_reduction", "y: x: f x", "x: x x"),
    ("useless_parens", "{ a = (f 1); }", "{ a = f (1 + 1) (x: x) (-1); }"),
    ("useless_parens", "f (a)", "f (a 1)"),
    ("useless_parens", "let a = 1; in (a + 1)", "let a = 1; in (a + 1) * 2"),
    ("empty_pattern", "{ ... }: a", "{ ... }: { imports = [ ]; }"),
    ("redundant_pattern_bind", "{ ... }@a: a", "{ a, ... }@b: b"),
    ("unquoted_uri", "http:a", '"http:a"'),
    ("deprecated_to_path", 'builtins.toPath "/a"', '/. + "/a"'),
    ("useless_has_attr", "if a ? b then a.b else c", "if a ? b then a.c else c"),
    ("empty_list_concat", "[ ] ++ a", "[ a ] ++ b"),
    ("empty_list_concat", "a ++ [ ]", "a ++ [ b ]"),
]


def found(text: str) -> set[str]:
    """The rules that find something in an expression."""
    done = subprocess.run(
        [BIN / "ast-grep", "scan", "--rule", RULES, "--json=compact", "--stdin"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return {match["ruleId"] for match in json.loads(done.stdout)}


@pytest.mark.parametrize(("rule", "wrong", "right"), PAIRS)
def test_a_rule_finds_its_antipattern_and_nothing_else(rule: str, wrong: str, right: str) -> None:
    assert found(wrong) == {rule}
    assert found(right) == set()


def test_every_rule_is_tried() -> None:
    rules = {line[4:] for line in RULES.read_text().splitlines() if line.startswith("id: ")}
    assert rules == {rule for rule, _, _ in PAIRS}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A work tree with the script, its rules, this environment and one file."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copytree(ROOT / "lint", tmp_path / "lint")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/a file.nix").write_text("{ lib }:\nlib\n")
    return tmp_path


def run(
    project: Path, action: str, env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [project / "scripts/nix-files", action],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(env or {})},
    )


def test_a_clean_tree_passes(project: Path) -> None:
    done = run(project, "check")
    assert (done.returncode, done.stdout) == (0, "1 Nix files formatted and clean\n"), done.stderr


def test_all_is_told_at_once_and_mended_as_far_as_it_is_safe(project: Path) -> None:
    file = project / "lib/new.nix"
    file.write_text("{ lib, pkgs }: {a = lib.a;}\n")
    hidden = project / ".lab/copy.nix"
    hidden.parent.mkdir()
    hidden.write_text("{a=1;}")
    done = run(project, "check")
    assert done.returncode == 1
    for told in ("not formatted", "unused names", "antipatterns", "pkgs", "manual_inherit_from"):
        assert told in done.stdout + done.stderr
    assert file.read_text() == "{ lib, pkgs }: {a = lib.a;}\n"
    assert run(project, "format").returncode == 0
    assert file.read_text() == "{ lib, pkgs }: { inherit (lib) a; }\n"
    assert hidden.read_text() == "{a=1;}"
    # An argument may be there for whoever calls the file: a person has to say what becomes of it.
    done = run(project, "check")
    assert done.returncode == 1
    assert "unused names" in done.stderr
    assert "not formatted" not in done.stderr


def test_no_nix_file_at_all_is_an_error(project: Path) -> None:
    (project / "lib/a file.nix").unlink()
    done = run(project, "check")
    assert done.returncode == 1
    assert "no Nix file found" in done.stderr


def test_a_tool_that_cannot_be_had_is_an_error(project: Path) -> None:
    """No cargo on PATH and an empty cache."""
    commands = project / "commands"
    commands.mkdir()
    for command in ("bash", "dirname", "find", "sort"):
        found_at = shutil.which(command)
        assert found_at is not None
        (commands / command).symlink_to(found_at)
    done = run(project, "check", {"PATH": str(commands), "XDG_CACHE_HOME": str(project / "cache")})
    assert done.returncode == 1
    assert "no cargo on PATH, needed for nixfmt, deadnix" in done.stderr


def test_rules_that_cannot_be_read_are_an_error(project: Path) -> None:
    (project / "lint/nix.yml").write_text("id: broken\nlanguage: nix\nrule: {}\n")
    assert run(project, "check").returncode == 1
