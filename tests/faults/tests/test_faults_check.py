"""The check finds whatever is wrong, wherever it is."""

from __future__ import annotations

import numpy as np
import pytest
from faults_points import BEGIN, NAMES, PERIOD, WAYS, changed, right, twice, without
from fieldline.errors import FieldlineError
from fieldline.verify.points import Points, joined, no_points, points
from fieldline_faults.check import (
    compare,
    compare_revisions,
    missing,
    unreadable,
    with_statuses,
)
from hypothesis import given
from hypothesis import strategies as st


def shuffled(given: Points) -> Points:
    return given.where(np.random.default_rng(1).permutation(len(given)))


def test_what_is_right_is_right_in_any_order() -> None:
    for found in (right(), shuffled(right())):
        findings = compare(right(), found, NAMES)
        assert findings.ok
        assert findings.as_json() == {"required": 30, "right": 30}


@pytest.mark.parametrize("way", WAYS)
def test_one_point_that_is_wrong_is_found(way: str) -> None:
    wrong, count = WAYS[way]
    for index in (0, 13, 29):
        findings = compare(right(), shuffled(wrong(right(), index)), NAMES)
        assert not findings.ok
        assert getattr(findings, count) == 1
        assert findings.right + findings.lost + findings.wrong + findings.wrong_status == 30


@given(st.lists(st.tuples(st.sampled_from(sorted(WAYS)), st.integers(0, 10_000)), min_size=1))
def test_however_many_are_wrong_it_is_never_ok(mishaps: list[tuple[str, int]]) -> None:
    found = right()
    for way, place in mishaps:
        if len(found):
            found = WAYS[way][0](found, place % len(found))
    findings = compare(right(), found, NAMES)
    same = _rows(found) == _rows(right())
    # Two mishaps may undo each other; anything else is found.
    assert findings.ok is same


def _rows(given: Points) -> list[tuple[float, ...]]:
    columns = (given.series, given.time, given.value, given.status)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def test_nothing_published_shows_nothing() -> None:
    assert not compare(no_points(), no_points(), NAMES).ok


def test_points_of_series_that_nobody_declared_are_invented() -> None:
    findings = compare(right(), right(), NAMES, undeclared=2)
    assert findings.invented == 2
    assert not findings.ok


def test_a_witness_that_contradicts_itself_is_no_witness() -> None:
    said = twice(right(), 3)
    findings = compare(changed(said, 30, value=5.0), right(), NAMES)
    assert findings.wrong >= 1
    assert not findings.ok


def test_a_place_that_cannot_be_read_has_lost_all() -> None:
    findings = unreadable(right(), FieldlineError("Kafka does not answer."))
    assert findings.lost == findings.required == 30
    assert not findings.ok


def test_examples_name_the_point() -> None:
    findings = compare(right(), without(right(), 10), NAMES)
    assert findings.examples == ["lost: press1 Stroke 2027-01-15T08:00:00.000000000Z"]


# -- the topic `opc`, where repeats are allowed ----------------------------------------------------


def test_repeats_are_counted_and_allowed_where_they_are() -> None:
    findings = compare(right(), twice(twice(right(), 4), 4), NAMES, repeats=True)
    assert findings.ok
    assert findings.repeats == 2
    assert findings.doubled == 0


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("wrong", [{"value": 9.0}, {"status": 0x80000000}])
def test_a_wrong_one_is_not_hidden_behind_a_right_repeat(
    wrong: dict[str, float], first: bool
) -> None:
    bad = changed(right(), 4, **wrong).where(np.array([4]))
    found = joined([bad, right()] if first else [right(), bad])
    findings = compare(right(), found, NAMES, repeats=True)
    assert findings.wrong + findings.wrong_status == 1
    assert not findings.ok


def test_a_loss_is_not_made_up_for_by_a_repeat() -> None:
    findings = compare(right(), twice(without(right(), 4), 5), NAMES, repeats=True)
    assert findings.lost == 1
    assert not findings.ok


# -- the topic `model` -----------------------------------------------------------------------------


def results(*revisions: int, value: float = 0.1) -> Points:
    """Records of one result with these revisions, in order; only the last has the right value."""
    count = len(revisions)
    given = with_statuses(
        np.zeros(count, np.int64),
        np.full(count, BEGIN),
        np.full(count, 7.0),
        np.array(revisions, np.int64),
    )
    return changed(given, count - 1, value=value)


REQUIRED = points(np.array([0]), np.array([BEGIN]), np.array([0.1]), None)


def test_the_last_revision_holds() -> None:
    findings, last = compare_revisions(REQUIRED, results(0, 1, 2), NAMES)
    assert findings.ok
    assert last.status.tolist() == [2]


def test_a_recomputation_comes_last() -> None:
    findings, last = compare_revisions(REQUIRED, results(0, 1, 2**32 + 1, 2**32 + 9), NAMES)
    assert findings.ok
    assert last.status.tolist() == [2**32 + 9]


@pytest.mark.parametrize(
    ("given_results", "count"),
    [
        (results(0, 2**32 + 1, 2**32 + 1), "doubled"),
        (results(2**32 + 1, 1), "disordered"),
        (results(0, 0), "doubled"),
        (results(0, 1, 1), "doubled"),
        (results(0, 1, 0, 1), "doubled"),
        (results(1, 0), "disordered"),
        (results(0, 1, value=7.0), "wrong"),
        (results(0, value=0.1 + 1e-10), "wrong"),
        (results(0, value=float("nan")), "wrong"),
        (no_points(), "lost"),
        (joined([results(0), changed(results(0), 0, time=BEGIN + PERIOD)]), "invented"),
    ],
)
def test_whatever_is_wrong_with_results_is_found(given_results: Points, count: str) -> None:
    findings, _ = compare_revisions(REQUIRED, given_results, NAMES)
    assert getattr(findings, count) >= 1
    assert not findings.ok


def test_a_right_result_before_a_wrong_last_one_does_not_count() -> None:
    wrong_last = changed(results(0, 1), 0, value=0.1)
    findings, _ = compare_revisions(REQUIRED, changed(wrong_last, 1, value=7.0), NAMES)
    assert findings.wrong == 1


def test_results_may_differ_in_their_last_digits_only() -> None:
    close = changed(REQUIRED, 0, value=0.1 * (1 + 1e-14))
    assert compare_revisions(REQUIRED, close, NAMES)[0].ok


# -- what is waited for ----------------------------------------------------------------------------


def test_what_is_missing_is_what_is_not_there_or_wrong() -> None:
    assert not len(missing(right(), right()))
    assert len(missing(right(), no_points())) == 30
    assert len(missing(right(), without(right(), 5))) == 1
    assert len(missing(right(), changed(right(), 5, value=1e9))) == 1
    assert len(missing(right(), changed(right(), 5, value=float("nan")))) == 1
