"""The work on one input partition: records in, what to deliver and what to count out.

No input or output here either: the loop reads, delivers and counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fieldline.messages import (
    DeadLetterOrigin,
    MessageError,
    ModelResult,
    OpcValue,
    dead_letter_headers,
    decode_opc,
    encode_result,
)

from stream_model.broker import DeadLetter, Delivery, Record
from stream_model.step import Outcome, State, replay, step

# A dead letter must not outgrow what the broker takes (1 MiB by default) by its own headers; such
# a value is left out, and can be read at the offset named in the headers.
_LARGEST = 1_000_000
_TOO_LARGE_HEADER = "fieldline-too-large"


@dataclass(slots=True)
class Work:
    """What came of some records of one partition.

    delivery: None where all records were only replayed. replayed: how many were.
    rejected: reason → count; example: reason → offset of the first one.
    """

    delivery: Delivery | None
    outcome: Outcome
    records: int = 0
    replayed: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    example: dict[str, int] = field(default_factory=dict)


class Partition:
    """One input partition's state and where it stands in the log.

    next_offset: of the next record to take; records below it have been taken and are dropped.
    live_from: the group's offset when the state was built. Records before it are replayed: the
        results of all of them were acknowledged before that offset was committed, so they are not
        given again.
    """

    def __init__(
        self, topic: str, number: int, state: State, next_offset: int, live_from: int
    ) -> None:
        self.number = number
        self.state = state
        self.next_offset = next_offset
        self.live_from = live_from
        self._topic = topic

    def work(self, records: Sequence[Record], now_ns: int) -> Work:
        """Take records, in order of offsets; the state has changed when this returns."""
        if records and records[0].offset < self.next_offset:
            # Fetched before a rebalance or a seek, and come again.
            records = [record for record in records if record.offset >= self.next_offset]
        if not records:
            return Work(None, Outcome())
        self.next_offset = records[-1].offset + 1
        old: Sequence[Record] = ()
        if records[0].offset < self.live_from:
            old = [record for record in records if record.offset < self.live_from]
            records = records[len(old) :]
            self._replay(old, now_ns)
        if not records:
            return Work(None, Outcome(), replayed=len(old))
        values: list[OpcValue] = []
        places: list[int] = []
        work = Work(Delivery(self.next_offset), Outcome(), len(records), len(old))
        for place, record in enumerate(records):
            try:
                values.append(decode_opc(record.value))
                places.append(place)
            except MessageError as error:
                self._refuse(work, record, error.reason)
        _, work.outcome = step(self.state, values, now_ns)
        for index, reason in work.outcome.rejected:
            self._refuse(work, records[places[index]], reason)
        assert work.delivery is not None
        work.delivery.results = _outputs(work.outcome.results)
        return work

    def _replay(self, records: Sequence[Record], now_ns: int) -> None:
        values = []
        for record in records:
            try:
                values.append(decode_opc(record.value))
            except MessageError:
                continue
        replay(self.state, values, now_ns)

    def _refuse(self, work: Work, record: Record, reason: str) -> None:
        work.rejected[reason] += 1
        work.example.setdefault(reason, record.offset)
        headers = dead_letter_headers(
            DeadLetterOrigin(reason, self._topic, self.number, record.offset)
        )
        value = record.value
        if value is not None and len(value) + len(record.key or b"") > _LARGEST:
            headers = [*headers, (_TOO_LARGE_HEADER, str(len(value)).encode())]
            value = None
        assert work.delivery is not None
        # A record with neither key nor value is none to the client: an empty value stands for it.
        if value is None and record.key is None:
            value = b""
        work.delivery.dead_letters.append(DeadLetter(record.key, value, headers))


def _outputs(results: Sequence[ModelResult]) -> list[tuple[bytes, bytes]]:
    """Key (the asset) and value of each result's record."""
    keys = {asset: asset.encode() for asset in {result.asset for result in results}}
    return [(keys[result.asset], encode_result(result)) for result in results]
