"""InfluxDB's write-ahead log: a new segment for each start.

InfluxDB 2.7 opens the last segment at its end, and only then reads it and cuts off an entry that a
full disk, a power cut or a kill has left half written. What it writes afterwards lies beyond a gap
of zeros; the next start takes the gap for the end, and cuts off everything behind it: minutes of
values that were acknowledged. Into an empty segment it does not write: it removes that, and begins
one with the number after it.
Source: `WAL.Open` and `CacheLoader.Load` in tsdb/engine/tsm1 of InfluxDB 2.7.12.
"""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"_(\d{5,})\.wal")


def begin_segments(folder: Path) -> list[Path]:
    """Have InfluxDB, which must not run, begin a new segment of each shard's log.

    Args:
        folder: its `wal` folder: BUCKET/RETENTION/SHARD/_NNNNN.wal.
    Returns:
        The empty segments that were made: none where the last one is empty already.
    Raises:
        OSError: one could not be made.
    """
    last: dict[Path, int] = {}
    for path in folder.glob("*/*/*/_*.wal"):
        if match := _NAME.fullmatch(path.name):
            last[path.parent] = max(last.get(path.parent, 0), int(match[1]))
    made = []
    for shard, number in sorted(last.items()):
        if (shard / f"_{number:05}.wal").stat().st_size:
            path = shard / f"_{number + 1:05}.wal"
            path.touch(mode=0o644, exist_ok=False)
            made.append(path)
    return made
