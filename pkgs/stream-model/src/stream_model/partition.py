"""The work on one input partition: records in, what to write and what to count out.

No input or output here: the engine reads, writes and stores; see `fieldline.stream`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from fieldline.messages import (
    DeadLetterOrigin,
    MessageError,
    OpcValue,
    dead_letter_headers,
    decode_opc,
)
from fieldline.stream import Change, Output, Processor, Record, Stepped, Topics

from stream_model import stored
from stream_model.recompute import Recomputation
from stream_model.repairs import Pace, Rest
from stream_model.results import result_records
from stream_model.step import Outcome, State, give_again, replay, step
from stream_model.work import Report, Work

# A dead letter must not outgrow what the broker takes (1 MiB by default) by its own headers; such
# a value is left out, and can be read at the offset named in the headers.
_LARGEST = 1_000_000
_TOO_LARGE_HEADER = "fieldline-too-large"


class ModelProcessor(Processor[Report]):
    """One input partition's state, an asset a part, and the step over it.

    Args:
        topics: its outputs are the results' and the dead letters' topic.
        number: of the partition.
        lookback_ms: in which each periodic input has a value.
        rest: of the process.
    """

    def __init__(
        self, topics: Topics, number: int, state: State, lookback_ms: int, rest: Rest | None = None
    ) -> None:
        self.state = state
        self._lookback_ms = lookback_ms
        self._pace = Pace(rest or Rest())
        self._input = topics.input
        self._results, self._dead_letters = topics.outputs
        self._number = number
        # A state that was there, and only has to be brought up, knows all that was before.
        self._restored = False

    def step(self, records: Sequence[Record], now_ns: int) -> Stepped[Report]:
        """See `Processor.step`."""
        del now_ns
        begin = time.perf_counter()
        self.state.now_ms = records[-1].timestamp
        values: list[OpcValue] = []
        kept: list[Record] = []
        letters: list[Output] = []
        work = Work(len(records), Outcome())
        for record in records:
            try:
                values.append(decode_opc(record.value))
                kept.append(record)
            except MessageError as error:
                letters.append(self._refuse(work, record, error.reason))
        _, work.outcome = step(self.state, values, kept)
        for index, reason in work.outcome.rejected:
            letters.append(self._refuse(work, kept[index], reason))
        outputs = {self._results: result_records(work.outcome.results)}
        if letters:
            outputs[self._dead_letters] = letters
        context, changes = stored.take_changes(self.state, work.outcome.touched)
        work.pending = self.owed()
        work.seconds = time.perf_counter() - begin
        return Stepped(work, outputs, changes, context)

    def snapshot(self, key: bytes) -> bytes:
        """See `Processor.snapshot`."""
        return stored.snapshot(self.state, key)

    def load(self, key: bytes, snapshot: bytes) -> bool:
        """See `Processor.load`."""
        self._restored = True
        return stored.load(self.state, key, snapshot)

    def apply(self, context: bytes, changes: Iterable[Change]) -> None:
        """See `Processor.apply`."""
        self._restored = True
        stored.apply(self.state, context, changes)

    def rebuild(self, records: Sequence[Record], now_ns: int) -> None:
        """See `Processor.rebuild`."""
        del now_ns
        replay(self.state, *_values(records))
        last = records[-1]
        if self._restored:
            self.state.repairs.from_offset = last.offset + 1
        else:
            self.state.repairs.rebuilt(last.offset + 1, last.timestamp)

    def give_again(self, records: Sequence[Record]) -> None:
        """See `Processor.give_again`."""
        give_again(self.state, *_values(records))

    def repeats(self, topic: str) -> bool:
        """See `Processor.repeats`."""
        return topic == self._results

    def keys(self) -> Iterable[bytes]:
        """See `Processor.keys`."""
        return stored.keys(self.state)

    def owed(self) -> int:
        """See `Processor.owed`."""
        return len(self.state.repairs)

    def rereading(self, next_offset: int, now_s: float) -> Recomputation | None:
        """See `Processor.rereading`."""
        # What stands in `again` is in no entry yet, and the next one must be its own.
        if self.state.again:
            return None
        repairs = self.state.repairs
        repairs.give_back()
        waiting = bool(repairs.waiting) and next_offset > repairs.from_offset
        if not self._pace.due(waiting, repairs.marks, now_s):
            return None
        return Recomputation(self.state, self._results, next_offset, self._lookback_ms)

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


def _values(records: Sequence[Record]) -> tuple[list[OpcValue], list[Record]]:
    """The values of those records that have one, and these records."""
    values, kept = [], []
    for record in records:
        try:
            values.append(decode_opc(record.value))
            kept.append(record)
        except MessageError:
            continue
    return values, kept
