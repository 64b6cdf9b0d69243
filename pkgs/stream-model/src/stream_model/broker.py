"""What the loop needs of Kafka, as a small interface: consume, seek, deliver.

`kafka.KafkaBroker` is the real one, `memory.MemoryBroker` one for tests; both pass the same
contract tests. `deliver` is the only place where something leaves the service: it puts results and
dead letters out and moves the group's offsets, in this order (at least once). A transactional
broker does the same in one transaction per input partition, behind the same method.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from fieldline.errors import FieldlineError
from fieldline.messages import Headers


class Record(Protocol):
    """A record as it was read; timestamp in ms since 1970."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int:
        """The record's own time (not the source time of what is in it)."""

    @property
    def key(self) -> bytes | None:
        """The key's bytes."""

    @property
    def value(self) -> bytes | None:
        """The value's bytes."""


class DeadLetter(NamedTuple):
    """A record for the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(slots=True)
class Delivery:
    """What came of the records of one partition up to (not including) `next_offset`.

    results: key and value of each; their header is the format's. (Bare tuples: making objects with
        names was a third of the service's work.)
    """

    next_offset: int
    results: list[tuple[bytes, bytes]] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Poll:
    """Records per partition, each in order of offsets.

    generation: of the assignment when the poll began; records of an older one must be dropped.
    reached: the broker has answered since the last poll, even if it had nothing.
    """

    generation: int
    records: Mapping[int, Sequence[Record]]
    reached: bool


class UnavailableError(FieldlineError):
    """Kafka, or something that is needed there, is not there now; open a new session later."""


class MovedError(Exception):
    """The partitions asked for are not assigned any more; look at the assignment again."""


class Broker(Protocol):
    """One member of the consumer group, from `open` to `close`.

    All methods but `close` raise `UnavailableError` when the session is lost, `ServiceError` when
    no retry can help, and `MovedError` when a partition they name is not assigned any more.
    """

    @property
    def busy(self) -> asyncio.Lock:
        """Held while records are worked on and delivered: a revocation waits for it."""

    @property
    def generation(self) -> int:
        """Rises with each revocation and each assignment; 0 at first."""

    @property
    def assignment(self) -> frozenset[int] | None:
        """The input partitions that are ours now; None while the group shares them out."""

    async def open(self) -> None:
        """Connect, check that the topics are there, join the group."""

    async def close(self) -> None:
        """Leave the group; never raises, and ends within 2 s."""

    async def poll(self, timeout_s: float, max_records: int) -> Poll:
        """Give the next records, or none after the timeout."""

    async def committed(self, partition: int) -> int | None:
        """The group's offset: of the next record to work on; None if there is none yet."""

    async def beginning(self, partition: int) -> int:
        """The first offset that the log still has."""

    async def offset_at(self, partition: int, timestamp_ms: int) -> int | None:
        """The first offset with a record of this time or later; None if there is none."""

    async def before(self, partition: int, offset: int, count: int) -> Sequence[Record]:
        """About the last `count` records before an offset, fewer where there are not so many.

        It moves the partition's position: `seek` afterwards.
        """

    def seek(self, partition: int, offset: int) -> None:
        """Read on from there."""

    def lag(self, partition: int, next_offset: int) -> int:
        """How many records there are from `next_offset` on, as far as known."""

    async def deliver(self, deliveries: Mapping[int, Delivery]) -> None:
        """Write everything and then commit the offsets; on return all of it is acknowledged.

        Input partition p goes to partition p modulo their number in each output topic: what
        belongs to one asset stays in one partition, in its order.
        """
