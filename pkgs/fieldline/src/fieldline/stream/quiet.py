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
from aiokafka.producer.message_accumulator import MessageBatch

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
            return not _raised_in_better_words(record.exc_info[1])
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


def _raised_in_better_words(error: BaseException | None) -> bool:
    # aiokafka 0.14 takes a batch that was to be sent again out of its set twice, where the producer
    # has been fenced meanwhile; whoever waits for the batch has got ProducerFenced.
    sent_again = isinstance(error, KeyError) and any(
        isinstance(a, MessageBatch) for a in error.args
    )
    return sent_again or isinstance(error, KafkaError)
