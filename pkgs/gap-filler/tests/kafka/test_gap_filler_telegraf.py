"""The contract with Telegraf: what is filled is, byte for byte, what it would have sent.

The real Telegraf, with the settings that `lib/` derives, and the gap filler each bring the same
values of one server to a topic of their own.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from gap_filler_plant import Plant, node
from gap_filler_server import MILLISECOND, write_site
from gap_filler_telegraf import ROOT, telegraf, telegraf_of

pytestmark = pytest.mark.kafka

FLOW, LEVEL = ("pump1", "Flow"), ("pump1", "Level")
V = ua.VariantType
VALUES: list[Any] = [
    ua.Variant(value, kind)
    for value, kind in [
        (20.0, V.Double),
        (-0.0, V.Double),
        (0.1 + 0.2, V.Double),
        (1e21, V.Double),
        (1.5e-7, V.Double),
        (0.00001, V.Double),
        (123456789012345680.0, V.Double),
        (5e-324, V.Double),
        (1.7976931348623157e308, V.Double),
        (float("nan"), V.Double),
        (float("inf"), V.Double),
        (0.1, V.Float),
        (True, V.Boolean),
        (-128, V.SByte),
        (255, V.Byte),
        (-32768, V.Int16),
        (65535, V.UInt16),
        (-(2**31), V.Int32),
        (2**32 - 1, V.UInt32),
        (-(2**63), V.Int64),
        (2**64 - 1, V.UInt64),
        ('say "5 < 6 & 7 > 6"\n\t\x01\u2028é', V.String),
        ("", V.String),
        (b"bytes", V.ByteString),
        (datetime(2026, 1, 2, 3, 4, 5, 678900, UTC), V.DateTime),
        (datetime(2026, 1, 2, tzinfo=UTC), V.DateTime),
        ([1.5, 2.0], V.Double),
        (["a", "b"], V.String),
        ([True, False], V.Boolean),
        (None, V.Null),
        (ua.NodeId.from_string("ns=2;s=x"), V.NodeId),
        (ua.LocalizedText("text"), V.LocalizedText),
    ]
]


def statuses() -> list[int]:
    """Those that Telegraf is told to pass on, and Good."""
    return [0, *(int(code, 16) for code in settings()["additional_valid_status_codes"])]


def settings() -> dict[str, Any]:
    [listener] = telegraf_of(ROOT / "site.toml", "collector")["inputs"]["opcua_listener"]
    found: dict[str, Any] = listener["workarounds"]
    return found


async def test_filled_records_are_telegrafs_byte_for_byte(
    plants: Callable[..., Any], tmp_path: Path
) -> None:
    live, filled = await plants(1), await plants(1)
    # A bad value is null (OPC UA Part 4, 7.11.1).
    samples = [(value, 0) for value in VALUES] + [
        (ua.Variant(None) if status >= 0x80000000 else 1.5 + place, status)
        for place, status in enumerate(statuses())
    ]
    site = write_site(tmp_path, live.server.endpoint, pumps=1)
    begin = time.time_ns() // MILLISECOND * MILLISECOND
    # All that is written, however fast.
    monitoring = {"queue_size": 10_000, "sampling_interval": "0s"}
    with telegraf(tmp_path, site, "all", live.bootstrap, live.topic("opc"), monitoring):
        # It has subscribed when the first values are there.
        async with asyncio.timeout(60):
            while not await live.records():
                pass
        for place, (value, status) in enumerate(samples):
            for variable in (FLOW, LEVEL):
                moment = begin + place * MILLISECOND
                await live.server.write(node(*variable), (moment, value, status))
        wanted = {(n, t) for n, rows in live.server.history.samples.items() for t, _, _ in rows}
        found = await collected(live, wanted)
    filled.server.history.samples = live.server.history.samples
    await filled.start()
    await filled.until(lambda: filled.metric("filled_values_total", server="plc") >= len(wanted))
    again = of(await filled.records())
    assert again.keys() == wanted
    for identity in sorted(wanted):
        assert again[identity] == found[identity]


async def collected(plant: Plant, wanted: set[tuple[str, int]]) -> dict[tuple[str, int], Any]:
    """Telegraf's records, when all are there."""
    end = time.monotonic() + 60
    while True:
        found = of(await plant.records())
        missing = wanted - found.keys()
        if not missing:
            return found
        assert time.monotonic() < end, (
            f"Telegraf has not sent {sorted(missing)} of {sorted(wanted)}"
        )
        await asyncio.sleep(0.05)


def of(records: list[Any]) -> dict[tuple[str, int], Any]:
    """Everything about a record, by the node and source time that it is of."""
    found = {}
    for record in records:
        value = json.loads(record.value)
        identity = (value["tags"]["id"], value["timestamp"])
        found[identity] = (record.value, record.key, record.partition, list(record.headers))
    return found
