"""What the tests of opc-server share: a clock that tests move, points, sites."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fieldline.site import RandomWalk
from opc_server.opcua import node_id
from opc_server.points import Point
from opc_server.sources import Tick
from opc_server.status import GOOD


class EndError(Exception):
    """A test's clock has come to its end."""


class TestClock:
    """A clock that jumps to whatever is slept for, plus what `late` says, and ends at `end_ns`."""

    __test__ = False

    def __init__(self) -> None:
        self.now = 5_000_000_000
        self.wall_offset = 1_700_000_000_000_000_000
        self.late: Callable[[], int] = lambda: 0
        self.end_ns = 0

    def monotonic_ns(self) -> int:
        return self.now

    def wall_ns(self) -> int:
        return self.now + self.wall_offset

    async def sleep_until(self, monotonic_ns: int) -> None:
        self.now = max(self.now, monotonic_ns) + self.late()
        await asyncio.sleep(0)
        if self.now > self.end_ns:
            raise EndError


class Collected:
    """Takes what sources deliver."""

    def __init__(self) -> None:
        self.rows: list[tuple[Tick, int, int, float]] = []

    def __call__(self, tick: Tick, indices: Any, statuses: Any, values: Any) -> None:
        for index, status, value in zip(indices, statuses, values, strict=True):
            self.rows.append((tick, int(index), int(status), float(value)))

    @property
    def values(self) -> list[float]:
        return [row[3] for row in self.rows]

    @property
    def statuses(self) -> list[int]:
        return [row[2] for row in self.rows]


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def clock_end() -> type[Exception]:
    return EndError


@pytest.fixture
def collected() -> Collected:
    return Collected()


@pytest.fixture
def make_point() -> Callable[..., Point]:
    def make(index: int = 0, **changes: Any) -> Point:
        fields: dict[str, Any] = {
            "index": index,
            "asset": f"press{index}",
            "variable": "Temperature",
            "node": node_id(index + 1, 2),
            "unit": "°C",
            "range": None,
            "period_ns": 1_000_000_000,
            "source": RandomWalk(1.0, 0.0),
        }
        return Point(**(fields | changes))

    return make


@pytest.fixture
def make_tick() -> Callable[..., Tick]:
    def make(seconds: float, good: int = GOOD, period_s: float = 1.0) -> Tick:
        elapsed = round(seconds * 1e9)
        return Tick(1_700_000_000_000_000_000 + elapsed, elapsed, round(period_s * 1e9), good)

    return make


class FixedSource:
    """A source of one point whose value counts its ticks."""

    def __init__(self, index: int = 0, status: int | None = None) -> None:
        self.indices = np.array([index], np.intp)
        self.status = status
        self.ticks: list[Tick] = []

    def sample(self, tick: Tick, deliver: Any) -> None:
        self.ticks.append(tick)
        status = tick.good if self.status is None else self.status
        deliver(
            tick, self.indices, np.array([status], np.uint32), np.array([float(len(self.ticks))])
        )


@pytest.fixture
def make_source() -> Callable[..., FixedSource]:
    return FixedSource


SITE = """
schema = 1
[network]
gateway = "192.168.0.1"
nameservers = ["192.168.0.1"]
prefix = 24
[hosts.opc]
address = "192.168.0.5"
platforms = ["vbox"]
roles = ["opc-server", "collector", "kafka", "writer", "influxdb"]
[servers.opc]
host = "opc"
seed = 7
[servers.plc]
endpoint = "opc.tcp://192.168.0.77:4840"
namespace = 3
[topics.opc]
[topics.model]
[influxdb]
organization = "o"
bucket = "b"
user = "u"
"""


@pytest.fixture(scope="session")
def write_site() -> Callable[[Path, str], Path]:
    """Write a site with one server `opc` and the given types and assets."""

    def write(directory: Path, plant: str) -> Path:
        path = directory / "site.toml"
        path.write_text(SITE + plant)
        return path

    return write
