"""The same job with aiokafka, one message at a time and at least once: what is written first.

python plain.py ADDRESS INPUT OUTPUT GROUP
"""

import asyncio
import json
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

VARIABLES = ("Temperature", "Pressure", "SlowSensor")


async def main(address: str, source: str, target: str, group: str) -> None:
    """Work until the process is ended."""
    consumer = AIOKafkaConsumer(
        source, bootstrap_servers=address, group_id=group, auto_offset_reset="earliest"
    )
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all")
    await consumer.start()
    await producer.start()
    known: dict[str, dict[str, float]] = {}
    async for message in consumer:
        record = json.loads(message.value)
        asset, time = record["tags"]["asset"], record["timestamp"]
        state = known.setdefault(asset, {})
        state.update({k: v for k, v in record["fields"].items() if k in VARIABLES})
        if len(state) < len(VARIABLES):
            continue
        values = [abs(state[name]) for name in VARIABLES]
        product = values[0] * values[1] * values[2]
        for name, value in (("model1", sum(values) / 3), ("model2", product ** (1 / 3))):
            result = {"name": name, "value": value, "timestamp": time, "asset": asset}
            await producer.send_and_wait(target, json.dumps(result).encode(), message.key)


asyncio.run(main(*sys.argv[1:]))
