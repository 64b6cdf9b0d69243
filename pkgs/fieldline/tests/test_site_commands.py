"""The command `fieldline`, and `fieldline site`."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from fieldline import __version__, cli
from fieldline.errors import FieldlineError

ROOT = Path(__file__).resolve().parents[3]
PLANT = str(ROOT / "site.toml")
WRONG = str(ROOT / "tests/sites/wrong/type-prefix-text.toml")

broken_app = typer.Typer()


@broken_app.command()
def interrupt() -> None:
    """Do as if Ctrl-C was pressed."""
    raise KeyboardInterrupt


@broken_app.command()
def fail() -> None:
    """Fail in a known way."""
    raise FieldlineError("Start Kafka.", "connection refused")


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process; gives exit code, standard output and error."""
    # The entry point below loads this file, which pytest need not have put there.
    this = types.ModuleType("test_site_plugin")
    this.broken_app = broken_app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, this.__name__, this)
    plugins = {
        "site": EntryPoint("site", "fieldline.site.commands:app", cli.GROUP),
        "test": EntryPoint("test", "test_site_plugin:broken_app", cli.GROUP),
        "gone": EntryPoint("gone", "fieldline_gone.commands:app", cli.GROUP),
    }
    monkeypatch.setattr(cli, "_plugins", lambda: plugins)
    monkeypatch.setenv("COLUMNS", "100")

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fieldline", *arguments])
        code: object = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return code, captured.out, captured.err

    return command


def test_check_of_a_right_site(run: Run) -> None:
    code, out, err = run("site", "check", PLANT)
    assert (code, err) == (0, "")
    assert out == f"{PLANT} is right: 3 hosts, 1 server, 1 asset, 3 variables\n"


def test_check_of_a_wrong_site(run: Run) -> None:
    code, out, err = run("site", "check", WRONG)
    assert (code, out) == (1, "")
    assert err == f"{WRONG}:9: network.prefix: is a text; write a whole number from 8 to 126\n"


def test_check_as_json(run: Run) -> None:
    code, out, err = run("site", "check", WRONG, "--json")
    assert (code, err) == (1, "")
    (mistake,) = json.loads(out)["mistakes"]
    assert (mistake["key"], mistake["code"], mistake["line"]) == ("network.prefix", "wrong-type", 9)
    code, out, _ = run("site", "check", PLANT, "--json")
    assert (code, json.loads(out)["right"]) == (0, True)


def test_check_takes_the_site_of_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIELDLINE_SITE", WRONG)
    assert run("site", "check")[0] == 1


def test_show(run: Run) -> None:
    code, out, _ = run("site", "show", PLANT)
    assert code == 0
    for part in ("192.168.0.10", "opc.tcp://192.168.0.5:4840", "5.625", "3,375", "10,000", "7d"):
        assert part in out


def test_show_as_json(run: Run) -> None:
    code, out, _ = run("site", "show", PLANT, "--json")
    assert code == 0
    data = json.loads(out)
    assert data["total"] == {"assets": 1, "variables": 3, "models": 2, "values_per_second": 5.625}
    assert data["servers"][0]["collector"] == "collector"
    assert data["collectors"][0]["buffer"] == 10_000


def test_schema(run: Run) -> None:
    code, out, _ = run("site", "schema")
    assert code == 0
    assert set(json.loads(out)["required"]) >= {"schema", "network", "hosts"}


@pytest.mark.parametrize("command", ["check", "show", "schema"])
def test_help_has_examples(run: Run, command: str) -> None:
    code, out, _ = run("site", command, "--help")
    assert code == 0
    assert f"fieldline site {command}" in out


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"fieldline {__version__}\n", "")


def test_known_error_has_two_layers(run: Run) -> None:
    assert run("test", "fail") == (1, "", "Start Kafka.\n  cause: connection refused\n")


def test_interrupt_ends_without_a_trace(run: Run) -> None:
    assert run("test", "interrupt") == (130, "", "")


def test_broken_plugin_hinders_only_itself(run: Run) -> None:
    code, out, err = run("gone", "anything", "--at", "all")
    assert (code, out) == (1, "")
    assert err.splitlines()[0].startswith('"fieldline gone" cannot be loaded')
    assert "No module named 'fieldline_gone'" in err
    code, out, _ = run("--help")
    assert code == 0
    assert "(cannot be loaded)" in out
    assert "site.toml" in out


def test_unknown_command_is_a_usage_error(run: Run) -> None:
    assert run("nothing")[0] == 2
