"""`fieldline wait` over a store in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fieldline.errors import FieldlineError
from fieldline.site import load_site
from fieldline.verify.catalogue import catalogue_of
from fieldline.verify.points import no_points
from fieldline.verify.store import Stored
from fieldline.where.wait import Waited, wait_until_fresh

SITE = load_site(Path(__file__).parents[3] / "site.toml")
CATALOGUE = catalogue_of(SITE)
SECOND = 10**9
START = 1_800_000_000 * SECOND


class World:
    """A clock and a store whose newest times a test sets."""

    def __init__(self) -> None:
        self.time = START
        self.values = np.full(3, START - SECOND)
        self.results = np.full(2, START - SECOND)
        self.at_sleep: Callable[[World], None] = lambda _world: None
        self.failing = False
        self.asked = 0

    def now(self) -> int:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += round(seconds * SECOND)
        self.at_sleep(self)

    def newest(self, since: int, until: int) -> tuple[np.ndarray, np.ndarray]:
        self.asked += 1
        if self.failing:
            raise FieldlineError("InfluxDB does not answer", "refused")

        def inside(times: np.ndarray) -> np.ndarray:
            return np.where((times >= since) & (times < until), times, 0)

        return inside(self.values), inside(self.results)

    def values_of(self) -> Stored:
        return Stored(no_points(), [])

    def wait(self, seconds: float = 10.0) -> Waited:
        return wait_until_fresh(
            CATALOGUE,
            lambda: self,
            seconds,
            now=self.now,
            sleep=self.sleep,  # type: ignore[arg-type,return-value]
        )


def test_it_ends_when_the_last_series_is_fresh() -> None:
    world = World()

    def arrive(world: World) -> None:
        world.values[:] = world.time
        if world.time >= START + 2 * SECOND:
            world.results[:] = world.time

    world.at_sleep = arrive
    waited = world.wait()
    assert waited.ok
    assert 2.0 <= waited.seconds < 2.2


def test_a_value_from_the_start_itself_is_not_fresh() -> None:
    world = World()
    world.values[:] = START
    world.results[:] = START
    assert not world.wait(0.5).ok


def test_what_is_missing_is_named_with_its_newest_time() -> None:
    world = World()
    world.values[0] = START + 1
    world.results[:] = START + 1
    world.values[2] = 0
    waited = world.wait(1.0)
    assert not waited.ok
    assert [(m.name, m.newest) for m in waited.missing] == [
        ("Pressure", "2027-01-15T07:59:59.000000000Z"),
        ("SlowSensor", None),
    ]


def test_a_host_that_starts_is_waited_for() -> None:
    world = World()
    world.failing = True

    def start(world: World) -> None:
        if world.time >= START + SECOND:
            world.failing = False
            world.values[:] = world.results[:] = world.time

    world.at_sleep = start
    assert world.wait().ok


def test_a_host_that_never_starts_is_an_error() -> None:
    world = World()
    world.failing = True
    with pytest.raises(FieldlineError, match="does not answer"):
        world.wait(1.0)
    assert world.asked > 5
