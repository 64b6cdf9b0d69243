"""The real broker keeps the contract."""

from __future__ import annotations

import pytest
from stream_model.broker import UnavailableError
from stream_model_contract import Contract
from stream_model_kafka import KafkaCluster, RealKafka, free_ports

pytestmark = pytest.mark.kafka


class TestKafka(Contract):
    async def test_no_broker_is_unavailable(self) -> None:
        (port,) = free_ports(1)
        broker = KafkaCluster(f"127.0.0.1:{port}").member()
        with pytest.raises(UnavailableError, match="cannot be reached"):
            await broker.open()
        await broker.close()

    async def test_missing_topics_are_named(self, kafka: RealKafka) -> None:
        missing = KafkaCluster(kafka.address)
        broker = missing.member()
        with pytest.raises(UnavailableError) as error:
            await broker.open()
        await broker.close()
        for name in missing.settings.topics:
            assert name in str(error.value)
