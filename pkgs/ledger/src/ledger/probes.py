"""What the store guard looks at: InfluxDB's own counts, its disk, what waits in Kafka.

InfluxDB counts how it has answered writes. So nothing is written to find out whether it takes any:
what it has said to Telegraf, which alone writes there, is what matters, whatever shard that is for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from fieldline.remote.offsets import GROUPS, KafkaProbe
from fieldline.remote.scrape import Scraper

from ledger.deliveries import Place, Waiting, Writes, waiting_of

_COUNT = "http_api_requests_total"
# Not by user_agent: of "Telegraf/1.37.2 Go/1.25.1" InfluxDB takes one word or the other, by chance.
_PATH = "/api/v2/write"
# The groups of Telegraf as the writer, with the topic that each reads.
WRITERS = {group: topic for group, topic in GROUPS.items() if group.startswith("telegraf-")}

# As for Kafka (lib/kafka.nix): room for a segment or two, and something to go on with.
ROOM_BYTES = 256 << 20


class InfluxProbe:
    """How one InfluxDB takes what is written.

    Args:
        url: such as `http://127.0.0.1:8086`; directory: a folder on its disk.
    """

    def __init__(self, url: str, directory: Path, *, room_bytes: int = ROOM_BYTES) -> None:
        self._scraper = Scraper(url, _COUNT)
        self._directory = directory
        self._room_bytes = room_bytes

    def writes(self) -> Writes | None:
        """The writes since its start; None while it does not tell."""
        scrape = self._scraper.read()
        if scrape.problem:
            return None
        taken, refused = (
            int(scrape.total(_COUNT, path=_PATH, status=status) or 0) for status in ("2XX", "5XX")
        )
        return Writes(taken, refused)

    def has_room(self) -> bool:
        """Whether there is enough room on its disk for a start to help."""
        try:
            status = os.statvfs(self._directory)
        except OSError:
            return False
        return status.f_bavail * status.f_frsize >= self._room_bytes


class WriterProbe:
    """What waits for some consumer groups in Kafka.

    Args:
        topics: name to partitions; groups: each with the topic that it reads.
    """

    def __init__(
        self, bootstrap_servers: str, topics: Mapping[str, int], groups: Mapping[str, str]
    ) -> None:
        self._probe = KafkaProbe(bootstrap_servers, topics, list(groups))
        self._groups = groups

    def waiting(self) -> dict[Place, Waiting] | None:
        """The partitions with records that their group has not taken; None without Kafka."""
        reading = self._probe.read()
        if reading.problem:
            return None
        ends: dict[Place, int] = {}
        committed: dict[Place, int] = {}
        for group, topic in self._groups.items():
            if topic not in reading.topics:
                continue
            ends |= {(group, number): end for number, end in reading.topics[topic].ends.items()}
            committed |= {
                (group, number): offset
                for (name, number), offset in reading.committed.get(group, {}).items()
                if name == topic
            }
        return waiting_of(ends, committed)

    def close(self) -> None:
        """Close the connection."""
        self._probe.close()
