"""What had been read when a position was reached: where to go back to when a log loses its end.

All before a position is complete by what was read until then. Of that, the newest record of each
partition is remembered; where it is gone from the log, so may be what the position relies on.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiokafka import ConsumerRecord

# How far apart steps are by Kafka's clock, and how many there are: a quarter of an hour. A disk
# that loses more than that is a restored one.
_APART_MS = 10_000
_MOST_STEPS = 90


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """A record that was read: another one at its offset differs in time or content.

    Attributes:
        appended_ms: when Kafka took it; checksum: of its value.
    """

    offset: int
    appended_ms: int
    checksum: int

    @classmethod
    def of(cls, record: ConsumerRecord[Any, Any]) -> Mark:
        """A record's mark."""
        return cls(record.offset, record.timestamp, zlib.crc32(record.value or b""))


class Step(msgspec.Struct, frozen=True, array_like=True):
    """A position, and by partition the newest record that was read when it was reached."""

    position_ns: int
    marks: dict[int, Mark]

    @property
    def at_ms(self) -> int:
        """Kafka's time of it."""
        return max((mark.appended_ms for mark in self.marks.values()), default=0)


class Trail:
    """The last steps of one server's position, oldest first."""

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self.steps = list(steps)

    def note(self, position_ns: int, marks: Mapping[int, Mark]) -> None:
        """All before the position is complete by what was read up to these marks."""
        step = Step(position_ns, dict(marks))
        # The newest step is always the position of now; the ones before it are apart.
        if len(self.steps) > 1 and abs(step.at_ms - self.steps[-2].at_ms) < _APART_MS:
            self.steps.pop()
        self.steps.append(step)
        del self.steps[:-_MOST_STEPS]

    def marks(self, partition: int) -> list[Mark]:
        """The marks of a partition, oldest first."""
        return [step.marks[partition] for step in self.steps if partition in step.marks]

    def cut(self, partition: int, end: int) -> int | None:
        """Drop the steps that rely on records of a partition from the offset `end` on.

        Returns:
            The position of the newest step that is left; None if there is none.
        """
        while self.steps:
            mark = self.steps[-1].marks.get(partition)
            if mark is None or mark.offset < end:
                return self.steps[-1].position_ns
            self.steps.pop()
        return None
