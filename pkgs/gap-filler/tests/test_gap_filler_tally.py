"""Hour totals: what is added, told, kept over a restart, forgotten."""

from __future__ import annotations

import numpy as np
import pytest
from fieldline.messages.ledger import HISTORY_FIELDS, HOUR_NS
from gap_filler.tally import Row, Tally

HOUR = 1_700_000_000_000_000_000 // HOUR_NS * HOUR_NS
ZERO = np.zeros(2, np.int64)
KNOWN = np.array([True, False])


def closed(tally: Tally, hour: int = HOUR, **counts: list[int]) -> None:
    columns = {name: np.array(counts.get(name, [0, 0])) for name in HISTORY_FIELDS}
    tally.closed(hour, KNOWN, **columns)


def test_windows_of_an_hour_add_up_and_only_changes_are_told() -> None:
    tally = Tally(2)
    closed(tally, produced=[10, 0], received=[8, 5], missing=[0, 0], filled=[2, 0])
    closed(tally, produced=[10, 0], received=[10, 5], doubled=[1, 0])
    whole = {"produced": 20, "received": 18, "missing": 0, "filled": 2, "late": 0, "doubled": 1}
    # Nobody knows what was produced where the history was not read.
    other = {"received": 10, "filled": 0, "late": 0, "doubled": 0}
    assert tally.changed() == [Row(0, HOUR, whole), Row(1, HOUR, other)]
    assert tally.changed() == []
    closed(tally, received=[0, 1])
    assert tally.changed() == [Row(1, HOUR, other | {"received": 11})]
    tally.untold()
    assert len(tally.changed()) == 2


def test_stragglers_are_repeats_where_a_history_was_read() -> None:
    tally = Tally(2)
    closed(tally, produced=[1, 0], received=[1, 1])
    left_out = tally.after(
        np.array([0, 1, 0]), np.array([HOUR, HOUR, HOUR - 1]), np.array([1, 1, 1])
    )
    assert left_out == 1
    assert [row.fields for row in tally.changed()] == [
        {"produced": 1, "received": 1, "missing": 0, "filled": 0, "late": 0, "doubled": 1},
        {"received": 2, "filled": 0, "late": 1, "doubled": 0},
    ]


def test_totals_survive_a_restart_also_of_a_changed_site() -> None:
    tally = Tally(2)
    closed(tally, produced=[3, 0], received=[3, 4])
    again = Tally(3)
    # The first variable is at another place now, the second one is gone.
    again.restored(tally.saved(), [2, None])
    assert again.changed() == [
        Row(
            2,
            HOUR,
            {"produced": 3, "received": 3, "missing": 0, "filled": 0, "late": 0, "doubled": 0},
        )
    ]
    with pytest.raises(ValueError, match="reshape"):
        Tally(3).restored(tally.saved(), [0, 1, 2])


def test_an_hour_is_forgotten_when_it_is_over() -> None:
    tally = Tally(2)
    closed(tally, HOUR, received=[1, 0])
    closed(tally, HOUR + HOUR_NS, received=[1, 0])
    tally.forget(HOUR + HOUR_NS - 1)
    assert len(tally.changed()) == 2
    tally.forget(HOUR + HOUR_NS)
    closed(tally, HOUR + HOUR_NS, received=[1, 0])
    assert [row.hour for row in tally.changed()] == [HOUR + HOUR_NS]
