"""What both sides have told of hours, and what may be held against each other."""

from __future__ import annotations

import random

import numpy as np
import pytest
from fieldline.ledger import FIELDS, UNKNOWN, Counts
from fieldline.messages.ledger import HISTORY_FIELDS, HOUR_NS, STORE_FIELDS, LedgerRecord
from hypothesis import given
from hypothesis import strategies as st
from ledger.book import Book, Hour
from ledger_fakes import HOUR, SECOND, VARIABLES, catalogue, history, told

NOW = HOUR + 30 * 60 * SECOND
CATALOGUE = catalogue()


def book(window_h: int = 24) -> Book:
    return Book(CATALOGUE, window_h * HOUR_NS)


def counted(hour: Hour, *values: int) -> list[int]:
    """What is lacking after a count of (Temperature, Pressure, SlowSensor)."""
    hour.count(np.array(values, np.int64), 0.0)
    lacking: list[int] = hour.judge().tolist()
    return lacking


def test_only_what_kafka_had_at_the_mark_is_lacking() -> None:
    of = book()
    of.add(history("Temperature", HOUR, 100), NOW, ours=False)
    of.mark(NOW)
    of.add(history("Temperature", HOUR, 150), NOW, ours=False)
    hour = of.hour(HOUR)
    assert counted(hour, 100, 0, 0) == [0, 0, 0]
    assert counted(hour, 90, 0, 0) == [10, 0, 0]
    of.mark(NOW)
    assert counted(hour, 100, 0, 0) == [50, 0, 0]


def test_what_is_not_in_kafka_or_not_in_the_history_is_not_asked_for() -> None:
    of = book()
    of.add(history("Temperature", HOUR, 100, received=80, missing=20), NOW, ours=False)
    of.add(history("Pressure", HOUR, 50, received=70), NOW, ours=False)
    # Without a history nobody knows what was produced.
    of.add(told("SlowSensor", HOUR, received=9, late=0, doubled=0, filled=0), NOW, ours=False)
    of.mark(NOW)
    assert counted(of.hour(HOUR), 80, 50, 0) == [0, 0, 0]
    assert counted(of.hour(HOUR), 79, 49, 0) == [1, 1, 0]


def test_an_hour_is_over_when_the_next_one_is_told() -> None:
    of = book()
    before = HOUR - HOUR_NS
    of.add(history("Temperature", before, 100), NOW, ours=False)
    of.mark(NOW)
    hour = of.hour(before)
    counted(hour, 100, 0, 0)
    wanted, news = hour.news()
    assert wanted[STORE_FIELDS.index("settled")].tolist() == [0, 0, 0]
    of.add(history("Pressure", HOUR, 1), NOW, ours=False)
    assert hour.pending
    of.mark(NOW)
    counted(hour, 100, 0, 0)
    assert not hour.pending
    wanted, news = hour.news()
    # Of Pressure and SlowSensor nothing was told in that hour: there was nothing.
    assert wanted.tolist() == [[100, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert news.tolist() == [0, 1, 2]


def test_an_hour_in_which_nothing_was_told_is_over_as_well() -> None:
    of = book()
    of.add(history("Temperature", HOUR - 3 * HOUR_NS, 100), NOW, ours=False)
    of.add(history("Temperature", HOUR, 1), NOW, ours=False)
    assert [hour.begin for hour in of] == [HOUR - n * HOUR_NS for n in (3, 2, 1, 0)]
    assert [of.over(hour).all() for hour in of] == [True, True, True, False]


def test_a_server_without_history_settles_nothing() -> None:
    of = book()
    for hour in (HOUR - HOUR_NS, HOUR):
        of.add(told("Temperature", hour, received=9, late=0), NOW, ours=False)
    assert not any(of.over(hour).any() for hour in of)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (history("Nothing", HOUR, 1), "unknown-variable"),
        (history("Temperature", HOUR + 1, 1), "wrong-value"),
        (history("Temperature", HOUR, -1), "wrong-value"),
        (history("Temperature", HOUR - 24 * HOUR_NS, 1), "old"),
        (history("Temperature", HOUR + 2 * HOUR_NS, 1), "future"),
        (history("Temperature", HOUR - 23 * HOUR_NS, 1), ""),
        (history("Temperature", HOUR + HOUR_NS, 1), ""),
    ],
)
def test_what_cannot_be_is_not_taken(record: LedgerRecord, why: str) -> None:
    of = book()
    assert of.add(record, NOW, ours=False) == why
    assert bool(list(of)) == (why == "")


def test_the_hour_that_goes_on_is_kept_in_any_window() -> None:
    assert book(0).add(history("Temperature", HOUR, 1), NOW, ours=False) == ""
    assert book(0).add(history("Temperature", HOUR - HOUR_NS, 1), NOW, ours=False) == "old"


def test_old_hours_are_forgotten() -> None:
    of = book(2)
    of.add(history("Temperature", HOUR, 1), NOW, ours=False)
    of.mark(NOW + HOUR_NS)
    assert [hour.begin for hour in of] == [HOUR]
    of.mark(NOW + 2 * HOUR_NS)
    assert list(of) == []


def test_our_own_words_are_taken_only_from_before() -> None:
    of = book()
    record = told("Temperature", HOUR, stored=5, settled=1, lacking=0)
    of.add(record, NOW, ours=False)
    assert of.hour(HOUR).counts.of("stored")[0] == UNKNOWN
    of.add(record, NOW, ours=True)
    assert of.hour(HOUR).counts.of("stored")[0] == 5
    # It was told already, so it is no news; a settled hour stays settled until it is judged.
    of.hour(HOUR).count(np.array([5, 0, 0]), 0.0)
    assert of.hour(HOUR).news()[1].tolist() == [1, 2]


def test_lacking_and_complete_of_an_hour() -> None:
    counts = Counts(4)
    for field, values in {
        "produced": [10, 10, UNKNOWN, 10],
        "stored": [8, 10, 0, 8],
        "settled": [1, 1, 1, 0],
    }.items():
        counts.of(field)[:] = values
    assert counts.lacking().tolist() == [2, 0, 0, 0]
    assert counts.complete().tolist() == [False, True, True, False]
    assert counts.total("produced") == 30
    assert counts.total("produced", counts.settled) == 20


FIELD_VALUES = st.dictionaries(st.sampled_from(HISTORY_FIELDS), st.integers(0, 9), max_size=6)
RECORDS = st.lists(
    st.builds(
        lambda variable, hour, fields: told(variable, HOUR + hour * HOUR_NS, **fields),
        st.sampled_from(VARIABLES),
        st.integers(-3, 1),
        FIELD_VALUES,
    ),
    max_size=30,
)


@given(RECORDS, st.randoms())
def test_merging_keeps_the_last_of_each_field_however_records_are_given_again(
    records: list[LedgerRecord], rng: random.Random
) -> None:
    """Repeats (of a session that is opened anew) change nothing, nor does a mark between."""
    expected: dict[tuple[str, int, str], int] = {}
    for record in records:
        for field, value in record.fields.items():
            expected[record.tags.variable, record.timestamp, field] = value
    of = book()
    for record in records[: rng.randint(0, len(records))]:
        of.add(record, NOW, ours=False)
        if rng.random() < 0.2:
            of.mark(NOW)
    for record in records:
        of.add(record, NOW, ours=False)
    found = {
        (VARIABLES[place], hour.begin, field): int(hour.counts.of(field)[index])
        for hour in of
        for field in FIELDS
        for place, index in enumerate(
            CATALOGUE.variable_index["Sensors", variable] for variable in VARIABLES
        )
        if hour.counts.of(field)[index] != UNKNOWN
    }
    assert found == expected


@given(RECORDS, st.lists(st.integers(0, 12), min_size=3, max_size=3))
def test_what_is_stored_as_produced_never_lacks(
    records: list[LedgerRecord], stored: list[int]
) -> None:
    of = book()
    for record in records:
        of.add(record, NOW, ours=False)
    of.mark(NOW)
    for hour in of:
        lacking = counted(hour, *stored)
        produced = hour.counts.of("produced").tolist()
        received = hour.counts.of("received").tolist()
        for short, made, got, held in zip(lacking, produced, received, stored, strict=True):
            assert short == max(0, min(made, got) - held)
            if made == UNKNOWN or held >= made:
                assert short == 0
