"""The built-in models and finding models by name."""

from __future__ import annotations

import math
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from fieldline import models
from fieldline.errors import FieldlineError
from fieldline.models import geometric_mean_absolute, load_model, mean_absolute, model_names
from hypothesis import given
from hypothesis import strategies as st

finite = st.floats(allow_nan=False, allow_infinity=False)
rows = st.integers(1, 64).flatmap(
    lambda n: st.lists(st.lists(finite, min_size=n, max_size=n), min_size=1, max_size=20)
)


@given(rows)
def test_mean_absolute_is_the_mean_and_finite(values: list[list[float]]) -> None:
    results = mean_absolute(np.array(values))
    assert results.shape == (len(values),)
    assert np.isfinite(results).all()
    for row, result in zip(values, results, strict=True):
        largest = max(map(abs, row))
        assert 0 <= result <= largest * (1 + 1e-15)
        if largest < 1e300:
            assert result == pytest.approx(math.fsum(map(abs, row)) / len(row), rel=1e-12)


@given(rows)
def test_geometric_mean_absolute_never_overflows(values: list[list[float]]) -> None:
    results = geometric_mean_absolute(np.array(values))
    assert results.shape == (len(values),)
    assert np.isfinite(results).all()
    for row, result in zip(values, results, strict=True):
        if 0.0 in row:
            assert result == 0
        else:
            expected = math.fsum(math.log(abs(value)) for value in row) / len(row)
            assert math.log(result) == pytest.approx(expected, abs=1e-12, rel=1e-12)


@pytest.mark.parametrize("function", [mean_absolute, geometric_mean_absolute])
@given(values=rows)
def test_one_event_gives_the_same_bits_alone_and_in_a_batch(
    function: models.ModelFunction, values: list[list[float]]
) -> None:
    together = function(np.array(values))
    for row, result in zip(values, together, strict=True):
        assert function(np.array([row]))[0].tobytes() == result.tobytes()


def test_known_values() -> None:
    rows = np.array([[1.0, -2.0, 3.0], [-2.0, 4.0, -8.0], [5.0, 0.0, 1e308], [1e300, 1e300, 1e300]])
    assert mean_absolute(rows).tolist()[:2] == [2.0, 14 / 3]
    first, *others = geometric_mean_absolute(rows).tolist()
    assert first == pytest.approx(math.cbrt(6), rel=3e-16)
    assert others == [4.0, 0.0, 1e300]
    assert geometric_mean_absolute(np.array([[64.0], [-9.0]])).tolist() == [64.0, 9.0]
    assert geometric_mean_absolute(np.array([[2.0, 8.0]])).tolist() == [4.0]
    assert geometric_mean_absolute(np.array([[5e-324] * 3])).tolist() == [5e-324]


def test_no_events_give_no_results() -> None:
    for function in (mean_absolute, geometric_mean_absolute):
        assert function(np.empty((0, 3))).shape == (0,)


def test_built_in_models_are_found_by_their_declared_names() -> None:
    assert load_model("mean-absolute") is mean_absolute
    assert load_model("geometric-mean-absolute") is geometric_mean_absolute
    assert {"mean-absolute", "geometric-mean-absolute"} <= set(model_names())


def test_an_unknown_model_names_the_installed_ones() -> None:
    with pytest.raises(FieldlineError) as error:
        load_model("median")
    for part in ('"median"', "mean-absolute", "geometric-mean-absolute", "fieldline.models"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("no_such_module:f", "cannot be loaded"),
        ("math:no_such_name", "cannot be loaded"),
        ("math:pi", "is not a function"),
    ],
)
def test_a_broken_plug_in_is_named(
    monkeypatch: pytest.MonkeyPatch, target: str, problem: str
) -> None:
    entry = EntryPoint("broken", target, models.GROUP)
    monkeypatch.setattr(models, "entry_points", lambda group: [entry] if group else [])
    with pytest.raises(FieldlineError, match=problem) as error:
        load_model("broken")
    assert target in str(error.value)


def test_a_plug_in_is_loaded_and_cannot_replace_a_built_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entries = [EntryPoint(n, "numpy:sum", models.GROUP) for n in ("sum", "mean-absolute")]
    monkeypatch.setattr(models, "entry_points", lambda group: entries if group else [])
    assert load_model("sum") is np.sum
    assert load_model("mean-absolute") is mean_absolute
    assert model_names() == ["geometric-mean-absolute", "mean-absolute", "sum"]
