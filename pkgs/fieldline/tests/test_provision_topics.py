"""The topics of a site, and what is done to a broker to have them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline.provision import topics as topics_module
from fieldline.provision.report import Action, Waiting, show
from fieldline.provision.topics import (
    CHANGELOG,
    DEAD_LETTER,
    LEDGER,
    REFILL,
    DeclaredTopic,
    declared_topics,
    ensure_topics,
)
from fieldline.site import load_site

SITE = load_site(Path(__file__).parents[3] / "site.toml")


class MemoryAdmin:
    """A broker in memory that notes what is changed."""

    def __init__(self) -> None:
        self.topics: dict[str, tuple[int, dict[str, str]]] = {}
        self.changes: list[str] = []

    async def partitions(self, names: Sequence[str]) -> dict[str, int]:
        return {name: self.topics[name][0] for name in names if name in self.topics}

    async def configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        return {name: dict(self.topics[name][1]) for name in names}

    async def create(self, topics: Sequence[DeclaredTopic]) -> None:
        for topic in topics:
            self.changes.append(f"create {topic.name}")
            self.topics[topic.name] = (topic.partitions, dict(topic.configs))

    async def set_configs(self, changes: Mapping[str, Mapping[str, str]]) -> None:
        for name, keys in changes.items():
            self.changes += [f"set {name} {key}" for key in keys]
            self.topics[name][1].update(keys)


def outcomes(actions: Sequence[Action]) -> dict[str, str]:
    return {action.name: action.outcome for action in actions}


async def test_missing_topics_are_created_and_then_left_alone() -> None:
    admin = MemoryAdmin()
    declared = declared_topics(SITE)
    first = await ensure_topics(admin, declared)
    names = ["opc", "model", DEAD_LETTER, CHANGELOG, LEDGER, REFILL]
    assert outcomes(first) == dict.fromkeys(names, "created")
    assert admin.topics[DEAD_LETTER][0] == 1
    details = {action.name: action.detail for action in first}
    assert details[CHANGELOG] == "4 partitions, compacted"
    admin.changes.clear()
    again = await ensure_topics(admin, declared)
    assert set(outcomes(again).values()) == {"unchanged"}
    assert admin.changes == []


async def test_it_waits_until_the_broker_shows_what_it_has_accepted() -> None:
    class SlowAdmin(MemoryAdmin):
        asked = 0

        async def partitions(self, names: Sequence[str]) -> dict[str, int]:
            self.asked += 1
            shown = await super().partitions(names)
            return {} if self.asked < 4 else shown

    admin = SlowAdmin()
    await ensure_topics(admin, declared_topics(SITE))
    assert admin.asked == 4


async def test_a_broker_that_does_not_do_what_it_accepts_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class DeafAdmin(MemoryAdmin):
        async def set_configs(self, changes: Mapping[str, Mapping[str, str]]) -> None:
            pass

    monkeypatch.setattr(topics_module, "_SHOWN_SECONDS", 0.1)
    admin = DeafAdmin()
    await ensure_topics(admin, declared_topics(SITE))
    admin.topics["opc"][1]["retention.ms"] = "1"
    with pytest.raises(FieldlineError, match="settings of opc, but does not show"):
        await ensure_topics(admin, declared_topics(SITE))


async def test_only_what_differs_is_set() -> None:
    admin = MemoryAdmin()
    declared = declared_topics(SITE)
    await ensure_topics(admin, declared)
    admin.topics["model"][1]["retention.ms"] = "1"
    admin.topics["model"][1]["max.message.bytes"] = "5"
    del admin.topics["opc"][1]["segment.ms"]
    admin.changes.clear()
    actions = await ensure_topics(admin, declared)
    assert admin.changes == ["set opc segment.ms", "set model retention.ms"]
    assert admin.topics["model"][1]["max.message.bytes"] == "5"
    details = {action.name: action.detail for action in actions}
    assert details["model"] == "retention.ms 1 -> 604800000"
    assert details["opc"] == "segment.ms unset -> 75600000"


async def test_another_number_of_partitions_is_refused_and_nothing_is_changed() -> None:
    admin = MemoryAdmin()
    admin.topics = {"opc": (2, {"retention.ms": "1"}), DEAD_LETTER: (3, {})}
    with pytest.raises(FieldlineError) as caught:
        await ensure_topics(admin, declared_topics(SITE))
    assert admin.changes == []
    text = caught.value.what_to_do
    assert "Topic opc has 2, declared: 4." in text
    assert "topics.opc.partitions = 2" in text
    # Its number is not in the site, so the site cannot be changed to keep it.
    assert f"Topic {DEAD_LETTER} has 3, declared: 1." in text
    assert f"topics.{DEAD_LETTER}" not in text
    assert "--delete --topic NAME" in text


@pytest.mark.parametrize(
    ("retention_ms", "segment_ms"),
    [(60_000, 60_000), (3_600_000, 450_000), (3650 * 86_400_000, 7 * 86_400_000)],
)
def test_segments_are_short_against_the_retention(retention_ms: int, segment_ms: int) -> None:
    opc = replace(SITE.topics["opc"], retention_ms=retention_ms)
    site = replace(SITE, topics={**SITE.topics, "opc": opc})
    configs = {topic.name: topic.configs for topic in declared_topics(site)}
    assert configs["opc"]["segment.ms"] == str(segment_ms)
    assert configs[DEAD_LETTER]["retention.ms"] == str(retention_ms)


def test_records_are_kept_by_their_arrival() -> None:
    for topic in declared_topics(SITE):
        assert topic.configs["message.timestamp.type"] == "LogAppendTime"
        policy = "compact" if topic.name == CHANGELOG else "delete"
        assert topic.configs["cleanup.policy"] == policy


def test_a_changelog_has_the_partitions_of_its_input_and_small_segments() -> None:
    opc = replace(SITE.topics["opc"], partitions=7, retention_ms=60_000)
    site = replace(SITE, topics={**SITE.topics, "opc": opc})
    (changelog,) = (topic for topic in declared_topics(site) if topic.name == CHANGELOG)
    assert changelog.partitions == 7
    # No retention of the input's may remove state.
    assert changelog.configs["retention.ms"] == "-1"
    # What is being written to is never compacted, and all of it is read at a start.
    assert int(changelog.configs["segment.bytes"]) <= 16 * 1024 * 1024


def test_actions_are_printed_for_people_and_programs(capsys: pytest.CaptureFixture[str]) -> None:
    actions = [Action("topic", "opc", "created", "4 partitions"), Action("user", "u", "unchanged")]
    show(actions, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["created   topic opc (4 partitions)", "unchanged user u"]
    show(actions, as_json=True)
    assert json.loads(capsys.readouterr().out)["actions"][0]["name"] == "opc"


def test_waiting_is_told_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = Waiting("Kafka", 120.0)
    for tenths in range(200):
        waiting(tenths / 10, "refused")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[1].split()[0] for line in lines] == ["2", "12"]
