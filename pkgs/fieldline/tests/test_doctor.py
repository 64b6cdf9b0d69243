"""All checks together: none hinders another, and report and exit code tell what they found."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from doctor_findings import context
from fieldline.doctor import CHECKS, Check, Context, Finding, examine
from fieldline.doctor.command import app, render
from fieldline.errors import FieldlineError
from rich.console import Console
from typer.testing import CliRunner
from where_plant import SITE


def test_a_check_that_fails_or_hangs_hinders_no_other() -> None:
    release = threading.Event()

    def hangs(_: Context) -> Iterator[Finding]:
        release.wait(30)
        yield Finding("x", "ok", "late")

    def breaks(_: Context) -> Iterator[Finding]:
        raise KeyError("a bug")

    def refused(_: Context) -> Iterator[Finding]:
        raise FieldlineError("Do this.", "because")

    checks = [
        Check("hangs", "", hangs),
        Check("breaks", "", breaks),
        Check("refused", "", refused),
        Check("well", "", lambda _: [Finding("x", "ok", "fine")]),
    ]
    try:
        report = examine(context(), checks, seconds=0.3)
    finally:
        release.set()
    seen = {c.check: c.findings for c in report.checks}
    assert list(seen) == ["hangs", "breaks", "refused", "well"]
    assert seen["hangs"][0].verdict == "skipped"
    assert "KeyError: 'a bug'" in seen["breaks"][0].text
    assert seen["refused"] == [Finding("refused", "failed", "because", "Do this.")]
    assert seen["well"][0].verdict == "ok"
    assert not report.ok
    assert examine(context(), checks[3:]).ok


def test_every_check_has_a_name_of_its_own_and_says_what_it_looks_at() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.about for check in CHECKS)


def test_the_table_shows_everything() -> None:
    report = examine(
        context(),
        [
            Check("a", "", lambda _: [Finding("one", "failed", "is broken", "Mend it.")]),
            Check("b", "", lambda _: [Finding("two", "skipped", "not from here")]),
        ],
    )
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render(report))
    text = console.export_text()
    for part in ("FAILED", "one", "is broken", "Mend it.", "skipped", "not from here"):
        assert part in text


def test_the_command_gives_its_verdict_as_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Context, "gather", lambda *_: context(root=tmp_path))
    site = ["--site", str(SITE.path)]
    (tmp_path / "var/backup").mkdir(parents=True)
    done = CliRunner().invoke(app, ["backup", "--json", *site])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["ok"] is True
    done = CliRunner().invoke(app, ["clocks", *site])
    assert done.exit_code == 1
    assert "FAILED" in done.output
    assert "db: 1 ok, 0 look, 1 FAILED, 2 skipped" in " ".join(done.output.split())
    done = CliRunner().invoke(app, ["moon", *site])
    assert done.exit_code == 2
    assert "there is no check" in done.output
