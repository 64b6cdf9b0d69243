"""What the engine needs of Kafka, as a small interface: claim, poll, send, commit.

`kafka.KafkaBroker` is the real one, `memory.MemoryBroker` one for tests; both pass the same
contract tests. Nothing leaves a service but by `send` and `commit`: what is sent for an input
partition becomes visible to readers of committed records together with its offset, or never.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fieldline.errors import FieldlineError
from fieldline.messages import Headers

# Key, value and headers of a record to be written. (Bare tuples: making objects with names was a
# third of a service's work.)
Output = tuple[bytes | None, bytes | None, Headers]


@dataclass(frozen=True, slots=True)
class Topics:
    """A service's topics and its consumer group.

    changelog: has as many partitions as the input; outputs: where else the service writes.
    """

    group: str
    input: str
    changelog: str
    outputs: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """All that must be there."""
        return (self.input, self.changelog, *self.outputs)


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

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Names and raw values."""


@dataclass(frozen=True, slots=True)
class Poll:
    """Records per partition, each in order of offsets.

    generation: of the assignment when the poll began; records of an older one must be dropped.
    reached: the broker has answered since the last poll, even if it had nothing.
    renewed: it may be another process than at the last poll, and its log have lost its end.
    """

    generation: int
    records: Mapping[int, Sequence[Record]]
    reached: bool
    renewed: bool = False


class UnavailableError(FieldlineError):
    """The session is lost, or something that is needed is not there; open a new one later."""


class MovedError(Exception):
    """The partitions asked for are not assigned any more; look at the assignment again."""


class Broker(Protocol):
    """One member of the consumer group, from `open` to `close`.

    All methods but `close` raise `UnavailableError` when the session is lost (also by another
    member that has claimed a partition of ours), `ServiceError` when no retry can help, and
    `MovedError` when a partition they name is not assigned any more.
    """

    @property
    def busy(self) -> asyncio.Lock:
        """Held while records are worked on: a revocation waits for it."""

    @property
    def generation(self) -> int:
        """Rises with each revocation and each assignment; 0 at first."""

    @property
    def assignment(self) -> frozenset[int] | None:
        """The input partitions that are ours now; None while the group shares them out."""

    @property
    def before_revocation(self) -> Callable[[], Awaitable[None]]:
        """Called with `busy` held before partitions are given away: the last chance to commit."""

    @before_revocation.setter
    def before_revocation(self, value: Callable[[], Awaitable[None]]) -> None: ...

    async def open(self) -> None:
        """Connect, check that the topics are there, join the group."""

    async def close(self) -> None:
        """Leave the group; never raises, and ends within 2 s. What is not committed is lost."""

    async def poll(self, timeout_s: float, max_records: int) -> Poll:
        """Give the next records, or none after the timeout."""

    async def claim(self, partitions: Sequence[int]) -> Mapping[int, int | None]:
        """Become the only writer of these partitions, and give the group's offset of each.

        Whoever wrote for them before is fenced first, and what it left open is aborted; so
        neither the offset (of the next record to work on, None if there is none yet) nor the
        changelog can change any more but by us.
        """

    def changelog(self, partition: int) -> AsyncIterator[Sequence[Record]]:
        """All committed records of the changelog's partition of this number, some at a time.

        Claim it first: Kafka answers a commit before readers see all of it, and a claim waits.

        Raises:
            UnavailableError: behind them are records of a transaction that nobody ends any more;
                whoever looks after Kafka must end it before anything is written.
        """

    async def has_written(
        self, partition: int, topic: str, since_ms: int, wanted: Callable[[Record], bool]
    ) -> bool:
        """Whether a record is among the committed ones that an output has since a time.

        True, too, where that cannot be told: retention has removed what there was then, or the
        service does not write to this topic any more.

        Args:
            partition: of the input; as in `send`, it stands for one of the topic's.
        """

    async def ends(self, partition: int) -> tuple[int, int]:
        """The first offset that the input's log still has, and the one behind its last record."""

    async def offset_at(self, partition: int, timestamp_ms: int) -> int | None:
        """The first offset with a record of this time or later; None if there is none."""

    def read(self, partition: int, start: int, end: int) -> AsyncGenerator[Sequence[Record], None]:
        """The records of [start, end), some at a time; no matter who has the partition.

        Polls go on beside it. It ends early where the log has lost records of the range.
        """

    def seek(self, partition: int, offset: int) -> None:
        """Poll from there on."""

    def lag(self, partition: int, next_offset: int) -> int:
        """How many records there are from `next_offset` on, as far as known."""

    async def send(self, partition: int, outputs: Mapping[str, Sequence[Output]]) -> None:
        """Write records, by topic, for an input partition that is claimed; not visible yet.

        Input partition p goes to partition p modulo their number in each topic: what belongs to
        one key stays in one partition, in its order.
        """

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Make visible what was sent for these partitions, together with their next offsets."""
