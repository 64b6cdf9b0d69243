"""Each kind of fault once, on a plant with a witness: the short form of `make faults`.

How fast the plant heals is not asked here, only whether it does; docs/faults.md has the times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from faults_harm import Harm, harm_influxdb, harm_model, harm_opc
from fieldline.evaluate import evaluate
from fieldline_faults.campaign import HASTE, Campaign
from fieldline_faults.deeds import SHORT
from fieldline_faults.matrix import Cell, short
from fieldline_faults.plant import SITE, Plant
from fieldline_lab.declaration import parse
from plants import ROOT
from traces import nothing, traces

DECLARATION = parse(evaluate(ROOT / "lib", SITE))
CELLS = short(DECLARATION)
FILLED = any("gap-filler" in host.units for host in DECLARATION.hosts.values())
# Faults that cost values as long as nothing fills gaps: they were published with nobody subscribed,
# or acknowledged and then torn off by hand.
COSTLY = set() if FILLED else {"lost-session", "node-removed", "torn-end"}


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    plant = Plant.of_worktree(name="faults-short")
    try:
        yield plant
    finally:
        plant.down()
    assert traces(plant.lab.names) == nothing(plant.lab.names)


@pytest.fixture(scope="module")
def campaign(plant: Plant) -> Campaign:
    return Campaign(plant, SHORT, HASTE, lambda _: None, thrifty=True)


def cells(*, spoils: bool) -> Any:
    chosen = [cell for cell in CELLS if cell.kind.spoils is spoils]
    return pytest.mark.parametrize("cell", chosen, ids=lambda cell: cell.name)


def account(campaign: Campaign, cell: Cell) -> None:
    """Run a cell, and insist that every value and result is accounted for."""
    entry = campaign.one(cell)
    assert entry["flowing_s"] is not None, entry
    places = ("values", "results", "topic_opc", "topic_model")
    lost = sum(entry[place].get("lost", 0) for place in places)
    assert bool(lost) == (cell.kind.name in COSTLY), entry
    for place in places:
        # A result is of other inputs where some of these were lost.
        harmed = {"wrong", "wrong_status"} if lost else set()
        faults = {"wrong", "wrong_status", "doubled", "invented", "disordered"} - harmed
        assert not faults & set(entry[place]), entry
        assert entry[place]["right"] > 0, entry


@cells(spoils=False)
def test_every_value_is_accounted_for(campaign: Campaign, cell: Cell) -> None:
    account(campaign, cell)


def test_the_check_finds_whatever_is_wrong_in_the_plant(campaign: Campaign, plant: Plant) -> None:
    campaign.make_ready("the check itself")
    collector = plant.host("collector")
    # It would mend what is harmed here.
    collector.exec(["systemctl", "stop", "gap-filler"], check=True)
    try:
        find_all(Harm(plant))
    finally:
        collector.exec(["systemctl", "start", "gap-filler"], check=True)


def find_all(harm: Harm) -> None:
    fine = harm.check()
    assert all(findings.ok for findings in fine.places.values()), fine

    expected = harm_influxdb(harm)
    found = harm.check()
    assert {place: found.places[place].as_counts() for place in expected} == expected
    assert found.topic_opc.ok
    assert found.topic_model.ok

    # What is put into a topic reaches InfluxDB, and the model: each topic is looked at alone.
    expected = harm_model(harm)
    found = harm.check()
    assert found.topic_model.as_counts() == expected

    expected = harm_opc(harm)
    found = harm.check()
    assert found.topic_opc.as_counts() == expected

    harm.forget_the_log()
    assert harm.check().topic_opc.lost == len(harm.values)


@cells(spoils=True)
def test_every_value_is_accounted_for_to_the_end(campaign: Campaign, cell: Cell) -> None:
    account(campaign, cell)
