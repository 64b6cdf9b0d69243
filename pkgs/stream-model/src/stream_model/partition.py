"""The work on one input partition: records in, what to write and what to count out.

No input or output here: the engine reads, writes and stores; see `fieldline.stream`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fieldline.messages import (
    FORMAT_HEADERS,
    DeadLetterOrigin,
    MessageError,
    ModelResult,
    OpcValue,
    dead_letter_headers,
    decode_opc,
    encode_result,
)
from fieldline.stream import Change, Output, Record, Stepped, Topics

from stream_model import stored
from stream_model.step import Outcome, State, replay, step

# A dead letter must not outgrow what the broker takes (1 MiB by default) by its own headers; such
# a value is left out, and can be read at the offset named in the headers.
_LARGEST = 1_000_000
_TOO_LARGE_HEADER = "fieldline-too-large"


@dataclass(slots=True)
class Work:
    """What came of some records of one partition.

    rejected: reason → count; example: reason → offset of the first one.
    seconds: what it took to decode, compute and encode.
    """

    records: int
    outcome: Outcome
    rejected: Counter[str] = field(default_factory=Counter)
    example: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class ModelProcessor:
    """A `Processor`: one input partition's state, an asset a part, and the step over it.

    Args:
        topics: its outputs are the results' and the dead letters' topic.
        number: of the partition.
    """

    def __init__(self, topics: Topics, number: int, state: State) -> None:
        self.state = state
        self._input = topics.input
        self._results, self._dead_letters = topics.outputs
        self._number = number

    def step(self, records: Sequence[Record], now_ns: int) -> Stepped[Work]:
        """See `Processor.step`."""
        begin = time.perf_counter()
        values: list[OpcValue] = []
        places: list[int] = []
        letters: list[Output] = []
        work = Work(len(records), Outcome())
        for place, record in enumerate(records):
            try:
                values.append(decode_opc(record.value))
                places.append(place)
            except MessageError as error:
                letters.append(self._refuse(work, record, error.reason))
        _, work.outcome = step(self.state, values, now_ns)
        for index, reason in work.outcome.rejected:
            letters.append(self._refuse(work, records[places[index]], reason))
        outputs = {self._results: _outputs(work.outcome.results)}
        if letters:
            outputs[self._dead_letters] = letters
        context, changes = stored.take_changes(work.outcome.touched)
        work.seconds = time.perf_counter() - begin
        return Stepped(work, outputs, changes, context)

    def snapshot(self, key: bytes) -> bytes:
        """See `Processor.snapshot`."""
        return stored.snapshot(self.state.windows[key.decode()])

    def load(self, key: bytes, snapshot: bytes) -> bool:
        """See `Processor.load`."""
        return stored.load(self.state, key, snapshot)

    def apply(self, context: bytes, changes: Iterable[Change]) -> None:
        """See `Processor.apply`."""
        stored.apply(self.state, context, changes)

    def rebuild(self, records: Sequence[Record], now_ns: int) -> None:
        """See `Processor.rebuild`."""
        values = []
        for record in records:
            try:
                values.append(decode_opc(record.value))
            except MessageError:
                continue
        replay(self.state, values, now_ns)

    def keys(self) -> Iterable[bytes]:
        """See `Processor.keys`."""
        return [name.encode() for name, w in self.state.windows.items() if w.newest >= 0]

    def _refuse(self, work: Work, record: Record, reason: str) -> Output:
        """The dead letter of a record."""
        work.rejected[reason] += 1
        work.example.setdefault(reason, record.offset)
        headers = dead_letter_headers(
            DeadLetterOrigin(reason, self._input, self._number, record.offset)
        )
        value = record.value
        if value is not None and len(value) + len(record.key or b"") > _LARGEST:
            headers = [*headers, (_TOO_LARGE_HEADER, str(len(value)).encode())]
            value = None
        # A record with neither key nor value is none to the client: an empty value stands for it.
        if value is None and record.key is None:
            value = b""
        return record.key, value, headers


def _outputs(results: Sequence[ModelResult]) -> list[Output]:
    """The results' records; their key is the asset."""
    keys = {asset: asset.encode() for asset in {result.asset for result in results}}
    return [(keys[result.asset], encode_result(result), FORMAT_HEADERS) for result in results]
