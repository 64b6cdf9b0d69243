"""Clocks and what else is noted without a stop, and what cannot be seen from a host."""

from __future__ import annotations

from dataclasses import replace

from fieldline.local import LocalHost
from fieldline.provision.topics import DEAD_LETTER
from fieldline.remote.offsets import KafkaReading
from fieldline.states import GapFillerState, LedgerState, Restarts
from fieldline.where.tail import Refused
from where_plant import MODELS, NOW, SECOND, SITE, VARIABLES, P, Plant, down, said, unit


def test_a_clock_ahead_is_noted_and_stops_nothing() -> None:
    plant = Plant(clock_s=3600.0)
    plant.stored = dict.fromkeys((*VARIABLES, *MODELS), -3600.0)
    found = plant.diagnosis()
    assert found.stopped == []
    assert [(note.hop, note.name, note.code) for note in found.notes] == [
        ("server", "opc", "clock-ahead")
    ]
    assert "3600 s in the future" in found.notes[0].text
    # Of a server whose clock nobody can ask, the stored times tell.
    plant.clock_s = 0.0
    assert plant.diagnosis().notes[0].code == "clock-ahead"


def test_a_clock_behind_is_noted_and_stops_nothing() -> None:
    plant = Plant(clock_s=-120.0)
    plant.stored = dict.fromkeys((*VARIABLES, *MODELS), 120.5)
    plant.kafka = dict(plant.stored)
    found = plant.diagnosis()
    assert (found.stopped, found.arriving) == ([], 5)
    assert [note.code for note in found.notes] == ["clock-behind"]


def test_values_dated_in_the_past_arrive_all_the_same() -> None:
    """Of a PLC nobody can ask the clock: what comes now, dated before, tells."""
    plant = Plant(arrived=dict.fromkeys(VARIABLES, 0.5))
    plant.stop(*VARIABLES, age=40.0)
    found = plant.diagnosis()
    assert found.stopped == []
    assert (found.notes[0].code, found.notes[0].text.count("40 s behind")) == ("clock-behind", 1)
    # But not if InfluxDB does not get them.
    plant.stored = {**plant.stored, **dict.fromkeys(VARIABLES, 55.0)}
    assert plant.only().hop == "writer"


def test_notes() -> None:
    state = GapFillerState(restarts={"telegraf": Restarts(2, NOW - 60 * SECOND, "no value")})
    ledger = LedgerState(
        {
            "influxdb2": Restarts(1, NOW - 7200 * SECOND, "it refused"),
            "telegraf": Restarts(1, NOW - 60 * SECOND, "nothing is taken"),
        }
    )
    restarted = replace(unit("influxdb2", "active"), restarts=3, since_ns=NOW - 60 * SECOND)
    long_ago = replace(restarted, name="apache-kafka", since_ns=NOW - 7200 * SECOND)
    refused = [
        Refused((NOW - 90 * SECOND) // 10**6, "old"),
        Refused((NOW - 5 * SECOND) // 10**6, "bad-quality", "Sensors", P),
    ]
    plant = Plant(
        certain=0.0,
        dropped=7.0,
        gap_filler=state,
        ledger=ledger,
        here=LocalHost("db", {"influxdb2": restarted, "apache-kafka": long_ago}),
        refused=refused,
    )
    plant.kafka = dict(plant.stored)
    notes = {(note.hop, note.name, note.code): note.text for note in plant.diagnosis().notes}
    assert set(notes) == {
        ("server", "opc", "time-uncertain"),
        ("subscription", "collector", "values-dropped"),
        ("subscription", "collector", "restarts"),
        ("influxdb", "db", "restarts"),
        ("writer", "db", "restarts"),
        ("stream-model", DEAD_LETTER, "records-refused"),
    }
    assert (
        "1 records in a minute cannot be used (bad-quality), such as of Sensors/Pressure"
        in (notes["stream-model", DEAD_LETTER, "records-refused"])
    )
    assert "gap filler: no value" in notes["subscription", "collector", "restarts"]
    assert "ledger: nothing is taken" in notes["writer", "db", "restarts"]
    # What the ledger has had restarted two hours ago is history.
    assert "3 times" in notes["influxdb", "db", "restarts"]


def test_what_cannot_be_seen_from_here_is_said_and_not_judged() -> None:
    plant = Plant(
        host="opc",
        store_unseen="it answers on its own host only (db)",
        broker=KafkaReading(problem="this host may not reach it", reach="unasked"),
    )
    found = plant.diagnosis()
    assert (found.stopped, found.arriving, found.seen_at) == ([], 0, "")
    assert found.unseen == [
        "InfluxDB: it answers on its own host only (db)",
        "Kafka: this host may not reach it",
    ]
    # What is broken for sure is said all the same.
    plant.collector = down("refused")
    assert said(plant.only()) == ("subscription", "collector", "not-running")
    unknown = Plant(host=None).diagnosis()
    assert unknown.unseen == ["units and journal: this machine is none of the site's hosts"]
    barred = Plant(here=LocalHost("db", problem="no systemd")).diagnosis()
    assert barred.unseen == ["units and journal of db: no systemd"]


def test_a_site_without_a_database() -> None:
    hosts = {n: replace(h, roles=()) if n == "db" else h for n, h in SITE.hosts.items()}
    hosts["db"] = replace(hosts["db"], roles=("kafka",))
    site = replace(SITE, hosts=hosts)
    plant = Plant(site=site, host="db", store_unseen="no host of the site has it")
    plant.stop(P, age=30.0)
    assert [said(group) for group in plant.diagnosis().stopped] == [
        ("subscription", "collector", "subscription-dead")
    ]


def test_kafka_is_the_last_place_where_influxdb_cannot_be_seen() -> None:
    plant = Plant(host="collector", store_unseen="elsewhere")
    plant.stop(P, age=30.0)
    found = plant.diagnosis()
    assert (found.seen_at, found.arriving, found.declared) == ("Kafka", 4, 5)
    assert [said(group) for group in found.stopped] == [
        ("subscription", "collector", "subscription-dead")
    ]
