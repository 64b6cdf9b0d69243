"""Brings values of a server into the topic as Telegraf would, and no faster than allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from fieldline.messages.telegraf import HEADERS, OpcEncoder, partition_of

from gap_filler.ahead import cancelled
from gap_filler.metrics import Metrics
from gap_filler.plan import ServerPlan
from gap_filler.quality import quality_text
from gap_filler.sender import Pace, Record, Sender, by_partition
from gap_filler.wire import Values

# Records sent at once: live values wait for at most two of these.
_ROUND = 1_000


class Delivery:
    """Sends one server's values.

    Args:
        topic: of the values; pace: shared by all servers of the process.
        beat: called after each round.
    """

    def __init__(
        self,
        plan: ServerPlan,
        sender: Sender,
        topic: str,
        pace: Pace,
        metrics: Metrics,
        beat: Callable[[], None],
    ) -> None:
        self._plan = plan
        self._sender = sender
        self._topic = topic
        self._pace = pace
        self._metrics = metrics
        self._beat = beat
        self._encoders = [OpcEncoder(v.asset, v.name, str(v.node)) for v in plan.variables]
        self._keys = [v.asset.encode() for v in plan.variables]
        self._partitions: list[int] = []

    @property
    def ready(self) -> bool:
        """Whether `prepared` has been done."""
        return bool(self._partitions)

    async def prepared(self) -> None:
        """Find out the partition of each variable, once.

        Raises:
            SendError: Kafka does not tell.
        """
        if not self._partitions:
            count = await self._sender.partitions(self._topic)
            self._partitions = [partition_of(key, count) for key in self._keys]

    async def send(self, values: Mapping[int, Values]) -> dict[int, int]:
        """Send values through the topic as Telegraf would, each asset's in the order of time.

        Args:
            values: by the variable's index.
        Returns:
            By partition, the offset behind the last of them.
        Raises:
            SendError: not all are acknowledged.
        """
        rows = [
            (int(time_ns), index, place)
            for index, found in values.items()
            for place, time_ns in enumerate(found.times)
        ]
        rows.sort()
        ends: dict[int, int] = {}
        # The next records are made while Kafka writes the last ones.
        under_way: asyncio.Task[dict[int, int]] | None = None
        try:
            for first in range(0, len(rows), _ROUND):
                part = rows[first : first + _ROUND]
                await self._pace.take(len(part))
                records = by_partition(
                    (self._partitions[index], self._record(values[index], index, place, time_ns))
                    for time_ns, index, place in part
                )
                if under_way is not None:
                    ends |= await under_way
                under_way = asyncio.create_task(self._sender.send(self._topic, records, HEADERS))
                self._metrics.filled.labels(self._plan.name).inc(len(part))
                self._beat()
            if under_way is not None:
                ends |= await under_way
        finally:
            if under_way is not None:
                await cancelled(under_way)
        return ends

    def _record(self, values: Values, index: int, place: int, time_ns: int) -> Record:
        quality = quality_text(int(values.statuses[place]))
        return (
            self._keys[index],
            self._encoders[index].encode(values.value(place), quality, time_ns),
        )
