"""Publishing: values from NumPy into OPC UA variables, in small pieces."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from asyncua import ua

from opc_server.opcua import AttributeIds, AttributeValue, Server, status_code
from opc_server.points import Point
from opc_server.published import PublishedValue, Stamp
from opc_server.sources import Indices, Statuses, Tick, Values
from opc_server.status import BAD, SEVERITY

_log = structlog.get_logger("opc-server")

# The event loop is not held longer than this by all periods together, then subscriptions publish
# and ticks begin.
PIECE_S = 0.02
# How many values are written between two looks at the clock.
STRIDE = 32


class Codes(dict[int, ua.StatusCode]):
    """Status codes as asyncua's objects, each made once."""

    def __missing__(self, code: int) -> ua.StatusCode:
        self[code] = made = status_code(code)
        return made


class Stamps(dict[int, Stamp]):
    """By status code, of values with one source time that the server has at one time."""

    def __init__(self, codes: Codes, source_ns: int, server_ns: int) -> None:
        super().__init__()
        self._codes, self._times = codes, (source_ns, server_ns)

    def __missing__(self, code: int) -> Stamp:
        self[code] = made = Stamp(self._codes[code], *self._times)
        return made


@dataclass(frozen=True, slots=True)
class Batch:
    """Values of one tick: indices, statuses and values of shape (n,)."""

    tick: Tick
    indices: Indices
    statuses: Statuses
    values: Values
    # The tick's own batch; one that a slow sensor gave later is not.
    whole_tick: bool


@dataclass(slots=True)
class Lane:
    """What waits to be published of one period, in order."""

    waiting: deque[Batch] = field(default_factory=deque)
    ticks: int = 0
    filled: asyncio.Event = field(default_factory=asyncio.Event)


class Publisher:
    """Publishes batches; each period has a lane, so that a large one does not hold up a fast one.

    Args:
        server: what to publish in.
        points: the variables, by index.
        wall_ns: the host's UTC, for server timestamps.
        on_tick: told of each tick whose values are all published.
    """

    def __init__(
        self,
        server: Server,
        points: Sequence[Point],
        wall_ns: Callable[[], int],
        on_tick: Callable[[Tick], None],
    ) -> None:
        self._space = server.iserver.aspace
        self._nodes = [point.node for point in points]
        self._attributes: list[AttributeValue] = []
        self._wall_ns = wall_ns
        self._on_tick = on_tick
        self._lanes: dict[int, Lane] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._active = 0
        self._codes = Codes()
        self._idle = asyncio.Event()

    def start(self, periods_ns: Sequence[int]) -> None:
        """Publish from now on into the nodes that are there; called in the event loop."""
        self._attributes = [
            self._space[node].attributes[AttributeIds.Value] for node in self._nodes
        ]
        for period in periods_ns:
            self._lanes[period] = lane = Lane()
            self._tasks.append(asyncio.create_task(self._run(lane), name=f"publish-{period}"))

    def busy(self, period_ns: int) -> bool:
        """Tell whether a tick of this period is not published yet."""
        return self._lanes[period_ns].ticks > 0

    def oldest_ns(self) -> int | None:
        """When the oldest tick not yet published was (elapsed time), or None."""
        return min(
            (lane.waiting[0].tick.elapsed_ns for lane in self._lanes.values() if lane.waiting),
            default=None,
        )

    def put(self, batch: Batch) -> None:
        """Have a batch published, after those of its period that wait already."""
        lane = self._lanes[batch.tick.period_ns]
        lane.waiting.append(batch)
        lane.ticks += batch.whole_tick
        lane.filled.set()
        self._idle.clear()

    async def _run(self, lane: Lane) -> None:
        while True:
            await lane.filled.wait()
            self._active += 1
            try:
                while lane.waiting:
                    batch = lane.waiting[0]
                    await self._publish(batch)
                    lane.waiting.popleft()
                    if batch.whole_tick:
                        lane.ticks -= 1
                        self._on_tick(batch.tick)
            finally:
                self._active -= 1
            lane.filled.clear()
            if not any(other.waiting for other in self._lanes.values()):
                self._idle.set()

    async def _publish(self, batch: Batch) -> None:
        attributes, time_ns = self._attributes, batch.tick.time_ns
        begun, stamps = time.perf_counter(), Stamps(self._codes, time_ns, self._wall_ns())
        rows = zip(
            batch.indices.tolist(), batch.statuses.tolist(), batch.values.tolist(), strict=True
        )
        for count, (index, status, number) in enumerate(rows, 1):
            bad = status & SEVERITY >= BAD
            value = PublishedValue(None if bad else number, stamps[status])
            attribute = attributes[index]
            attribute.value = value
            # What asyncua does for whoever writes, but for looking whether it may be written. A
            # subscription may leave meanwhile.
            for handle, tell in tuple(attribute.datachange_callbacks.items()):
                try:
                    await tell(handle, value)
                except Exception as error:
                    _log.warning(
                        "a subscription failed", node=str(self._nodes[index]), cause=repr(error)
                    )
            if count % STRIDE == 0 and time.perf_counter() - begun > PIECE_S / self._active:
                await asyncio.sleep(0)
                begun, stamps = time.perf_counter(), Stamps(self._codes, time_ns, self._wall_ns())

    async def failed(self) -> None:
        """Wait until publishing fails; raises what it failed with."""
        # Unlike gather, wait leaves the tasks alone when it is cancelled itself.
        done, _pending = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def drain(self) -> None:
        """Wait until all that was put is published."""
        if any(lane.waiting for lane in self._lanes.values()):
            await self._idle.wait()

    async def stop(self) -> None:
        """Publish no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
