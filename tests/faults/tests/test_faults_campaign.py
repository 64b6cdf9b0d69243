"""When a plant is made anew between cells, and what the command leaves out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fieldline.errors import FieldlineError
from fieldline_faults import campaign as campaigns
from fieldline_faults import command, record
from fieldline_faults.campaign import HASTE, Campaign
from fieldline_faults.cell import Outcome
from fieldline_faults.command import app
from fieldline_faults.deeds import SHORT
from fieldline_faults.faults import KINDS, Kind
from fieldline_faults.matrix import Cell
from fieldline_faults.record import Origin
from fieldline_faults.targets import Target
from test_faults_matrix import fine
from typer.testing import CliRunner


class FakePlant:
    """Counts how often it was made anew; `steady` False: it does not come to rest."""

    def __init__(self, folder: Path) -> None:
        self.lab: Any = type("Lab", (), {})()
        self.lab.names = type("Names", (), {"worktree": folder})()
        self.booted = 0
        self.began = 0.0
        self.steady = True
        self.kept: list[Path] = []

    def up(self) -> None:
        self.booted += 1
        self.began = campaigns.time.monotonic()

    def wait_until_steady(self) -> None:
        if not self.steady:
            raise FieldlineError("What is published is not stored.")

    def keep_journals(self, folder: Path, since: float) -> None:
        assert since
        self.kept.append(folder)


@pytest.fixture
def plant(tmp_path: Path) -> FakePlant:
    return FakePlant(tmp_path)


@pytest.fixture
def run(plant: FakePlant, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs a cell of a kind that ends with an outcome, or with an error."""
    made: dict[bool, Campaign] = {}

    def run(
        kind: str = "kill",
        outcome: Outcome | FieldlineError | None = None,
        *,
        thrifty: bool = False,
        **changes: Any,
    ) -> dict[str, Any]:
        def end(*_: object, **__: object) -> Outcome:
            if isinstance(outcome, FieldlineError):
                raise outcome
            return outcome or fine()

        monkeypatch.setattr(campaigns.cells, "run", end)
        found = next(one for one in KINDS if one.name == kind)
        chosen = Kind(**{**vars(found), "arm": lambda _: None, "disarm": lambda _: None, **changes})
        if thrifty not in made:
            made[thrifty] = Campaign(
                plant,  # type: ignore[arg-type] # it has what is used of one
                SHORT,
                HASTE,
                lambda _: None,
                thrifty=thrifty,
            )
        return made[thrifty].one(Cell(chosen, Target("x", ("db",), "x")))

    return run


def lossy() -> Outcome:
    outcome = fine()
    outcome.values.lost = 1
    return outcome


def test_a_plant_that_held_is_used_again(plant: FakePlant, run: Callable[..., Any]) -> None:
    run()
    run()
    assert plant.booted == 1
    assert plant.kept == []


def test_a_miss_is_followed_by_a_new_plant_and_its_journals_are_kept(
    plant: FakePlant, run: Callable[..., Any]
) -> None:
    assert run(outcome=lossy())["held"] is False
    assert [folder.name for folder in plant.kept] == ["kill x"]
    run()
    assert plant.booted == 2


def test_a_plant_is_new_after_what_spoils_it_or_ends_in_an_error(
    plant: FakePlant, run: Callable[..., Any]
) -> None:
    run("clock-ahead")
    run()
    assert plant.booted == 2
    with pytest.raises(FieldlineError, match="could not be done"):
        run(outcome=FieldlineError("The fault could not be done."))
    run()
    assert plant.booted == 3


def test_a_plant_that_does_not_come_to_rest_is_made_anew(
    plant: FakePlant, run: Callable[..., Any]
) -> None:
    run()
    plant.steady = False
    run()
    assert plant.booted == 2


def test_an_old_plant_is_not_looked_back_on(plant: FakePlant, run: Callable[..., Any]) -> None:
    run()
    run("crash")
    assert plant.booted == 1
    plant.began -= 1000
    run()
    assert plant.booted == 1
    run("crash")
    assert plant.booted == 2


def test_the_short_form_goes_on_with_a_plant_that_flows(
    plant: FakePlant, run: Callable[..., Any]
) -> None:
    run(outcome=lossy(), thrifty=True)
    run(thrifty=True)
    assert plant.booted == 1
    # But not where the loss would be found again, nor where nothing flows.
    run("crash", thrifty=True)
    assert plant.booted == 2
    dead = fine()
    dead.flowing = None
    run(outcome=dead, thrifty=True)
    run(thrifty=True)
    assert plant.booted == 3


def test_a_fault_is_armed_before_and_disarmed_after_a_cell(
    plant: FakePlant, run: Callable[..., Any]
) -> None:
    calls: list[str] = []
    run(arm=lambda _: calls.append("arm"), disarm=lambda _: calls.append("disarm"))
    assert calls == ["arm", "disarm"]
    assert plant.booted == 1


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The results' file; no plant is made, cells that would be run are noted beside it."""
    file = tmp_path / "matrix.jsonl"
    monkeypatch.setattr(record.read, "__defaults__", (file,))
    monkeypatch.setattr(command.table, "write", lambda: None)

    def note(chosen: list[Cell], *_: object) -> list[dict[str, Any]]:
        file.with_name("run").write_text("\n".join(cell.name for cell in chosen))
        return [{"held": cell.kind.name != "cut"} for cell in chosen]

    monkeypatch.setattr(command, "_run", note)
    return file


def invoke(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments))
    if isinstance(done.exception, FieldlineError):
        raise done.exception
    return done.exit_code, done.stdout


def test_cells_are_listed_with_what_is_known_of_them(results: Path) -> None:
    results.write_text(
        json.dumps({"cell": "kill opc-server", "held": False, "commit": "abc"}) + "\n"
    )
    code, told = invoke("--list", "--only", "kill*opc-server", "--only", "cut*")
    assert code == 0
    assert [line.split() for line in told.splitlines()] == [
        ["kill", "opc-server", "missed", "abc"],
        ["cut", "opc-collector", "not", "run"],
        ["cut", "collector-db", "not", "run"],
    ]
    _, told = invoke("--list", "--only", "kill*opc-server", "--json")
    assert json.loads(told)[0] | {"fault": ""} == {
        "cell": "kill opc-server",
        "fault": "",
        "held": False,
        "commit": "abc",
    }


def test_what_was_run_with_the_same_code_is_left_out(results: Path) -> None:
    done = {"cell": "kill opc-server", "held": True, "code": Origin.here().code}
    old = {"cell": "kill stream-model", "held": True, "code": "another"}
    results.write_text("".join(json.dumps(entry) + "\n" for entry in (done, old)))
    only = ["--only", "kill opc-server", "--only", "kill stream-model"]
    assert invoke(*only)[0] == 0
    ran = results.with_name("run")
    assert ran.read_text() == "kill stream-model"
    invoke("--fresh", *only)
    assert ran.read_text() == "kill opc-server\nkill stream-model"


def test_a_cell_that_misses_is_the_exit_code(results: Path) -> None:
    assert results.parent.exists()
    code, told = invoke("--only", "cut*", "--only", "kill opc-server")
    assert code == 1
    assert told == "1 of 3 cells hold\n"


def test_a_name_that_no_cell_has_is_refused() -> None:
    with pytest.raises(FieldlineError, match="No cell is called 'kil'"):
        invoke("--list", "--only", "kil")
