"""What `fieldline replay` computes with and of: functions by their names, models, assets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fieldline.errors import FieldlineError
from fieldline.models import evaluate
from fieldline.replay.selection import parse_models, select
from fieldline.site import check_text
from fieldline.verify.catalogue import Catalogue, catalogue_of
from fieldline.verify.points import Points, joined
from replay_plant import BEGIN, END, TEXT, TWO, plant, run

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
