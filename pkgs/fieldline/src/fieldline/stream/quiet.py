"""Keeps the Kafka client from filling the log.

Without a broker it writes some hundred lines a second, from a handful of sentences. Each sentence
is let through once a minute; while the service itself has said that it waits for Kafka, none is.
What is no news at all, none ever is: a broker's answers that are normal between two transactions,
and errors of the client's own tasks, which the broker interface has raised in better words.
"""

from __future__ import annotations

import logging
import time

from aiokafka.errors import KafkaError, NotEnoughReplicasError

_PAUSE_S = 60.0
# A broker answers so until it has added the partition to the transaction (KIP-890).
_RETRIED = "Got error produce response"


class Quiet(logging.Filter):
    """A filter for handlers; it judges only records of aiokafka and of asyncio about it.

    waiting: Kafka is known to be away; set by the service.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting = False
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        text = str(record.msg)
        if record.name == "asyncio" and record.exc_info:
            return not isinstance(record.exc_info[1], KafkaError)
        if text.startswith(_RETRIED) and isinstance(record.args, tuple):
            return NotEnoughReplicasError not in record.args
        if not record.name.startswith("aiokafka") and "AIOKafka" not in text:
            return True
        if self.waiting:
            return False
        # The sentence before its arguments; where those are in it already, its beginning.
        sentence = text[:30]
        now = time.monotonic()
        if now - self._said.get(sentence, -_PAUSE_S) < _PAUSE_S:
            return False
        self._said[sentence] = now
        return True
