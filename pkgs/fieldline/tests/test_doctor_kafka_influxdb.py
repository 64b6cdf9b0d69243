"""Kafka's topics and groups, and InfluxDB, against what is declared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from doctor_findings import TOKEN, context, found, local_site, verdicts
from fieldline.doctor import Verdict
from fieldline.doctor import clocks as clocks_check
from fieldline.doctor import kafka as kafka_check
from fieldline.doctor.influxdb import influxdb
from fieldline.doctor.kafka import Broker, Group
from fieldline.doctor.versions import versions
from fieldline.provision.topics import declared_topics
from where_plant import SITE, Plant

DECLARED = declared_topics(SITE)


def broker() -> Broker:
    """A broker that is as declared, with groups that have read nearly all."""
    ends = {(t.name, n): 100 for t in DECLARED for n in range(t.partitions)}
    committed = {
        name: {(topic, n): 99 for n in range(4)} for name, topic in kafka_check.GROUPS.items()
    }
    return Broker(
        {t.name: t.partitions for t in DECLARED},
        {t.name: {**t.configs, "other": "x"} for t in DECLARED},
        dict.fromkeys(ends, 10),
        ends,
        {name: Group(1, offsets) for name, offsets in committed.items()},
    )


def test_topics() -> None:
    assert set(verdicts(kafka_check.topics(broker(), DECLARED)).values()) == {"ok"}
    well = broker()
    partitions = {name: n for name, n in well.partitions.items() if name != "model"}
    configs = dict(well.configs)
    configs["opc"] = {**configs["opc"], "retention.ms": "1"}
    wrong = replace(well, partitions={**partitions, "opc.dead-letter": 3}, configs=configs)
    seen = found(kafka_check.topics(wrong, DECLARED))
    assert seen["topic model"] == ("failed", "it does not exist")
    assert seen["topic opc.dead-letter"] == ("failed", "it has 3 partitions, declared: 1")
    assert seen["topic opc"] == ("failed", "retention.ms is 1, declared: 604800000")
    assert seen["topic model.changelog"][0] == "ok"


def changed(group: Group | None, name: str = "telegraf-opc") -> Broker:
    well = broker()
    others = {n: g for n, g in well.groups.items() if n != name}
    return replace(well, groups=others if group is None else {**others, name: group})


@pytest.mark.parametrize(
    ("group", "verdict", "words"),
    [
        (Group(2, {("opc", n): 99 for n in range(4)}), "ok", "2 member(s), 4 records wait"),
        (None, "failed", "it has not read anything yet"),
        (Group(1, {}), "failed", "it has not read anything yet"),
        (Group(0, {("opc", n): 99 for n in range(4)}), "failed", "nobody reads; 4 records wait"),
        (
            Group(1, {("opc", 0): 101, ("opc", 1): 50}),
            "failed",
            "its offset lies beyond the end of the log, in partition 0",
        ),
        (
            Group(1, {("opc", n): 9 for n in (3, 1)}),
            "failed",
            "retention has removed records that it had not read, in partition 1, 3",
        ),
    ],
)
def test_groups(group: Group | None, verdict: Verdict, words: str) -> None:
    seen = found(kafka_check.groups(changed(group), 5.0))
    assert seen["group telegraf-opc"] == (verdict, words)
    assert seen["group telegraf-model"][0] == "ok"


def test_a_group_without_anything_to_read() -> None:
    nothing = changed(None)
    empty = {key: 0 if key[0] == "opc" else end for key, end in nothing.ends.items()}
    seen = found(kafka_check.groups(replace(nothing, ends=empty), 5.0))
    assert seen["group telegraf-opc"] == ("ok", "topic opc is empty")


def test_a_group_that_is_behind_by_more_than_a_minute() -> None:
    behind = changed(Group(1, {("opc", n): 20 for n in range(4)}))
    assert found(kafka_check.groups(behind, 5.0))["group telegraf-opc"][0] == "warning"
    assert found(kafka_check.groups(behind, 6.0))["group telegraf-opc"][0] == "ok"


def test_kafka_where_it_may_not_or_cannot_be_asked() -> None:
    assert verdicts(kafka_check.kafka(context(Plant(host="opc")))) == {"Kafka": "skipped"}
    away = context(Plant(site=local_site({}), host="db"))
    assert found(kafka_check.kafka(away))["Kafka"] == ("failed", "it does not answer")


def test_influxdb_where_it_cannot_be_asked(tmp_path: Path) -> None:
    seen = found(influxdb(context(Plant(host="opc"))))
    assert seen["bucket dev"] == ("skipped", "it answers on its own host only (db)")
    assert found(influxdb(context()))["bucket dev"][0] == "skipped"
    token = tmp_path / str(TOKEN).lstrip("/")
    token.parent.mkdir(parents=True)
    token.write_text("a-token")
    away = context(Plant(site=local_site({}), host="db"), tmp_path)
    assert found(influxdb(away))["bucket dev"] == ("failed", "InfluxDB does not answer")
    assert found(clocks_check.clocks(away))["source times"][0] == "skipped"
    assert found(versions(away))["InfluxDB"][0] == "skipped"
