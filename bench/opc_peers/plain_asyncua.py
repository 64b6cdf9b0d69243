"""asyncua's stock server, which writes each value by itself: PORT COUNT:PERIOD_MS ...

Group g has COUNT variables, ten to an object, whose ids are ns=2;s=gGaA.vN. Each gets another
value at each tick, all values of a tick one source time. It prints "ready", then a line for each
tick: its time in ns since 1970 and how many values it had. SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import Server, ua

PER_OBJECT = 10
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Subscriptions get a turn after so many writes.
PIECE = 500


async def add(server: Server, number: int, count: int) -> list[Any]:
    """The ids of a group's variables, made as asyncua's examples make them."""
    made: list[Any] = []
    parent: Any = None
    for index in range(count):
        name = f"g{number}a{index // PER_OBJECT}"
        if index % PER_OBJECT == 0:
            parent = await server.nodes.objects.add_object(f"ns=2;s={name}", f"2:{name}")
        variable = f"{name}.v{index % PER_OBJECT}"
        node = await parent.add_variable(f"ns=2;s={variable}", f"2:{variable}", 0.0)
        made.append(node.nodeid)
    return made


@dataclass
class Group:
    """Variables of one period; `turn`: how many periods had passed when they ticked last."""

    period_ms: int
    nodes: list[Any]
    turn: int = -1


async def tick(server: Server, groups: list[Group], elapsed_ms: int) -> None:
    """Write what is due. `write_attribute_value` is the quickest that asyncua offers for it."""
    now_us = time.time_ns() // 1000
    source: Any = EPOCH + timedelta(microseconds=now_us)
    written = 0
    for group in groups:
        if elapsed_ms // group.period_ms == group.turn:
            continue
        group.turn = elapsed_ms // group.period_ms
        for index, node in enumerate(group.nodes):
            variant = ua.Variant(elapsed_ms + index / 1000, ua.VariantType.Double)
            value = ua.DataValue(variant, SourceTimestamp=source)
            await server.write_attribute_value(node, value)
            if index % PIECE == 0:
                await asyncio.sleep(0)
        written += len(group.nodes)
    if written:
        print(now_us * 1000, written, flush=True)


async def main() -> None:
    """Serve until SIGTERM."""
    port, *texts = sys.argv[1:]
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    if await server.register_namespace("urn:fieldline:bench") != 2:
        sys.exit("the namespace has another index")
    groups = []
    for number, text in enumerate(texts):
        count, period_ms = map(int, text.split(":"))
        groups.append(Group(period_ms, await add(server, number, count)))
    base_ms = min(group.period_ms for group in groups)
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    await tick(server, groups, 0)
    async with server:
        print("ready", flush=True)
        origin, number = time.monotonic(), 0
        while not stop.is_set():
            # A grid: a tick that comes late is one tick, and the next one is on the grid again.
            passed_ms = 1000 * (time.monotonic() - origin)
            number = max(number + 1, -int(-passed_ms // base_ms))
            await asyncio.sleep(number * base_ms / 1000 - passed_ms / 1000)
            await tick(server, groups, number * base_ms)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(main())
