"""Kafka: topics as declared; groups that read, with nothing lost between them and the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from fieldline.doctor.context import Context
from fieldline.doctor.finding import Finding
from fieldline.errors import FieldlineError
from fieldline.provision.kafka_admin import KafkaAdmin, connect
from fieldline.provision.topics import DeclaredTopic, declared_topics, differing
from fieldline.remote.offsets import GROUPS

_SECONDS = 6.0
# So many seconds of the declared rate may wait before it is worth a word.
_LAG_SECONDS = 60.0
_PROVISION = "On Kafka's host: `systemctl restart kafka-provision` makes it as declared."


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group: how many members it has, and how far it has read."""

    members: int
    committed: Mapping[tuple[str, int], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Broker:
    """What a broker tells.

    Attributes:
        partitions, configs: of the topics that exist, by name.
        begins, ends: of their partitions, (topic, number) to offset.
        groups: of those that exist, by name.
    """

    partitions: Mapping[str, int]
    configs: Mapping[str, Mapping[str, str]]
    begins: Mapping[tuple[str, int], int]
    ends: Mapping[tuple[str, int], int]
    groups: Mapping[str, Group]


def kafka(context: Context) -> Iterator[Finding]:
    """Topics and consumer groups."""
    if not context.may_ask_kafka:
        yield Finding("Kafka", "skipped", "its firewall does not let this host in")
        return
    declared = declared_topics(context.site)
    try:
        broker = asyncio.run(asyncio.wait_for(read_broker(context.bootstrap, declared), _SECONDS))
    except (TimeoutError, KafkaError, OSError, FieldlineError) as error:
        what = error.what_to_do if isinstance(error, FieldlineError) else f"{error}"
        text = "it does not answer"
        remedy = what or "See `systemctl status apache-kafka` on its host."
        yield Finding("Kafka", "failed", text, remedy)
        return
    yield from topics(broker, declared)
    rate = sum(
        1000 / variable.period_ms
        for asset in context.site.assets
        for variable in context.site.types[asset.type].variables.values()
    )
    yield from groups(broker, rate)


def topics(broker: Broker, declared: Sequence[DeclaredTopic]) -> Iterator[Finding]:
    """Each topic exists, with the declared partitions and settings."""
    for topic in declared:
        subject = f"topic {topic.name}"
        count = broker.partitions.get(topic.name)
        if count is None:
            yield Finding(subject, "failed", "it does not exist", _PROVISION)
            continue
        if count != topic.partitions:
            text = f"it has {count} partitions, declared: {topic.partitions}"
            remedy = "`journalctl -u kafka-provision` on Kafka's host has the steps."
            yield Finding(subject, "failed", text, remedy)
            continue
        now = broker.configs.get(topic.name, {})
        wrong = differing(topic, now)
        if wrong:
            text = ", ".join(
                f"{key} is {now.get(key, 'not set')}, declared: {value}"
                for key, value in wrong.items()
            )
            yield Finding(subject, "failed", text, _PROVISION)
        else:
            yield Finding(subject, "ok", f"{count} partitions, settings as declared")


def groups(broker: Broker, rate: float) -> Iterator[Finding]:
    """Each group exists, has members, keeps up, and its offsets lie within the log.

    Args:
        rate: values per second that the site declares.
    """
    for name, topic in GROUPS.items():
        subject = f"group {name}"
        # Our services' groups have their names; the others are Telegraf's.
        unit = "telegraf" if name.startswith("telegraf-") else name
        group = broker.groups.get(name)
        if not any(end for (of, _), end in broker.ends.items() if of == topic):
            yield Finding(subject, "ok", f"topic {topic} is empty")
            continue
        if group is None or not group.committed:
            text = "it has not read anything yet"
            remedy = f"See `systemctl status {unit}` on its host."
            yield Finding(subject, "failed", text, remedy)
            continue
        ours = {key: at for key, at in group.committed.items() if key[0] == topic}
        beyond = [n for (t, n), at in ours.items() if at > broker.ends.get((t, n), at)]
        if beyond:
            text = f"its offset lies beyond the end of the log, in partition {_listed(beyond)}"
            remedy = (
                "The topic was made anew, or its end was lost. The reader finds by itself where "
                f"to go on: `journalctl -u {unit}` on its host, docs/recovery.md."
            )
            yield Finding(subject, "failed", text, remedy)
            continue
        lost = [n for (t, n), at in ours.items() if at < broker.begins.get((t, n), 0)]
        if lost:
            text = (
                f"retention has removed records that it had not read, in partition {_listed(lost)}"
            )
            remedy = f"Raise topics.{topic}.retention in site.toml, or repair the reader sooner."
            yield Finding(subject, "failed", text, remedy)
            continue
        numbers = range(broker.partitions.get(topic, 0))
        lag = sum(broker.ends.get((topic, n), 0) - ours.get((topic, n), 0) for n in numbers)
        if not group.members:
            text = f"nobody reads; {lag} records wait"
            yield Finding(subject, "failed", text, f"`systemctl start {unit}` on its host.")
        elif lag > _LAG_SECONDS * rate:
            text = f"{lag} records wait, more than come in a minute"
            remedy = f"See load and `journalctl -u {unit}` on its host."
            yield Finding(subject, "warning", text, remedy)
        else:
            yield Finding(subject, "ok", f"{group.members} member(s), {lag} records wait")


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


async def read_broker(bootstrap: str, declared: Sequence[DeclaredTopic]) -> Broker:
    """Ask a broker for all of it.

    Raises:
        KafkaError, OSError, FieldlineError: it does not answer, or refuses.
    """
    client = await connect(bootstrap, 0.0, lambda _passed, _cause: None)
    try:
        admin = KafkaAdmin(client)
        partitions = await admin.partitions([topic.name for topic in declared])
        configs = await admin.configs(list(partitions)) if partitions else {}
        found = {name: await _group(client, name) for name in GROUPS}
    finally:
        await client.close()
    begins, ends = await _bounds(bootstrap, partitions)
    known = {name: group for name, group in found.items() if group is not None}
    return Broker(partitions, configs, begins, ends, known)


async def _group(client: AIOKafkaAdminClient, name: str) -> Group | None:
    try:
        coordinator: int = await client.find_coordinator(name)
        offsets = await client.list_consumer_group_offsets(name, coordinator)
        described: list[Any] = await client.describe_consumer_groups([name], coordinator)
    except KafkaError:
        # A new broker has no coordinator until the first group comes.
        return None
    members = sum(
        len(group["members"]) for answer in described for group in answer.to_object()["groups"]
    )
    committed = {(tp.topic, tp.partition): o.offset for tp, o in offsets.items() if o.offset >= 0}
    return Group(members, committed)


async def _bounds(
    bootstrap: str, partitions: Mapping[str, int]
) -> tuple[dict[tuple[str, int], int], dict[tuple[str, int], int]]:
    """Where the log of each partition begins and ends."""
    all_of_it = [TopicPartition(t, n) for t, count in partitions.items() for n in range(count)]
    if not all_of_it:
        return {}, {}
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None)
    await consumer.start()
    try:
        begins = await consumer.beginning_offsets(all_of_it)
        ends = await consumer.end_offsets(all_of_it)
    finally:
        await consumer.stop()
    return (
        {(tp.topic, tp.partition): offset for tp, offset in begins.items()},
        {(tp.topic, tp.partition): offset for tp, offset in ends.items()},
    )
