"""`fieldline replay` over a plant in memory: what is computed, and how differences are told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fieldline.errors import FieldlineError
from fieldline.models import evaluate, load_model
from fieldline.replay.command import app
from fieldline.replay.run import Report, replay
from fieldline.replay.selection import Functions, parse_models, select
from fieldline.replay.shadow import check_run
from fieldline.site import check_text
from fieldline.verify.catalogue import Catalogue, catalogue_of
from fieldline.verify.points import Points, joined, no_points, points
from fieldline.verify.store import Stored
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

TEXT = (Path(__file__).parents[3] / "site.toml").read_text()
SITE = check_text(TEXT.encode(), "site.toml")
# A second asset, so that one can be chosen.
TWO = check_text(
    TEXT.replace('names = ["Sensors"]', 'names = ["Sensors", "Spare"]')
    .replace("nodes = {", "# {")
    .encode(),
    "site.toml",
)
SECOND = 10**9
BEGIN = 1_800_000_000 * SECOND
END = BEGIN + 60 * SECOND
BAD = 0x80050000


@dataclass
class Memory:
    """A store of values and results by (asset, name, time)."""

    catalogue: Catalogue
    stored: dict[tuple[str, str, int], tuple[float, int]] = field(default_factory=dict)
    given: dict[tuple[str, str, int], float] = field(default_factory=dict)
    pieces: list[tuple[int, int]] = field(default_factory=list)

    def values(self, since: int, until: int) -> Stored:
        self.pieces.append((since, until))
        index = self.catalogue.variable_index
        rows = [
            (index[asset, name], time, value, status)
            for (asset, name, time), (value, status) in self.stored.items()
            if since <= time < until and (asset, name) in index
        ]
        return Stored(_points(rows), [])

    def results(self, since: int, until: int) -> Stored:
        index = self.catalogue.model_index
        rows = [
            (index[asset, name], time, value, 0)
            for (asset, name, time), value in self.given.items()
            if since <= time < until and (asset, name) in index
        ]
        return Stored(_points(rows), [])

    def latest_before(self, until: int) -> np.ndarray:
        latest = np.full(len(self.catalogue.variables), np.nan)
        for (asset, name, time), (value, status) in sorted(self.stored.items(), key=_time):
            place = self.catalogue.variable_index.get((asset, name))
            if time < until and status < BAD and place is not None:
                latest[place] = value
        return latest

    def newest(self, _since: int, _until: int) -> Any:
        raise AssertionError("a replay does not wait")


def _time(item: tuple[tuple[str, str, int], Any]) -> int:
    return item[0][2]


def _points(rows: list[tuple[int, int, float, int]]) -> Points:
    if not rows:
        return no_points()
    series, time, value, status = (np.array(column) for column in zip(*rows, strict=True))
    return points(series.astype(np.int64), time, value.astype(float), status.astype(np.uint32))


def plant(site: Any = SITE, seed: int = 1, seconds: int = 60) -> Memory:
    """A plant that works: values from 10 s before the window on, and the results they require."""
    memory = Memory(catalogue_of(site))
    random = np.random.default_rng(seed)
    for asset in site.assets:
        for name, variable in site.types[asset.type].variables.items():
            period = variable.period_ms * 10**6
            for time in range(BEGIN - 10 * SECOND, BEGIN + seconds * SECOND, period):
                at = time + int(random.integers(0, period // 2))
                status = BAD if random.random() < 0.05 else 0
                memory.stored[asset.name, name, at] = (float(random.normal(20, 5)), status)
    memory.given = definition(memory)
    return memory


def definition(memory: Memory) -> dict[tuple[str, str, int], float]:
    """result(asset, model, t) = f(latest usable value of each input with source time ≤ t)."""
    given = {}
    variables = memory.catalogue.variables
    for model in memory.catalogue.models:
        names = [variables[i].variable for i in model.inputs]
        latest: dict[str, float] = {}
        usable = sorted(
            (time, name, value)
            for (asset, name, time), (value, status) in memory.stored.items()
            if asset == model.asset and name in names and status < BAD
        )
        for place, (time, name, value) in enumerate(usable):
            latest[name] = value
            last = place + 1 == len(usable) or usable[place + 1][0] != time
            if last and len(latest) == len(names):
                row = np.array([[latest[name] for name in names]])
                given[model.asset, model.name, time] = float(load_model(model.function)(row)[0])
    return given


def run(memory: Memory, *models: str, tolerance: float = 0.0, **options: Any) -> Report:
    catalogue = select(memory.catalogue, parse_models(models), options.pop("assets", ()))
    narrow = Memory(catalogue, memory.stored, memory.given)
    functions = Functions(options.pop("folder", Path()))
    report = replay(catalogue, narrow, functions, BEGIN, END, tolerance=tolerance, **options)
    memory.pieces = narrow.pieces
    return report


def test_the_same_functions_give_what_is_stored() -> None:
    memory = plant()
    report = run(memory)
    inside = [key for key in memory.given if BEGIN <= key[2] < END]
    assert report.equal
    assert report.results == len(inside) > 500
    assert [model.compared for model in report.models] == [len(inside) // 2] * 2
    assert all(
        (m.max_abs, m.mean_abs, m.max_rel, m.first) == (0, 0, 0, None) for m in report.models
    )
    assert report.lines()[-1].startswith("ok        equal (")


def test_the_last_value_before_the_window_is_an_input() -> None:
    memory = plant()
    slow = [key for key in memory.stored if key[1] == "SlowSensor"]
    for key in slow:
        del memory.stored[key]
    memory.stored["Sensors", "SlowSensor", BEGIN - 1000 * SECOND] = (3.0, 0)
    memory.given = definition(memory)
    assert run(memory).equal
    # Without it the first results are not known.
    del memory.stored["Sensors", "SlowSensor", BEGIN - 1000 * SECOND]
    report = run(memory)
    assert [m.compared for m in report.models] == [0, 0]
    assert [m.max_abs for m in report.models] == [None, None]
    assert all(m.only_stored > 250 for m in report.models)


@settings(max_examples=15)
@given(piece=st.integers(1, 3000), seed=st.integers(0, 5))
def test_pieces_of_any_size_give_the_same(piece: int, seed: int) -> None:
    memory = plant(seed=seed, seconds=20)
    whole: list[Points] = []
    pieces: list[Points] = []
    one = run(memory, write=whole.append)
    many = run(memory, write=pieces.append, piece_points=piece)
    assert [m.as_json() for m in one.models] == [m.as_json() for m in many.models]
    a, b = joined(whole), joined(pieces)
    order = np.lexsort((b.time, b.series))
    assert np.array_equal(a.series, b.series[order])
    assert np.array_equal(a.time, b.time[order])
    assert np.array_equal(a.value, b.value[order])


def test_a_day_of_a_large_plant_is_cut_into_pieces_that_fit() -> None:
    memory = plant()
    run(memory, piece_points=100)
    lengths = {until - since for since, until in memory.pieces}
    # 5.6 values and 11.2 results a second at most.
    assert len(memory.pieces) == 11
    assert max(lengths) < 6 * SECOND
    assert memory.pieces[0][0] == BEGIN
    assert memory.pieces[-1][1] == END


def test_each_kind_of_difference_is_counted_and_the_first_is_told() -> None:
    memory = plant()
    times = sorted(k[2] for k in memory.given if k[1] == "model1" and BEGIN <= k[2] < END)
    del memory.given["Sensors", "model1", times[5]]
    memory.given["Sensors", "model1", times[7] + 1] = 1.0
    value = memory.given["Sensors", "model1", times[9]]
    memory.given["Sensors", "model1", times[9]] = value + 0.5
    first, second = run(memory).models
    assert (first.only_replayed, first.only_stored, first.differing) == (1, 1, 1)
    assert first.max_abs == pytest.approx(0.5)
    assert first.mean_abs == pytest.approx(0.5 / first.compared)
    assert first.max_rel == pytest.approx(0.5 / max(abs(value), abs(value + 0.5)))
    assert first.first is not None
    assert first.first.endswith(f".{times[5] % SECOND:09d}Z")
    assert second.equal
    assert not first.equal


def test_where_nothing_is_there_is_no_equality() -> None:
    memory = plant()
    memory.stored, memory.given = {}, {}
    with pytest.raises(FieldlineError, match="nothing to replay"):
        run(memory)


def test_a_tolerance_is_relative_to_the_larger_of_both() -> None:
    memory = plant()
    memory.given = {key: value * (1 + 1e-9) for key, value in memory.given.items()}
    assert not run(memory).equal
    assert not run(memory, tolerance=0.9e-9).equal
    assert run(memory, tolerance=1.1e-9).equal
    # What is missing is none of it.
    del memory.given[max(k for k in memory.given if k[2] < END)]
    assert not run(memory, tolerance=1.0).equal


def test_zero_against_zero_is_no_difference() -> None:
    memory = plant()
    memory.stored = dict.fromkeys(memory.stored, (0.0, 0))
    memory.given = definition(memory)
    report = run(memory)
    assert report.equal
    assert [m.max_rel for m in report.models] == [0, 0]


# -- functions -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "trial_models.py").write_text(
        "import numpy as np\n"
        "number = 3\n"
        "def doubled(x): return 2 * np.abs(x).mean(axis=1)\n"
        "def picky(x):\n"
        "    if (x[:, 0] < 20).any(): raise ValueError('too cold')\n"
        "    return x.mean(axis=1)\n"
        "def wrong(x): return x\n"
        "def writes(x): x[:] = 0; return x[:, 0]\n"
        "def holes(x): return np.where(x[:, 0] < 20, np.nan, np.abs(x).mean(axis=1))\n"
    )
    (tmp_path / "broken_models.py").write_text("import nothing_of_this_name\n")
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    for name in ("trial_models", "broken_models"):
        sys.modules.pop(name, None)


def test_a_changed_function_is_compared_with_the_stored_results(folder: Path) -> None:
    memory = plant()
    written: list[Points] = []
    report = run(memory, "model1=trial_models:doubled", folder=folder, write=written.append)
    (model,) = report.models
    assert (model.name, model.function) == ("model1", "trial_models:doubled")
    inside = {k[2]: v for k, v in memory.given.items() if k[1] == "model1" and BEGIN <= k[2] < END}
    assert model.differing == model.compared == len(inside)
    assert model.max_abs == pytest.approx(max(inside.values()))
    assert model.max_rel == pytest.approx(0.5)
    results = joined(written)
    assert dict(zip(results.time.tolist(), (results.value / 2).tolist(), strict=True)) == inside
    assert "DIFFERS   1 of 1 differ" in report.lines()[-1]


def test_an_installed_function_by_its_name() -> None:
    report = run(plant(), "model2=mean-absolute")
    assert [m.function for m in report.models] == ["mean-absolute"]
    assert not report.equal


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("picky", "raised ValueError('too cold')"),
        ("wrong", "gave shape"),
        ("writes", "raised ValueError('assignment destination is read-only')"),
        ("holes", "values that are not finite"),
    ],
)
def test_what_a_function_cannot_give_is_counted_as_the_stream_model_does(
    folder: Path, function: str, error: str
) -> None:
    report = run(plant(), f"model1=trial_models:{function}", folder=folder)
    (failed,) = report.failures.values()
    (model,) = report.models
    assert error in failed.error
    assert failed.count == model.only_stored > 100
    assert report.results == model.compared
    assert any(
        f"{failed.count} without a result, trial_models:{function} " in line
        for line in report.lines()
    )


def test_an_event_that_a_function_cannot_take_leaves_the_others() -> None:
    def picky(inputs: np.ndarray) -> np.ndarray:
        if (inputs < 0).any():
            raise ValueError("negative")
        return inputs[:, 0]

    rows = np.array([[1.0], [-2.0], [3.0], [-4.0], [5.0]])
    evaluation = evaluate(picky, rows)
    assert np.array_equal(evaluation.values, [1, np.nan, 3, np.nan, 5], equal_nan=True)
    assert (evaluation.failed, evaluation.error) == (2, "raised ValueError('negative')")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("model1=nowhere_models:f", "cannot be loaded: write MODULE:FUNCTION"),
        ("model1=broken_models:f", "cannot be loaded"),
        ("model1=trial_models:nothing", "cannot be loaded"),
        ("model1=trial_models:number", "is not a function"),
        ("model1=no-such-entry-point", "No model function"),
        ("model3", "No model model3 is declared with a model. There are: model1, model2."),
        ("model1=", "write NAME or NAME=MODULE:FUNCTION"),
        ("=trial_models:doubled", "write NAME or NAME=MODULE:FUNCTION"),
    ],
)
def test_a_function_that_is_not_there_is_told(folder: Path, text: str, problem: str) -> None:
    with pytest.raises(FieldlineError) as refused:
        run(plant(seconds=1), text, folder=folder)
    assert problem in refused.value.what_to_do


def test_a_model_is_named_once() -> None:
    with pytest.raises(FieldlineError, match="given twice"):
        parse_models(["model1", "model1=mean-absolute"])


# -- selection -------------------------------------------------------------------------------------


def test_an_asset_is_replayed_with_its_inputs_alone() -> None:
    memory = plant(TWO)
    report = run(memory, "model2", assets=["Spare"])
    assert [(m.asset, m.name) for m in report.models] == [("Spare", "model2")]
    assert report.equal
    spare = [k for k in memory.stored if k[0] == "Spare" and BEGIN <= k[2] < END]
    assert report.inputs == len(spare)
    with pytest.raises(FieldlineError, match=r"No asset Other .* There are: Sensors, Spare"):
        run(memory, assets=["Other"])


def test_assets_are_told_apart() -> None:
    report = run(plant(TWO))
    assert [(m.asset, m.name) for m in report.models] == [
        ("Sensors", "model1"),
        ("Sensors", "model2"),
        ("Spare", "model1"),
        ("Spare", "model2"),
    ]
    assert report.equal


def test_a_selection_has_just_the_inputs_it_needs() -> None:
    text = TEXT + '\n[asset_types.sensors.models.one]\nfunction = "mean-absolute"\n'
    text += 'inputs = ["SlowSensor"]\n'
    catalogue = select(catalogue_of(check_text(text.encode(), "it")), {"one": None}, [])
    assert [v.variable for v in catalogue.variables] == ["SlowSensor"]
    assert [m.inputs for m in catalogue.models] == [(0,)]


def test_a_plant_without_models_has_nothing_to_replay() -> None:
    nothing = Catalogue((), (), {}, {})
    with pytest.raises(FieldlineError, match="Nothing is to be replayed"):
        select(nothing, {}, [])


def test_of_many_models_those_that_differ_are_shown() -> None:
    many = TEXT.replace('names = ["Sensors"]', 'names = ["m{1..60}"]').replace("nodes = {", "# {")
    memory = plant(check_text(many.encode(), "site.toml"), seconds=12)
    last = max(k for k in memory.given if k[0] == "m7" and k[1] == "model1")
    del memory.given[last]
    lines = run(memory).lines()
    assert [line.split()[:2] for line in lines if line.startswith("m")] == [["m7", "model1"]]
    assert "… 119 are equal (--json has all)" in lines


# -- the command -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "give --from"),
        (["--from", "-1h", "--to", "-2h"], "--to must be later than --from"),
        (["--from", "yesterday"], "write ns, ISO 8601"),
        (["--dry-run", "--delete"], "writes nothing, and removes nothing either"),
        (["--from", "-1h", "--tolerance", "-1"], "tolerance"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, arguments: list[str], problem: str) -> None:
    token = tmp_path / "token"
    token.write_text("a token")
    options = ["--site", str(Path(__file__).parents[3] / "site.toml")]
    options += ["--token-file", str(token), "--writer-token-file", str(token)]
    result = CliRunner().invoke(app, [*arguments, *options], catch_exceptions=False)
    assert result.exit_code == 2
    assert problem in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("name", ["", "a b", 'x"', "x,y=z", "x" * 65, "ü"])
def test_a_run_has_a_name_that_needs_no_escape(name: str) -> None:
    with pytest.raises(FieldlineError, match="--run"):
        check_run(name)


def test_the_default_name_of_a_run_is_one() -> None:
    check_run("2026-03-01T12:00:00Z")


def test_progress_tells_how_long_it_still_takes() -> None:
    told: list[str] = []
    progress: Callable[[str], None] = told.append
    run(plant(), piece_points=100, progress=progress)
    assert told[0] == "replaying, 0 %"
    assert told[-1].startswith("replaying, 91 %, about ")
