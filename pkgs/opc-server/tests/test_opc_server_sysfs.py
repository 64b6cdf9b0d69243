"""Sensors of Linux: read aside, Bad when they fail, back when they work again."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fieldline.site import Sysfs
from opc_server.sources.sysfs import Readers, SysfsFile, SysfsSource
from opc_server.status import (
    BAD_CONFIGURATION,
    BAD_NO_COMMUNICATION,
    BAD_SENSOR_FAILURE,
    GOOD,
    UNCERTAIN,
)


class Hand:
    """Readers that a test works by hand, in the order it wants."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def submit(self, work: Callable[[], None]) -> None:
        self.waiting.append(work)

    async def work(self) -> None:
        """Do what is waiting, and let the event loop hear of it."""
        waiting, self.waiting = self.waiting, []
        for work in waiting:
            work()
        await asyncio.sleep(0)


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def failures() -> list[None]:
    return []


@pytest.fixture
def sensor(tmp_path: Path) -> Path:
    path = tmp_path / "temp1_input"
    path.write_text("21500\n")
    return path


@pytest.fixture
def source(make_point: Any, hand: Hand, failures: list[None], sensor: Path) -> SysfsSource:
    point = make_point(3, source=Sysfs(str(sensor), 0.001, -1.5))
    return SysfsSource([point], hand, lambda: failures.append(None))  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_a_value_is_scaled_and_belongs_to_its_tick(
    source: SysfsSource, hand: Hand, make_tick: Any, collected: Any
) -> None:
    tick = make_tick(1)
    source.sample(tick, collected)
    assert collected.rows == []
    await hand.work()
    assert collected.rows == [(tick, 3, GOOD, 20.0)]
    assert source.read_once.is_set()


@pytest.mark.asyncio
async def test_a_sensor_that_goes_is_bad_and_recovers(
    source: SysfsSource, hand: Hand, make_tick: Any, collected: Any, sensor: Path, failures: Any
) -> None:
    def revive() -> None:
        sensor.write_text("22500")

    gone = sensor.with_suffix(".gone")
    for second, change in enumerate([lambda: None, lambda: sensor.rename(gone), revive]):
        change()
        source.sample(make_tick(second), collected)
        await hand.work()
    assert collected.statuses == [GOOD, BAD_NO_COMMUNICATION, GOOD]
    assert collected.values[2] == 21.0
    assert len(failures) == 1


@pytest.mark.asyncio
async def test_uncertain_time_makes_uncertain_values(
    source: SysfsSource, hand: Hand, make_tick: Any, collected: Any
) -> None:
    source.sample(make_tick(0, UNCERTAIN), collected)
    await hand.work()
    assert collected.statuses == [UNCERTAIN]


@pytest.mark.asyncio
async def test_a_slow_reading_is_passed_over_then_lost_then_heard_again(
    source: SysfsSource, hand: Hand, make_tick: Any, collected: Any, failures: Any
) -> None:
    for second in range(5):
        source.sample(make_tick(second), collected)
    assert (collected.rows, len(failures), len(hand.waiting)) == ([], 4, 1)
    source.sample(make_tick(5), collected)
    source.sample(make_tick(6), collected)
    assert collected.statuses == [BAD_NO_COMMUNICATION] * 2
    await hand.work()  # What the lost reading gave comes too late: its time is over.
    assert len(collected.rows) == 2
    last = make_tick(7)
    source.sample(last, collected)
    await hand.work()
    assert collected.rows[-1] == (last, 3, GOOD, 20.0)
    times = [row[0].time_ns for row in collected.rows]
    assert times == sorted(set(times))


@pytest.mark.asyncio
async def test_a_first_reading_that_is_given_up_is_bad_once(
    source: SysfsSource, hand: Hand, make_tick: Any, collected: Any
) -> None:
    tick = make_tick(0)
    source.sample(tick, collected)
    source.give_up(tick, collected)
    source.give_up(tick, collected)
    await hand.work()
    assert collected.statuses == [BAD_NO_COMMUNICATION]


@pytest.mark.asyncio
async def test_a_hanging_sensor_does_not_hold_up_the_others(
    make_point: Any, make_tick: Any, collected: Any, sensor: Path, monkeypatch: Any
) -> None:
    released, arrived = threading.Event(), asyncio.Event()
    real = SysfsFile.read

    def read(file: SysfsFile) -> tuple[int, float]:
        if file._source.offset:
            released.wait(4)
        return real(file)

    monkeypatch.setattr(SysfsFile, "read", read)
    points = [
        make_point(0, source=Sysfs(str(sensor), 1.0, 1.0)),
        make_point(1, source=Sysfs(str(sensor), 1.0, 0.0)),
    ]

    def deliver(*row: Any) -> None:
        collected(*row)
        arrived.set()

    source = SysfsSource(points, Readers(2), lambda: None)
    source.sample(make_tick(0), deliver)
    await arrived.wait()
    assert [row[1] for row in collected.rows] == [1]
    arrived.clear()
    released.set()
    await arrived.wait()
    assert [row[1] for row in collected.rows] == [1, 0]


def status_of(path: Path | str) -> int:
    return SysfsFile(Sysfs(str(path), 1.0, 0.0)).read()[0]


@pytest.mark.parametrize("text", ["", "\n", "warm", "nan", "inf", "1 2", "0x10"])
def test_what_is_no_number_is_a_sensor_failure(sensor: Path, text: str) -> None:
    sensor.write_text(text)
    assert status_of(sensor) == BAD_SENSOR_FAILURE


def test_failures_have_their_status(
    tmp_path: Path, sensor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status_of(sensor) == GOOD
    assert status_of(tmp_path / "absent") == BAD_NO_COMMUNICATION
    assert status_of(tmp_path / "absent*" / "x") == BAD_NO_COMMUNICATION
    assert status_of(sensor / "below") == BAD_NO_COMMUNICATION
    assert status_of(tmp_path) == BAD_CONFIGURATION

    def refuse(*_args: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    assert status_of(sensor) == BAD_CONFIGURATION

    def broken(*_args: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", broken)
    assert status_of(sensor) == BAD_SENSOR_FAILURE


def test_a_pattern_is_its_first_match_and_looked_for_anew(tmp_path: Path) -> None:
    def device(name: str, text: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "temp1_input").write_text(text)
        return folder

    device("hwmon2", "2")
    first = device("hwmon1", "1")
    file = SysfsFile(Sysfs(str(tmp_path / "hwmon*" / "temp1_input"), 1.0, 0.0))
    assert file.read() == (GOOD, 1.0)
    device("hwmon0", "0")
    assert file.read() == (GOOD, 1.0)  # As long as it works, it stays.
    first.rename(tmp_path / "gone")
    assert file.read()[0] == BAD_NO_COMMUNICATION
    assert file.read() == (GOOD, 0.0)
