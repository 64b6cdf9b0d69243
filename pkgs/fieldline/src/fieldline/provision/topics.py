"""The Kafka topics that a site declares, and how a broker is brought to have them.

The broker is behind a small interface, so that the rules are tested without one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fieldline.errors import FieldlineError
from fieldline.provision.report import Action
from fieldline.site import Site

DEAD_LETTER = "opc.dead-letter"
CHANGELOG = "model.changelog"
LEDGER = "opc.ledger"
REFILL = "opc.refill"

# KRaft brings a change from the controller to the broker in ms, on a busy host in seconds.
_SHOWN_SECONDS = 30.0

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_WEEK_MS = 7 * 24 * 60 * _MINUTE_MS


@dataclass(frozen=True, slots=True)
class DeclaredTopic:
    """A topic as it should be; `configs` are Kafka's names and texts."""

    name: str
    partitions: int
    configs: Mapping[str, str]


class TopicAdmin(Protocol):
    """What provisioning needs of a broker."""

    async def partitions(self, names: Sequence[str]) -> dict[str, int]:
        """The number of partitions of those topics that exist."""

    async def configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """The effective configuration of existing topics."""

    async def create(self, topics: Sequence[DeclaredTopic]) -> None:
        """Create topics with one replica."""

    async def set_configs(self, changes: Mapping[str, Mapping[str, str]]) -> None:
        """Set some keys of existing topics, and leave their other keys as they are."""


def declared_topics(site: Site) -> tuple[DeclaredTopic, ...]:
    """The site's topics in their order, and those that belong to the services."""
    topics = [
        DeclaredTopic(topic.name, topic.partitions, _configs(topic.retention_ms))
        for topic in site.topics.values()
    ]
    # What could not be used is read by people, in the order in which it came: one partition.
    topics.append(DeclaredTopic(DEAD_LETTER, 1, _configs(site.topics["opc"].retention_ms)))
    # The state of each partition of `opc` is in the partition of the same number.
    topics.append(DeclaredTopic(CHANGELOG, site.topics["opc"].partitions, _COMPACTED))
    # A few records a minute, read in the order in which they were found: one partition.
    kept = _configs(site.topics["opc"].retention_ms)
    topics += [DeclaredTopic(name, 1, kept) for name in (LEDGER, REFILL)]
    return tuple(topics)


# A changelog: the last record of each key is kept for ever, what it replaces is removed.
_COMPACTED: Mapping[str, str] = {
    "cleanup.policy": "compact",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    # The segment that is written to is never compacted, and by default it is closed at 1 GiB or
    # after a week: a restart would read all of that. 16 MiB are read in a fraction of a second.
    "segment.bytes": str(16 * 1024 * 1024),
    "segment.ms": str(_HOUR_MS),
    # Compact when half of the closed part could go (Kafka's default, said because it matters) ...
    "min.cleanable.dirty.ratio": "0.5",
    # ... and in any case within a few hours, in a plant that is slow.
    "max.compaction.lag.ms": str(6 * _HOUR_MS),
    "message.timestamp.type": "LogAppendTime",
    "compression.type": "producer",
}


def _configs(retention_ms: int) -> dict[str, str]:
    # Kafka deletes whole closed segments only. With its default of 7 d per segment, a retention of
    # an hour would keep 7 d on a slow plant; an eighth of the retention keeps at most an eighth
    # more than declared. Not below 1 min, so that files stay few.
    segment_ms = min(max(retention_ms // 8, _MINUTE_MS), _WEEK_MS)
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(retention_ms),
        # By time only: a limit by size would delete records that the site promises to keep.
        "retention.bytes": "-1",
        "segment.ms": str(segment_ms),
        # The record's own time is that of its arrival; the source time is in its value, in ns. With
        # CreateTime a source whose clock stands in 1970 would have its records deleted at once,
        # as would a gap that is filled with old values; and since 4.0 the broker would refuse a
        # batch with one record from more than an hour ahead.
        "message.timestamp.type": "LogAppendTime",
        # Batches stay as the producer compressed them: the broker need not work on them again.
        "compression.type": "producer",
    }


def differing(topic: DeclaredTopic, effective: Mapping[str, str]) -> dict[str, str]:
    """What of a topic's configuration is not as declared: the keys, with the declared values."""
    return {key: value for key, value in topic.configs.items() if effective.get(key) != value}


async def ensure_topics(admin: TopicAdmin, declared: Sequence[DeclaredTopic]) -> list[Action]:
    """Create what is missing and set what differs; nothing is changed if anything is refused.

    Raises:
        FieldlineError: a topic exists with another number of partitions, or the broker refuses.
    """
    existing = await admin.partitions([topic.name for topic in declared])
    wrong = [t for t in declared if existing.get(t.name, t.partitions) != t.partitions]
    if wrong:
        raise _other_partitions(wrong, existing)
    missing = [topic for topic in declared if topic.name not in existing]
    present = [topic for topic in declared if topic.name in existing]
    if missing:
        await admin.create(missing)
    changes: dict[str, dict[str, str]] = {}
    details: dict[str, str] = {}
    if present:
        effective = await admin.configs([topic.name for topic in present])
        for topic in present:
            now = effective[topic.name]
            changed = differing(topic, now)
            if changed:
                changes[topic.name] = changed
                details[topic.name] = ", ".join(
                    f"{key} {now.get(key, 'unset')} -> {value}" for key, value in changed.items()
                )
    if changes:
        await admin.set_configs(changes)
    if missing or changes:
        await _until_shown(admin, declared)
    return [_action(topic, existing, details) for topic in declared]


async def _until_shown(admin: TopicAdmin, declared: Sequence[DeclaredTopic]) -> None:
    """Wait until the broker itself shows what its controller has accepted a moment before.

    Whoever is started after provisioning then finds the topics, as declared.
    """
    end = time.monotonic() + _SHOWN_SECONDS
    while True:
        names = [topic.name for topic in declared]
        present = await admin.partitions(names)
        late = [name for name in names if name not in present]
        if not late:
            effective = await admin.configs(names)
            late = [topic.name for topic in declared if differing(topic, effective[topic.name])]
        if not late:
            return
        if time.monotonic() > end:
            raise FieldlineError(
                f"Kafka has accepted the settings of {', '.join(late)}, but does not show them: "
                "see `systemctl status apache-kafka`, and provision again."
            )
        await asyncio.sleep(0.05)


def _action(
    topic: DeclaredTopic, existing: Mapping[str, int], details: Mapping[str, str]
) -> Action:
    if topic.name not in existing:
        count = "1 partition" if topic.partitions == 1 else f"{topic.partitions} partitions"
        kept = f"retention.ms {topic.configs['retention.ms']}"
        if topic.configs["cleanup.policy"] == "compact":
            kept = "compacted"
        return Action("topic", topic.name, "created", f"{count}, {kept}")
    if topic.name in details:
        return Action("topic", topic.name, "changed", details[topic.name])
    return Action("topic", topic.name, "unchanged")


def _other_partitions(
    wrong: Sequence[DeclaredTopic], existing: Mapping[str, int]
) -> FieldlineError:
    """The refusal of another number of partitions, with the steps to take."""
    lines = ["Partitions are fixed at creation, since the models' state is kept per partition."]
    for topic in wrong:
        name, has = topic.name, existing[topic.name]
        lines.append(f"Topic {name} has {has}, declared: {topic.partitions}.")
        if name not in (DEAD_LETTER, CHANGELOG, LEDGER, REFILL):
            lines.append(f"  To keep it: set topics.{name}.partitions = {has} in site.toml.")
    lines.append(
        "To have the declared number, the topic must be made anew: stop Telegraf on the "
        "collectors; wait until `fieldline where` shows no lag of stream-model, telegraf-opc and "
        "telegraf-model; stop stream-model and the writer; delete the topic (kafka-topics.sh "
        "--delete --topic NAME); provision again; start them. InfluxDB keeps what has reached it; "
        "records that are only in the topic are lost."
    )
    return FieldlineError("\n".join(lines))
