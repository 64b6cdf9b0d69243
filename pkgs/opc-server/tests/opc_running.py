"""A running service for tests, and what a client hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asyncua import Client, ua
from opc_server.service import Service, Settings


class Running:
    """A service in this event loop, and how to reach it."""

    def __init__(self, directory: Path, plant: Path) -> None:
        self.directory = directory
        self.settings = Settings(
            site=plant,
            server="opc",
            state=directory / "state",
            listen=("127.0.0.1", 0),
            metrics=("127.0.0.1", 0),
            require_time_sync=False,
        )
        self.service = Service(self.settings)
        self.stop = asyncio.Event()
        self.ready = asyncio.Event()
        self.task = asyncio.create_task(self.service.run(self.stop, self.ready.set))

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.service.endpoint.port}/"

    @property
    def http(self) -> str:
        assert self.service.http is not None
        return f"http://127.0.0.1:{self.service.http.port}"

    async def started(self) -> None:
        waiting = asyncio.create_task(self.ready.wait())
        await asyncio.wait({waiting, self.task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert self.ready.is_set(), self.task


class Heard:
    """A subscription's handler; `enough` is set after so many values of each node that count."""

    def __init__(
        self, nodes: int, values: int, counts: Callable[[ua.DataValue], bool] = lambda _: True
    ) -> None:
        self.values: dict[str, list[ua.DataValue]] = {}
        self.enough = asyncio.Event()
        self._wanted = nodes, values
        self._counts = counts

    def datachange_notification(self, node: Any, _value: object, data: Any) -> None:
        self.values.setdefault(node.nodeid.to_string(), []).append(data.monitored_item.Value)
        nodes, values = self._wanted
        counted = [sum(map(self._counts, heard)) for heard in self.values.values()]
        if sum(count >= values for count in counted) >= nodes:
            self.enough.set()


async def hear(client: Client, nodes: list[str], values: int) -> dict[str, list[Any]]:
    """Subscribe until each of the nodes has given so many values."""
    heard = Heard(len(nodes), values)
    subscription = await client.create_subscription(20, heard)
    await subscription.subscribe_data_change(
        [client.get_node(node) for node in nodes], queuesize=100
    )
    await asyncio.wait_for(heard.enough.wait(), 4)
    await subscription.delete()
    return heard.values
