"""Keeps the Kafka client from filling the log.

Without a broker it writes some hundred lines a second, from a handful of sentences. Each sentence
is let through once a minute; while the service itself has said that it waits for Kafka, none is.
"""

from __future__ import annotations

import logging
import time

_PAUSE_S = 60.0


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
