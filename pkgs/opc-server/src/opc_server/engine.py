"""The tick: sample what is due, record it, publish it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import structlog
from fieldline.record import RecordWriter

from opc_server.clock import Clock, Stamper
from opc_server.metrics import Metrics
from opc_server.publisher import Batch, Publisher
from opc_server.schedule import Schedule
from opc_server.sources import Indices, Source, Statuses, SysfsSource, Tick, Values
from opc_server.status import GOOD, UNCERTAIN

_log = structlog.get_logger("opc-server")

# With slow variables alone, ticks without values show in between that the server lives.
PULSE_NS = 1_000_000_000
# A tick that takes longer than this to be published hangs: the watchdog is fed no more.
STUCK_NS = 10_000_000_000
# How long the endpoint waits for the first readings of slow sensors.
FIRST_READINGS_S = 3.0

Part = tuple[Indices, Statuses, Values]


def join(parts: Sequence[Part]) -> Part:
    """Several parts as one."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return np.empty(0, np.intp), np.empty(0, np.uint32), np.empty(0, np.float64)
    indices, statuses, values = zip(*parts, strict=True)
    return np.concatenate(indices), np.concatenate(statuses), np.concatenate(values)


class Engine:
    """Runs all periods of a server.

    Args:
        sources: period in ns → its sources.
        record: where each value goes before it is published.
        publisher: where it goes then.
        clock: the host's, or a test's.
        synchronized: tells whether the host's time can be relied on.
        metrics: what is counted.
        witness: a second record, on the disk before its values are published.
    """

    def __init__(
        self,
        sources: Mapping[int, Sequence[Source]],
        record: RecordWriter,
        publisher: Publisher,
        clock: Clock,
        synchronized: Callable[[], bool],
        metrics: Metrics,
        witness: RecordWriter | None = None,
    ) -> None:
        self._sources = dict(sources)
        if min(sources, default=PULSE_NS + 1) > PULSE_NS:
            self._sources.setdefault(PULSE_NS, [])
        self._record = record
        self._witness = witness
        self._witnessing = True
        self._publisher = publisher
        self._clock = clock
        self._synchronized = synchronized
        self._metrics = metrics
        self._stamper = Stamper(clock, self._leap)
        self._origin = 0
        self._certain = True
        self._recording = True
        self._latest_ns = 0
        # The parts that the tick under way has got so far, per period; a source that delivers for
        # another tick does so late.
        self._open: dict[Tick, list[Part]] = {}

    @property
    def periods_ns(self) -> list[int]:
        """All periods that are run."""
        return list(self._sources)

    def _leap(self, leap_ns: int) -> None:
        direction = "back" if leap_ns < 0 else "forward"
        self._metrics.clock_leaps.labels(direction).inc()
        _log.warning("the clock was stepped", seconds=leap_ns / 1e9)

    def _now(self) -> tuple[int, int]:
        """The source time of a tick that happens now, and the status of its values."""
        stamp = self._stamper.stamp()
        certain = stamp.certain and self._synchronized()
        if certain != self._certain:
            self._certain = certain
            _log.warning("time is certain again" if certain else "time is uncertain")
        self._metrics.certain.set(certain)
        self._metrics.newest.set(stamp.time_ns / 1e9)
        return stamp.time_ns, GOOD if certain else UNCERTAIN

    def _deliver(self, tick: Tick, indices: Indices, statuses: Statuses, values: Values) -> None:
        parts = self._open.get(tick)
        if parts is not None:
            parts.append((indices, statuses, values))
            return
        self._write(tick.time_ns, (indices, statuses, values))
        self._publisher.put(Batch(tick, indices, statuses, values, whole_tick=False))

    def _write(self, time_ns: int, part: Part) -> None:
        """Record values; a disk that fails is said once, and counted."""
        record, metrics = self._record, self._metrics
        before = record.bytes_written, record.errors, record.lost
        record.append(time_ns, *part)
        metrics.record_bytes.inc(record.bytes_written - before[0])
        metrics.record_errors.inc(record.errors - before[1])
        metrics.record_lost.inc(record.lost - before[2])
        metrics.values.inc(len(part[0]))
        if (record.failure is None) != self._recording:
            self._recording = record.failure is None
            if record.failure is None:
                _log.warning("the record is written again", values_lost=record.lost)
            else:
                _log.error("the record cannot be written", cause=str(record.failure))
        if self._witness is not None:
            self._bear_witness(self._witness, time_ns, part)

    def _bear_witness(self, witness: RecordWriter, time_ns: int, part: Part) -> None:
        """Have the disk hold the values now: the event loop waits, as does all that publishes."""
        witness.append(time_ns, *part)
        failure = witness.failure
        try:
            witness.sync()
        except OSError as error:
            failure = error
        if failure is not None:
            self._metrics.witness_errors.inc()
        if (failure is None) != self._witnessing:
            self._witnessing = failure is None
            if failure is None:
                _log.warning("the witness is written again", values_lost=witness.lost)
            else:
                _log.error("the witness cannot be written", cause=str(failure))

    def _tick(self, periods_ns: Sequence[int]) -> list[Tick]:
        """Sample what is due, record it in one write, hand it on; all of one source time."""
        time_ns, good = self._now()
        elapsed = self._clock.monotonic_ns() - self._origin
        ticks = [Tick(time_ns, elapsed, period, good) for period in periods_ns]
        self._open = {tick: [] for tick in ticks}
        for tick in ticks:
            for source in self._sources[tick.period_ns]:
                source.sample(tick, self._deliver)
        batches = {tick: join(parts) for tick, parts in self._open.items()}
        self._open = {}
        self._write(time_ns, join(list(batches.values())))
        for tick, part in batches.items():
            self._publisher.put(Batch(tick, *part, whole_tick=True))
        return ticks

    async def first(self) -> None:
        """Produce the first values, so that each variable has one before clients come.

        Sensors are waited for, though not longer than `FIRST_READINGS_S`.
        """
        self._origin = self._clock.monotonic_ns()
        ticks = {tick.period_ns: tick for tick in self._tick(self.periods_ns)}
        sensors = [
            (source, ticks[period])
            for period, sources in self._sources.items()
            for source in sources
            if isinstance(source, SysfsSource)
        ]
        try:
            async with asyncio.timeout(FIRST_READINGS_S):
                for source, _tick in sensors:
                    await source.read_once.wait()
        except TimeoutError:
            for source, tick in sensors:
                source.give_up(tick, self._deliver)
        await self._publisher.drain()

    async def run(self) -> None:
        """Tick until cancelled."""
        schedule = Schedule(self._origin, self._clock.monotonic_ns(), self._sources)
        while True:
            await self._clock.sleep_until(schedule.next_ns())
            ready = []
            for due in schedule.due(self._clock.monotonic_ns()):
                overruns = due.missed
                if self._publisher.busy(due.period_ns):
                    overruns += 1
                else:
                    ready.append(due.period_ns)
                    late = due.late_ns + due.missed * due.period_ns
                    self._latest_ns = max(self._latest_ns, late)
                    self._metrics.lateness.observe(late / 1e9)
                if self._sources[due.period_ns]:
                    self._metrics.overruns.inc(overruns)
            self._metrics.lateness_max.set(self._latest_ns / 1e9)
            if ready:
                self._tick(ready)

    def alive(self) -> bool:
        """Tell whether no tick hangs; asked at each completed tick, to feed the watchdog."""
        oldest = self._publisher.oldest_ns()
        return oldest is None or self._clock.monotonic_ns() - self._origin - oldest < STUCK_NS
