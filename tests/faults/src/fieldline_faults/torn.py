"""A torn end of a log: what a disk may show after a power cut, done by hand to files at rest.

The tail is cut off amid a record batch, or it is zeros, and what Kafka keeps beside its logs (how
far they were flushed, what producers were at) is gone.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fieldline.errors import FieldlineError
from fieldline.record.format import ENTRY
from fieldline.record.reader import list_segments

# Batches that are lost; the first of them only half.
LOST_BATCHES = 3
# Beyond the end, as a file system shows that had made a file longer before its data came.
ZEROS = 4096
# Bytes that are lost of other files.
LOST_BYTES = 4000

ZEROED = " zeroed"
WAL = "influxdb-wal"
RECORD = "record"
# Of Kafka's topics: values, results, the model's state, how far groups have read, transactions.
TOPICS = ("opc", "model", "model.changelog", "__consumer_offsets", "__transaction_state")


@dataclass(frozen=True)
class Tear:
    """How an end is torn: cut off, or zeros from there on and 4 KiB more."""

    zeros: bool

    def __call__(self, path: Path, length: int) -> None:
        """Keep the first `length` bytes of a file."""
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.truncate(length)
            if self.zeros:
                file.truncate(size + ZEROS)


def tear_topic(logs: Path, topic: str, tear: Tear) -> int:
    """Tear the end of each partition that has one; how many record batches were lost, in all."""
    folders = [p for p in logs.iterdir() if re.fullmatch(re.escape(topic) + r"-[0-9]+", p.name)]
    if not folders:
        raise FieldlineError(f"Kafka has no topic {topic} in {logs}.")
    lost = 0
    for folder in folders:
        segment = max(folder.glob("*.log"))
        batches = list(record_batches(segment.read_bytes()))
        torn = batches[-LOST_BATCHES:]
        if torn:
            position, length = torn[0]
            tear(segment, position + length // 2)
            lost += len(torn)
        for snapshot in folder.glob("*.snapshot"):
            snapshot.unlink()
    (logs / "recovery-point-offset-checkpoint").unlink(missing_ok=True)
    if not lost:
        raise FieldlineError(f"Topic {topic} has no records that could be lost.")
    return lost


def record_batches(data: bytes) -> Iterable[tuple[int, int]]:
    """Position and length of each whole batch in a segment, bytes.

    Source: https://kafka.apache.org/documentation/#recordbatch: base offset (int64), length of what
    follows (int32).
    """
    position = 0
    while position + 12 <= len(data):
        length: int = 12 + struct.unpack_from(">i", data, position + 8)[0]
        if length <= 12 or position + length > len(data):
            return
        yield position, length
        position += length


def tear_wal(engine: Path, tear: Tear) -> int:
    """Tear the newest file of InfluxDB's write-ahead log; how many bytes were lost."""
    files = [path for path in engine.glob("wal/*/*/*/*.wal") if path.stat().st_size > LOST_BYTES]
    if not files:
        raise FieldlineError(f"InfluxDB has no write-ahead log in {engine} that could be torn.")
    newest = max(files, key=lambda path: path.stat().st_mtime_ns)
    tear(newest, newest.stat().st_size - LOST_BYTES)
    return LOST_BYTES


def tear_record(directory: Path, tear: Tear) -> int:
    """Tear the newest segment of the OPC UA server's record amid an entry; bytes that were lost."""
    newest = list_segments(directory)[-1]
    lost = LOST_BYTES // ENTRY.itemsize * ENTRY.itemsize + ENTRY.itemsize // 2
    tear(newest, newest.stat().st_size - lost)
    return lost
