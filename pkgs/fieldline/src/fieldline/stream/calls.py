"""Calls of aiokafka, and what the broker interface makes of their errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    InvalidProducerEpoch,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    ProducerFenced,
)

from fieldline.service import ServiceError
from fieldline.stream.broker import MovedError, UnavailableError
from fieldline.stream.transaction import REQUEST_S

T = TypeVar("T")


class UnsoughtError(Exception):
    """The client looked by itself where to read a partition that has just been assigned."""


class Calls:
    """Awaits calls of a member's clients.

    Args:
        servers: Kafka's addresses, for the messages.
        topic: the input.
    """

    def __init__(self, servers: str, topic: str) -> None:
        # Partitions for which it was said where to read, since they were assigned.
        self.sought: set[int] = set()
        self._servers = servers
        self._topic = topic

    async def ask(self, request: Awaitable[T]) -> T:
        """Await a request.

        Raises:
            MovedError, UnavailableError, ServiceError: as in `broker.Broker`.
            UnsoughtError: nobody has said yet where to read.
        """
        try:
            return await asyncio.wait_for(request, 2 * REQUEST_S)
        except IllegalStateError as error:
            raise MovedError from error
        except (CommitFailedError, ProducerFenced, InvalidProducerEpoch) as error:
            # Another member has the partition by now; it repeats what we could not commit.
            raise UnavailableError(
                "Another member of the consumer group has taken our partitions over while we were "
                "at work (were we stopped for a while?). Joining again, without our state.",
                repr(error),
            ) from error
        except NoOffsetForPartitionError as error:
            raise UnsoughtError from error
        except OffsetOutOfRangeError as error:
            if not any(tp.partition in self.sought for tp in error.args[0]):
                raise UnsoughtError from error
            raise UnavailableError(
                f"Topic {self._topic} has lost records that were to be read next. Joining "
                "again, to find where it goes on.",
                repr(error),
            ) from error
        except (TimeoutError, OSError) as error:
            raise self.lost(repr(error)) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not we are cancelled but a task of the client's, which passes it on.
            raise self.lost(repr(error)) from error
        except KafkaError as error:
            # Plain, it is the client's word for what it did not expect; a refusal has a name.
            if error.retriable or type(error) is KafkaError:
                raise self.lost(repr(error)) from error
            raise ServiceError(
                "Kafka refuses what we ask of it, and asking again cannot help: compare its "
                "version, its access rules and the topics' settings with the site.",
                repr(error),
            ) from error

    def lost(self, cause: str) -> UnavailableError:
        """The error that says that Kafka does not answer."""
        return UnavailableError(
            f"Kafka at {self._servers} cannot be reached. Waiting for it; look at apache-kafka on "
            "its host and at the network between.",
            cause,
        )
