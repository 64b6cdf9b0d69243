"""The matrix: which cells there are, and what counts as held."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fieldline.errors import FieldlineError
from fieldline.evaluate import evaluate
from fieldline_faults import targets
from fieldline_faults.cell import Outcome
from fieldline_faults.check import Findings
from fieldline_faults.deeds import FULL, SHORT
from fieldline_faults.evidence import WITNESS_ERRORS, Evidence
from fieldline_faults.faults import KINDS
from fieldline_faults.matrix import OPEN, Cell, cells, choose, missed, short
from fieldline_faults.plant import SITE
from fieldline_faults.record import ROOT
from fieldline_lab.declaration import Declaration, Program, Unit, parse


@pytest.fixture(scope="module")
def declaration() -> Declaration:
    return parse(evaluate(ROOT / "lib", SITE))


def unit(name: str, **config: object) -> Unit:
    return Unit(
        name,
        name,
        Program(name),
        wanted_by=("multi-user.target",),
        service_config={"Type": "notify", **config},
    )


def test_every_unit_host_and_pair_has_its_cells(declaration: Declaration) -> None:
    names = [cell.name for cell in cells(declaration)]
    assert len(names) == len(set(names))
    for kind in ("kill", "freeze", "restart"):
        for label in ("opc-server", "telegraf@collector", "stream-model", "apache-kafka"):
            assert f"{kind} {label}" in names
        assert {f"{kind} influxdb2", f"{kind} telegraf@db"} <= set(names)
    assert {f"crash {host}" for host in ("opc", "collector", "db")} <= set(names)
    for kind in ("cut", "lossy", "slow"):
        found = [name for name in names if name.startswith(f"{kind} ")]
        assert found == [f"{kind} opc-collector", f"{kind} collector-db"]


def test_units_that_run_once_or_remain_are_none(declaration: Declaration) -> None:
    found = {target.unit for target in targets.units(declaration)}
    every = {unit for host in declaration.hosts.values() for unit in host.units}
    assert {"kafka-provision", "influxdb-provision", "deploy-guard"} <= every - found


def test_a_new_service_appears_by_itself(declaration: Declaration) -> None:
    collector = declaration.hosts["collector"]
    units = {**collector.units, "new-one": unit("new-one")}
    hosts = {**declaration.hosts, "collector": replace(collector, units=units)}
    names = [cell.name for cell in cells(replace(declaration, hosts=hosts))]
    assert {"kill new-one", "freeze new-one", "restart new-one"} <= set(names)


def test_a_unit_of_two_hosts_is_told_by_its_host(declaration: Declaration) -> None:
    labels = [target.label for target in targets.units(declaration)]
    assert "telegraf" not in labels
    assert "stream-model" in labels


def test_the_short_form_has_each_kind_once_but_the_open_ones(declaration: Declaration) -> None:
    chosen = short(declaration)
    kinds = {kind.name for kind in KINDS}
    assert kinds >= OPEN
    assert sorted(cell.kind.name for cell in chosen) == sorted(kinds - OPEN)
    # What looks back to the begin comes first, what spoils the plant last.
    assert [c.kind.whole for c in chosen] == sorted((c.kind.whole for c in chosen), reverse=True)
    assert [c.kind.spoils for c in chosen] == sorted(c.kind.spoils for c in chosen)


def test_every_fault_is_told_in_both_forms(declaration: Declaration) -> None:
    for cell in cells(declaration):
        for spans in (FULL, SHORT):
            assert "{" not in cell.text(spans)


def test_cells_are_chosen_by_name(declaration: Declaration) -> None:
    every = cells(declaration)
    assert choose(every, []) == every
    found = choose(every, ["kill*opc-server", "cut*"])
    assert [cell.name for cell in found] == [
        "kill opc-server",
        "cut opc-collector",
        "cut collector-db",
    ]
    with pytest.raises(FieldlineError, match="No cell is called 'kil'"):
        choose(every, ["kil"])


# -- what counts as held ---------------------------------------------------------------------------


@pytest.fixture
def cell(declaration: Declaration) -> Cell:
    return next(cell for cell in cells(declaration) if cell.name == "kill opc-server")


def fine() -> Outcome:
    found = [Findings(required=10, right=10) for _ in range(4)]
    return Outcome(3.0, 4.0, *found, evidence=Evidence(1500.0))


def test_an_outcome_without_a_fault_holds(cell: Cell) -> None:
    assert missed(cell, fine()) == []


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"flowing": None}, "never flows again"),
        ({"flowing": 10.1}, "flows after 10.1 s, bar 10 s"),
        ({"complete": None}, "never complete"),
        ({"complete": 60.1}, "complete after 60.1 s, bar 60 s"),
    ],
)
def test_a_bar_that_is_missed_is_said(cell: Cell, what: dict[str, float | None], said: str) -> None:
    outcome = fine()
    for name, value in what.items():
        setattr(outcome, name, value)
    assert missed(cell, outcome) == [said]


@pytest.mark.parametrize("place", ["values", "results", "topic_opc", "topic_model"])
@pytest.mark.parametrize(
    "fault", ["lost", "wrong", "wrong_status", "doubled", "invented", "disordered"]
)
def test_one_of_anything_anywhere_is_a_miss(cell: Cell, place: str, fault: str) -> None:
    outcome = fine()
    setattr(getattr(outcome, place), fault, 1)
    assert len(missed(cell, outcome)) == 1
    assert missed(cell, outcome)[0].startswith(f"{place.replace('_', ' ')}: 1 ")


def test_where_nothing_was_required_nothing_holds(cell: Cell) -> None:
    outcome = fine()
    outcome.values = Findings()
    assert missed(cell, outcome) == ["values: nothing was required, so nothing is shown"]


def test_a_witness_that_failed_shows_nothing(cell: Cell) -> None:
    outcome = fine()
    outcome.evidence.counters = {WITNESS_ERRORS: 1.0}
    assert "witness" in missed(cell, outcome)[0]


def test_a_host_that_boots_has_more_time(declaration: Declaration) -> None:
    boots = next(cell for cell in cells(declaration) if cell.name == "crash db")
    outcome = fine()
    outcome.flowing = 29.0
    assert missed(boots, outcome) == []
    outcome.flowing = 31.0
    assert missed(boots, outcome) == ["flows after 31.0 s, bar 30 s"]
