"""Run on the database host: all that a backup keeps, as JSON, to be compared with another time.

Values, results and their times by hash; offsets of topics and groups; users, rights and tokens.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from fieldline.influx import InfluxClient
from fieldline.influx.bulk import flux_range, read_runs
from fieldline.site import load_site

SITE = load_site(Path("/etc/fieldline/site.toml"))
TOKENS = Path("/var/lib/influxdb-provision")
TOPICS = ("opc", "model", "model.changelog")
GROUPS = ("telegraf-opc", "telegraf-model", "stream-model")
BROKER = f"{SITE.hosts['db'].address}:{SITE.kafka.port}"


def stored(until: int) -> dict[str, list[Any]]:
    """Each series' number of points up to a time, ns, and a hash of them."""
    client = InfluxClient("http://127.0.0.1:8086", (TOKENS / "influxdb-reader-token").read_text())
    kinds = {"opc_server": ("_field", "asset", "id"), "model": ("_field", "asset", "name")}
    found: dict[str, list[Any]] = {}
    for measurement, labels in kinds.items():
        flux = (
            f"{flux_range(SITE.influxdb.bucket, 0, until)}"
            f' |> filter(fn: (r) => r._measurement == "{measurement}")'
        )
        for texts in (False, True):
            condition = "==" if texts else "!="
            of_kind = f'{flux} |> filter(fn: (r) => r._field {condition} "Quality")'
            for run in read_runs(client, "devorg", of_kind, labels, texts=texts):
                held = found.setdefault(" ".join((measurement, *run.labels)), [0, ""])
                data = run.time.tobytes() + run.values.tobytes() + "\n".join(run.texts).encode()
                held[0] += len(run.time)
                held[1] = hashlib.sha256(held[1].encode() + data).hexdigest()
    return found


async def offsets() -> dict[str, Any]:
    """Where values, results and the stream model's state end, and where their readers are."""
    admin = AIOKafkaAdminClient(bootstrap_servers=BROKER)
    consumer = AIOKafkaConsumer(bootstrap_servers=BROKER)
    await admin.start()
    await consumer.start()
    try:
        topics = [t for t in await admin.describe_topics() if t["topic"] in TOPICS]
        parts = [
            TopicPartition(t["topic"], p["partition"]) for t in topics for p in t["partitions"]
        ]
        ends = await consumer.end_offsets(parts)
        groups = {}
        for name in GROUPS:
            held = await admin.list_consumer_group_offsets(name)
            groups[name] = {f"{p.topic}-{p.partition}": o.offset for p, o in held.items()}
        return {"ends": {f"{p.topic}-{p.partition}": o for p, o in ends.items()}, "groups": groups}
    finally:
        await consumer.stop()
        await admin.close()


def rights() -> dict[str, Any]:
    """Who may do what, with the tokens themselves, by hash."""
    token = Path("/run/secrets/influxdb-admin-token").read_text().strip()
    client = InfluxClient("http://127.0.0.1:8086", token)
    asked = {
        name: client.json("GET", f"/api/v2/{name}")[name]
        for name in ("users", "orgs", "buckets", "authorizations")
    }
    files = {path.name: path.read_text() for path in sorted(TOKENS.iterdir())}
    text = json.dumps([asked, files], sort_keys=True)
    return {
        "users": [user["name"] for user in asked["users"]],
        "tokens": sorted(a["description"] for a in asked["authorizations"]),
        "hash": hashlib.sha256(text.encode()).hexdigest(),
    }


json.dump({"stored": stored(int(sys.argv[1])), **asyncio.run(offsets()), **rights()}, sys.stdout)
