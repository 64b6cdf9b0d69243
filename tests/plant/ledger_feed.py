"""What a test puts into Kafka and InfluxDB of a running lab, as the plant's own programs would."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Sequence

from fieldline.arguments import iso
from fieldline.influx.layout import GOOD_QUALITY
from fieldline.messages.ledger import LedgerRecord, LedgerTags, encode_ledger
from fieldline_lab.lab import Lab
from fieldline_lab.programs import OPT

_PRODUCE = f"""
import asyncio, sys
sys.path.insert(0, "{OPT}/packages")
from aiokafka import AIOKafkaProducer

async def main(bootstrap, topic):
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        sent = [await producer.send(topic, l.encode(), partition=0) for l in sys.stdin if l.strip()]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()

asyncio.run(main(*sys.argv[1:]))
"""

_CONSUME = f"""
import asyncio, sys
sys.path.insert(0, "{OPT}/packages")
from aiokafka import AIOKafkaConsumer

async def main(bootstrap, topic, count):
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        for _ in range(int(count)):
            print((await consumer.getone()).value.decode(), flush=True)
    finally:
        await consumer.stop()

asyncio.run(main(*sys.argv[1:]))
"""

BOOTSTRAP = "192.168.0.10:9092"


def produce(lab: Lab, topic: str, records: Iterable[str]) -> None:
    """Write records to a topic, and return when Kafka has them."""
    command = [f"{OPT}/venv/bin/python", "-c", _PRODUCE, BOOTSTRAP, topic]
    lab.hosts["db"].exec(command, input="\n".join(records), check=True, timeout=60)


def consume(lab: Lab, topic: str, count: int, seconds: float = 120) -> list[str]:
    """The first records of a topic, waiting until there are so many."""
    command = [f"{OPT}/venv/bin/python", "-c", _CONSUME, BOOTSTRAP, topic, str(count)]
    done = lab.hosts["db"].exec(command, check=True, timeout=seconds)
    return done.stdout.splitlines()


def values(variable: str, node: str, times: Sequence[int]) -> list[str]:
    """Values as Telegraf writes them to `opc`."""
    return [
        json.dumps(
            {
                "fields": {variable: 20.5, "Quality": GOOD_QUALITY},
                "name": "opc_server",
                "tags": {"asset": "Sensors", "id": node},
                "timestamp": time,
            }
        )
        for time in times
    ]


def history(variable: str, hour: int, produced: int, received: int | None = None) -> str:
    """Counts as the gap filler tells them on `opc.ledger`."""
    received = produced if received is None else received
    counts = {"produced": produced, "received": received, "missing": produced - received}
    counts |= dict.fromkeys(("filled", "late", "doubled"), 0)
    return encode_ledger(LedgerRecord(LedgerTags("Sensors", variable), counts, hour)).decode()


def influxdb(lab: Lab, path: str, body: object, token: str) -> str:
    """POST to InfluxDB with a token that a file on its host holds."""
    db = lab.hosts["db"]
    text = db.exec(["cat", token], check=True).stdout.strip()
    port = lab.status()["hosts"]["db"]["forwards"]["influxdb"]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Token {text}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: str = answer.read().decode()
    return found


def delete(lab: Lab, node: str, since: int, until: int) -> None:
    """Delete what InfluxDB holds of a variable in [since, until)."""
    # The end is deleted, too.
    body = {"start": iso(since), "stop": iso(until - 1), "predicate": f'id="{node}"'}
    path = "/api/v2/delete?org=devorg&bucket=dev"
    influxdb(lab, path, body, "/run/secrets/influxdb-admin-token")
