"""Provisioning of a real broker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fieldline.errors import FieldlineError
from fieldline.provision.kafka_admin import KafkaAdmin, connect
from fieldline.provision.report import Action
from fieldline.provision.topics import (
    CHANGELOG,
    DEAD_LETTER,
    LEDGER,
    REFILL,
    declared_topics,
    ensure_topics,
)
from fieldline.service import ServiceError
from fieldline.site import Site, load_site

pytestmark = [pytest.mark.servers, pytest.mark.kafka]

SITE = Path(__file__).parents[4] / "site.toml"


def declared(**changes: Any) -> Site:
    """The demonstration plant, with other settings of the topic `opc`."""
    site = load_site(SITE)
    topics = dict(site.topics)
    topics["opc"] = replace(topics["opc"], **changes)
    return replace(site, topics=topics)


async def ensure(bootstrap: str, site: Site) -> dict[str, str]:
    client = await connect(bootstrap, 30, lambda _passed, _cause: None)
    try:
        actions: list[Action] = await ensure_topics(KafkaAdmin(client), declared_topics(site))
    finally:
        await client.close()
    return {action.name: action.outcome for action in actions}


async def test_topics_are_created_once_and_follow_the_site(kafka: Any) -> None:
    names = ["opc", "model", DEAD_LETTER, CHANGELOG, LEDGER, REFILL]
    assert await ensure(kafka.bootstrap, declared()) == dict.fromkeys(names, "created")
    assert await ensure(kafka.bootstrap, declared()) == dict.fromkeys(names, "unchanged")
    client = await connect(kafka.bootstrap, 30, lambda _passed, _cause: None)
    admin = KafkaAdmin(client)
    try:
        assert await admin.partitions(names) == {
            "opc": 4,
            "model": 4,
            DEAD_LETTER: 1,
            CHANGELOG: 4,
            LEDGER: 1,
            REFILL: 1,
        }
        configs = await admin.configs(["opc"])
        assert configs["opc"]["message.timestamp.type"] == "LogAppendTime"
        assert configs["opc"]["retention.ms"] == str(7 * 86_400_000)
        # Somebody else's setting, of which the site says nothing.
        await admin.set_configs({"opc": {"max.message.bytes": "2000000"}})
        shorter = declared(retention_ms=3_600_000)
        assert await ensure(kafka.bootstrap, shorter) == {
            "opc": "changed",
            "model": "unchanged",
            # It is kept as long as opc.
            DEAD_LETTER: "changed",
            CHANGELOG: "unchanged",
            LEDGER: "changed",
            REFILL: "changed",
        }
        configs = await admin.configs(["opc"])
        assert configs["opc"]["retention.ms"] == "3600000"
        assert configs["opc"]["max.message.bytes"] == "2000000"

        # Another number of partitions: refused, and nothing else is changed either.
        with pytest.raises(FieldlineError, match="Topic opc has 4, declared: 8"):
            await ensure(kafka.bootstrap, declared(partitions=8, retention_ms=60_000))
        assert (await admin.configs(["opc"]))["opc"]["retention.ms"] == "3600000"
        assert (await admin.partitions(["opc"]))["opc"] == 4

        with pytest.raises(FieldlineError, match="refused to configure topic opc"):
            await admin.set_configs({"opc": {"retention.ms": "soon"}})
    finally:
        await client.close()


async def test_a_broker_that_is_not_there_is_waited_for_and_told() -> None:
    told: list[str] = []
    with pytest.raises(ServiceError) as caught:
        await connect("127.0.0.1:1", 1.0, lambda _passed, cause: told.append(cause))
    assert caught.value.code == 69
    assert "apache-kafka" in caught.value.what_to_do
    assert told
