"""Which transactions the broker holds open."""

from __future__ import annotations

import asyncio

from aiokafka.admin import AIOKafkaAdminClient
from fieldline.provision.transactions import ONGOING, held


def ongoing(bootstrap: str) -> list[str]:
    """The transactional ids with an open transaction; to be called where the broker is reached."""

    async def ask() -> list[str]:
        client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await client.start()
        try:
            return list(await held(client, [ONGOING]))
        finally:
            await client.close()

    return asyncio.run(ask())
