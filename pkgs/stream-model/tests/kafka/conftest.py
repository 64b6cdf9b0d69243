"""One real Kafka for all tests here; each test has topics of its own on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from stream_model_instance import SITE, Instance
from stream_model_kafka import KafkaCluster, RealKafka


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    server = RealKafka(tmp_path_factory.mktemp("kafka"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def cluster(kafka: RealKafka) -> AsyncIterator[KafkaCluster]:
    made = KafkaCluster(kafka.address)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def instances(tmp_path: Path) -> AsyncIterator[Callable[..., Instance]]:
    made: list[Instance] = []

    def make(cluster: KafkaCluster, site: Path = SITE) -> Instance:
        folder = tmp_path / f"instance{len(made)}"
        folder.mkdir()
        made.append(Instance(cluster, folder, site))
        return made[-1]

    yield make
    for instance in made:
        instance.close()
