"""`fieldline replay` over a plant in memory: what is computed, and how differences are told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fieldline.errors import FieldlineError
from fieldline.replay.command import app
from fieldline.replay.shadow import check_run
from fieldline.verify.points import Points, joined
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_plant import BEGIN, END, SECOND, definition, plant, run
from typer.testing import CliRunner


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
