"""What a service gives the engine: the pure part of its work, on one input partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
        """Take a part as `snapshot` gave it; False if it is not wanted any more."""

    def apply(self, context: bytes, changes: Iterable[Change]) -> None:
        """Take the changes of one step again, those of keys that are not wanted too."""

    def rebuild(self, records: Sequence[Record], now_ns: int) -> None:
        """Take records whose outputs were given before there was a changelog."""

    def keys(self) -> Iterable[bytes]:
        """The keys of all parts of the state."""
