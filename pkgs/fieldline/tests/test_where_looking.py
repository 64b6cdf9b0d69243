"""What evidence is gathered, and what a record's end tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fieldline.local import Entry, Journal, LocalHost, UnitState
from fieldline.record import Newest, RecordTable, RecordVariable
from fieldline.site import load_site
from fieldline.verify.catalogue import catalogue_of
from fieldline.where.evidence import Recorded, limits_of
from fieldline.where.here import Here
from fieldline.where.looking import choose, newest_of
from fieldline.where.probes import may_ask_kafka
from fieldline.where.statuses import status_words

SITE = load_site(Path(__file__).parents[3] / "site.toml")
SECOND = 10**9


def table(variables: list[RecordVariable], *entries: tuple[int, int, int]) -> RecordTable:
    """Entries: index of a variable, status, time."""
    columns = np.array(entries, np.int64).reshape(-1, 3)
    return RecordTable(
        tuple(variables),
        columns[:, 0].astype(np.uint32),
        columns[:, 1].astype(np.uint32),
        columns[:, 2],
        np.zeros(len(columns)),
    )


A, B, C = (RecordVariable("x", name, f"ns=2;s={name}") for name in "ABC")


def test_the_newest_entry_of_each_variable_is_told_and_nothing_invented() -> None:
    entries = [(0, 0, 5), (1, 0x80310000, 9), (0, 7, 8), (0, 1, 6)]
    end = Newest(table([A, B], *entries), (A, B, C))
    assert newest_of(end) == {
        # Not the last written, but the latest: a slow sensor's value may come late.
        ("x", "A"): Recorded(8, 7),
        ("x", "B"): Recorded(9, 0x80310000),
        # None since the oldest entry, which is all that is known.
        ("x", "C"): Recorded(5, 0),
    }
    # A variable that the server had before is none of its variables.
    assert set(newest_of(Newest(table([A, B], *entries), (A,)))) == {("x", "A")}
    assert newest_of(Newest(table([A]), (A,))) == {}


def test_limits_and_choices() -> None:
    catalogue = catalogue_of(SITE)
    values, models = limits_of(catalogue)
    assert (values // SECOND).tolist() == [10, 10, 24]
    assert (models // SECOND).tolist() == [10, 10]
    assert choose(catalogue, "").variables == [0, 1, 2]
    assert choose(catalogue, "Sensors").models == [0, 1]
    chosen = choose(catalogue, "Sensors/Pressure")
    assert (chosen.variables, chosen.models) == ([1], [])
    assert choose(catalogue, "model2").models == [1]


def test_who_may_ask_kafka() -> None:
    expected = {None: True, "db": True, "collector": True, "opc": False}
    assert {host: may_ask_kafka(SITE, host) for host in expected} == expected


def test_statuses_in_words() -> None:
    assert status_words(0x808C0000)[0] == "BadSensorFailure"
    # The lower bits tell of limits and overflows.
    assert status_words(0x808C0480)[0] == "BadSensorFailure"
    assert status_words(0x80FF0000) == ("0x80FF0000", "see OPC 10000-4, StatusCode")


class Words(Journal):
    """A journal that says who was asked for what."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def last_words(self, unit: str) -> Entry | None:
        self.asked.append(f"words {unit}")
        return None

    def last_problem(self, unit: str, since_ns: int) -> Entry | None:
        self.asked.append(f"problem {unit}")
        assert since_ns > 0
        return None


def test_a_unit_that_ended_by_itself_is_asked_for_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states = {
        "telegraf": UnitState("telegraf", "active", "running", "success"),
        "stream-model": UnitState("stream-model", "failed", "failed", "exit-code"),
        "gap-filler": UnitState("gap-filler", "inactive", "dead", "success"),
    }
    asked: list[list[str]] = []

    def read(names: list[str]) -> dict[str, UnitState]:
        asked.append(names)
        return states

    monkeypatch.setattr("fieldline.local.host.socket.gethostname", lambda: "collector")
    monkeypatch.setattr("fieldline.where.here.read_units", read)
    monkeypatch.setattr("fieldline.where.here.has_link", lambda _: True)
    journal = Words()
    here = Here(SITE, journal)
    host, words = here.read()
    assert host == LocalHost("collector", states, True)
    assert words == {}
    assert asked[0] == ["telegraf", "gap-filler", "stream-model", "deploy-guard"]
    assert journal.asked == [
        "problem telegraf",
        "words stream-model",
        "problem stream-model",
        "problem gap-filler",
    ]
    # systemd is not asked again at once.
    here.read()
    assert len(asked) == 1

    def broken(_: object) -> dict[str, UnitState]:
        raise FileNotFoundError("systemctl")

    monkeypatch.setattr("fieldline.where.here.read_units", broken)
    host, words = Here(SITE, journal).read()
    assert host.problem == "systemd does not tell: systemctl"
    monkeypatch.setattr("fieldline.local.host.socket.gethostname", lambda: "laptop")
    assert Here(SITE, journal).read() == (LocalHost(), {})
