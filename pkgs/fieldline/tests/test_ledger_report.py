"""`fieldline ledger`: reading the counts, what they say, and the exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from fieldline.errors import FieldlineError
from fieldline.influx.client import InfluxClient
from fieldline.ledger import Counts
from fieldline.ledger.command import _since, _wanted
from fieldline.ledger.report import Report, make_report
from fieldline.ledger.stored import read_hours
from fieldline.messages.ledger import HOUR_NS
from fieldline.site import load_site
from fieldline.verify.catalogue import catalogue_of
from rich.console import Console

SITE = load_site(Path(__file__).parents[3] / "site.toml")
CATALOGUE = catalogue_of(SITE)
HOUR = 500_000 * HOUR_NS
NOW = HOUR + HOUR_NS // 2


def counts(**fields: list[int]) -> Counts:
    made = Counts(3)
    for name, values in fields.items():
        made.of(name)[:] = values
    return made


def report(hours: dict[int, Counts], **named: Any) -> Report:
    return make_report(CATALOGUE, hours, since=HOUR - 24 * HOUR_NS, until=NOW, **named)


def text(of: Report, *, every: bool = False) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        console.print(of.render(every=every))
    return captured.get()


COMPLETE = counts(produced=[10, 5, -1], stored=[10, 5, 0], settled=[1, 1, 1])
LOST = counts(produced=[10, 5, 2], stored=[7, 4, 2], missing=[1, 0, 0], settled=[1, 1, 1])
OPEN = counts(produced=[10, 5, 2], stored=[1, 4, 2], settled=[0, 0, 0])
HALF = counts(produced=[10, 5, 2], stored=[1, 5, 2], settled=[0, 1, 1])


def test_complete_hours_are_fine() -> None:
    found = report({HOUR - HOUR_NS: COMPLETE, HOUR: OPEN})
    assert found.ok
    assert [hour.state for hour in found.hours] == ["complete", "goes on"]
    assert found.variables == []
    assert found.hours[0].counts["produced"] == 15


def test_what_is_lacking_in_a_settled_hour_is_a_failure_and_the_worst_comes_first() -> None:
    found = report({HOUR - 2 * HOUR_NS: LOST, HOUR - HOUR_NS: COMPLETE, HOUR: OPEN})
    assert not found.ok
    assert [hour.state for hour in found.hours] == ["incomplete", "complete", "goes on"]
    assert [(v.variable, v.lacking) for v in found.variables] == [
        ("Temperature", 3),
        ("Pressure", 1),
    ]
    assert "incomplete: 2 of 3 variables" in text(found)
    assert found.hours[0].lacking == 4


def test_what_nobody_has_told_is_not_known_and_no_failure() -> None:
    found = report({HOUR - 3 * HOUR_NS: COMPLETE, HOUR - 2 * HOUR_NS: HALF})
    assert [hour.state for hour in found.hours] == [
        "complete",
        "not known yet",
        "not known yet",
        "goes on",
    ]
    assert found.ok
    shown = text(found)
    assert "not known yet: 1 of 3 variables" in shown
    assert "not known yet: the ledger has nothing of this time" in text(report({}))


def test_one_variable_alone() -> None:
    slow = CATALOGUE.variable_index["Sensors", "SlowSensor"]
    found = report({HOUR - HOUR_NS: LOST}, wanted=[slow])
    assert found.ok
    assert found.hours[0].counts["produced"] == 2
    assert found.hours[0].variables == 1
    assert not report({HOUR - HOUR_NS: LOST}, wanted=[0]).ok


def test_all_variables_with_what_is_not_known_of_them() -> None:
    found = report({HOUR - HOUR_NS: COMPLETE}, every=True)
    slow = next(v for v in found.variables if v.variable == "SlowSensor")
    assert (slow.state, slow.counts["produced"], slow.counts["stored"]) == ("complete", None, 0)
    assert len(found.variables) == 6
    assert text(found, every=True).count("SlowSensor") == 2


def test_of_many_variables_the_worst_are_shown() -> None:
    hours = {HOUR - n * HOUR_NS: LOST for n in range(1, 24)}
    found = report(hours)
    assert len(found.variables) == 46
    shown = text(found)
    assert shown.count("Temperature") == 20
    assert "26 more; --all shows them" in shown
    assert "more; --all" not in text(found, every=True)


def test_json_has_everything() -> None:
    value = report({HOUR - HOUR_NS: LOST}).as_json()
    assert value["ok"] is False
    assert value["hours"][0]["hour_ns"] == HOUR - HOUR_NS
    assert value["variables"][0]["counts"]["missing"] == 1


class Answer(InfluxClient):
    """A client that gives a prepared answer."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("http://127.0.0.1:1")
        self.prepared = "\r\n".join([",result,table,_time,_value,_field,asset,variable", *lines])

    @contextmanager
    def pieces(self, *_args: Any) -> Iterator[Iterator[bytes]]:
        yield iter([self.prepared.encode()])


def test_the_counts_are_read_by_hour_field_and_variable() -> None:
    assert HOUR == 1_800_000_000 * 10**9
    lines = [
        ",_result,0,2027-01-15T08:00:00Z,12,produced,Sensors,Temperature",
        ",_result,0,2027-01-15T07:00:00Z,11,produced,Sensors,Temperature",
        ",_result,1,2027-01-15T08:00:00Z,3,stored,Sensors,Pressure",
        # Others': a variable of yesterday, a field of tomorrow, no hour.
        ",_result,2,2027-01-15T08:00:00Z,3,stored,Sensors,Gone",
        ",_result,3,2027-01-15T08:00:00Z,3,new,Sensors,Pressure",
        ",_result,4,2027-01-15T06:30:00Z,3,stored,Sensors,Pressure",
    ]
    found = read_hours(Answer(lines), SITE.influxdb, CATALOGUE, HOUR - HOUR_NS, NOW)
    assert list(found) == [HOUR - HOUR_NS, HOUR]
    assert found[HOUR].of("produced").tolist() == [12, -1, -1]
    assert found[HOUR].of("stored").tolist() == [-1, 3, -1]
    assert found[HOUR - HOUR_NS].of("produced").tolist() == [11, -1, -1]


def test_arguments() -> None:
    assert _since("24h", NOW) == _since("-24h", NOW) == NOW - 24 * HOUR_NS
    assert _since(str(HOUR), NOW) == HOUR
    for wrong in ("now", "soon", "", "2100-01-01"):
        with pytest.raises(typer.BadParameter):
            _since(wrong, NOW)
    assert _wanted(CATALOGUE, "") is None
    assert _wanted(CATALOGUE, "Sensors") == [0, 1, 2]
    assert _wanted(CATALOGUE, "Sensors/Pressure") == _wanted(CATALOGUE, "Pressure") == [1]
    with pytest.raises(FieldlineError, match="model1"):
        _wanted(CATALOGUE, "model1")
