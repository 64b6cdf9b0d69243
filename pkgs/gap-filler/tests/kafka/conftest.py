"""One real Kafka for all tests here; each test has topics of its own on it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gap_filler_plant import Plant

_numbers = itertools.count()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    # The same broker as the stream model's tests have; only where these run is it needed.
    sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "stream-model/tests"))
    from stream_model_kafka import RealKafka

    server = RealKafka(tmp_path_factory.mktemp("kafka"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def plants(kafka: Any, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    made: list[Plant] = []

    async def make(pumps: int = 2) -> Plant:
        plant = Plant(kafka.address, tmp_path, f"test{next(_numbers)}", pumps)
        made.append(plant)
        await plant.open()
        return plant

    yield make
    for plant in made:
        await plant.close()
