"""What a service gives the engine: the pure part of its work, on one input partition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from fieldline.stream.broker import Output, Record

W = TypeVar("W")

# The key of a part of the state (an asset, say), and what a step has done to it.
Change = tuple[bytes, bytes]


@dataclass(slots=True)
class Stepped(Generic[W]):
    """What came of some records.

    report: for the service itself, given to its observer once committed. outputs: topic → records.
    changes: of each part of the state that changed, enough to change it the same way again.
    context: what `apply` needs to read them, such as a table of names; short.
    """

    report: W
    outputs: Mapping[str, Sequence[Output]] = field(default_factory=dict)
    changes: Sequence[Change] = ()
    context: bytes = b""


@dataclass(frozen=True, slots=True)
class Range:
    """Records of the input to be read again, as far as the log still has them.

    Those before the offset `end`: from the offset `start` on or, where that is None, from the first
    one whose own time is `since_ms` or later.
    """

    end: int
    start: int | None = None
    since_ms: int = 0


class Rereading(Protocol[W]):
    """Work on records that were taken before, while live ones go on being taken.

    It does no input or output. The engine may drop it at any time: what it has not changed in the
    state is then still owed.
    """

    def run(self) -> Iterator[Range | Stepped[W] | None]:
        """The work, piece by piece; each must be short, since live records wait for it.

        It gives a range that must be read before it goes on, or what came of a change of the state,
        which is committed before it goes on, or nothing. It changes nothing for good before.
        """

    def take(self, records: Sequence[Record]) -> None:
        """Look at some records of the range; in order of offsets."""

    def taken(self, start: int, first: int) -> None:
        """The range was read from the offset `start` on; the log begins at `first`."""


class Processor(Protocol[W]):
    """The state of one input partition, in parts with a key each, and the step over it.

    It does no input or output. The same records in the same batches give the same outputs, and
    `load` and `apply` of what was written give the same state.
    """

    def step(self, records: Sequence[Record], now_ns: int) -> Stepped[W]:
        """Take records, in order of offsets; the state has changed when this returns."""

    def snapshot(self, key: bytes) -> bytes:
        """The part of this key, whole."""

    def load(self, key: bytes, snapshot: bytes) -> bool:
        """Take a part as `snapshot` gave it; False if nothing is wanted of it any more.

        What later entries say of the part is then lost with them.
        """

    def apply(self, context: bytes, changes: Iterable[Change]) -> None:
        """Take the changes of one step again, those of keys that are not wanted too."""

    def rebuild(self, records: Sequence[Record], now_ns: int) -> None:
        """Take records whose outputs were given before there was a changelog."""

    def give_again(self, records: Sequence[Record]) -> None:
        """Have the outputs of records that were taken given again with the next step.

        They may be lost. Whatever tells an output from the one before it (a revision) is higher
        then. The whole state is stored with that step; until then no `rereading` may begin.
        """

    def repeats(self, topic: str) -> bool:
        """Whether `give_again` brings the outputs of this topic."""
        del topic
        return True

    def keys(self) -> Iterable[bytes]:
        """The keys of all parts of the state."""

    def owed(self) -> int:
        """How much is left to be done by rereadings, due or not; it must be part of the state."""
        return 0

    def rereading(self, next_offset: int, now_s: float) -> Rereading[W] | None:
        """A rereading, if one is due.

        Asked between steps while none of this partition is under way: one that was given before
        has ended, or will not go on.

        Args:
            next_offset: of the next record that the step will be given.
            now_s: seconds of a clock that is never set.
        """
        del next_offset, now_s
        return None
