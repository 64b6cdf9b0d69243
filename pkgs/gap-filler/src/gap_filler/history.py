"""What a server's history holds: counts of values, and the values themselves.

Source: OPC UA Part 11, 6.5 (ReadRawModifiedDetails, ReadProcessedDetails) and Part 13, 5.4.3.18
(Count: raw values of good quality).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import structlog
from asyncua import ua
from numpy.typing import NDArray

from gap_filler.metrics import Metrics
from gap_filler.opcua import UaStatusCodeError, node_id, status_name
from gap_filler.plan import ServerPlan
from gap_filler.session import RefusedError, Session
from gap_filler.wire import NO_TIME, NOTHING, Result, Values, WireError, decode_response

_COUNT = node_id("i=2352")
# What one answer holds at most, so that neither side works on it for long.
_ANSWER_VALUES = 5_000
# A node whose history has so many values more than the declared rate gives, is left alone.
_MOST_TIMES_DECLARED = 100
_MOST_VALUES = 200_000
_MOST_ROUNDS = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

GOOD_NO_DATA = 0x00A50000
BAD_NO_DATA = 0x809B0000
_UNSUPPORTED = frozenset(
    {
        0x80710000,  # BadHistoryOperationUnsupported
        0x80720000,  # BadHistoryOperationInvalid
        0x800B0000,  # BadServiceUnsupported
        0x803D0000,  # BadNotSupported
        0x80D50000,  # BadAggregateNotSupported
        0x80400000,  # BadNotImplemented
    }
)
_SEVERITY = 0xC0000000


class NoHistoryError(Exception):
    """The server offers no history, or none of this kind."""


@dataclass(slots=True)
class Read:
    """Values of some variables over one span, with what was wrong with them.

    Attributes:
        values: by index; sorted by time, each source time once.
        failed: index to the status that the server gave instead.
    """

    values: dict[int, Values] = field(default_factory=dict)
    failed: dict[int, int] = field(default_factory=dict)


class History:
    """Asks one server for its history."""

    def __init__(
        self,
        plan: ServerPlan,
        session: Session,
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._plan = plan
        self._session = session
        self._metrics = metrics
        self._log = log
        self._nodes = [node_id(variable.node) for variable in plan.variables]
        # Whether there is a history, and the aggregate Count; None while it is not known.
        self.offered: bool | None = None
        self.counts_offered: bool | None = None
        self._said: set[tuple[int, int]] = set()

    def forget(self) -> None:
        """Find out again what the server offers, as after a new connection."""
        self.offered = self.counts_offered = None

    async def counts(self, since_ns: int, until_ns: int) -> NDArray[np.int64]:
        """Good values per variable in [since, until); -1 where only the values themselves tell.

        Raises:
            NoHistoryError: the server does not count.
            SessionError: it does not answer.
        """
        found = np.full(len(self._nodes), -1, np.int64)
        if self.counts_offered is False:
            raise NoHistoryError
        details = ua.ReadProcessedDetails()
        details.StartTime, details.EndTime = _at(since_ns), _at(until_ns)
        details.ProcessingInterval = (until_ns - since_ns) / 1e6
        refused = 0
        for part in _parts(range(len(self._nodes)), self._session.history_nodes):
            details.AggregateType = [_COUNT] * len(part)
            try:
                results = await self._request(details, part, [None] * len(part))
            except RefusedError as error:
                if error.code in _UNSUPPORTED:
                    self.counts_offered = False
                    raise NoHistoryError from error
                raise
            for index, result in zip(part, results, strict=True):
                found[index] = _count(result)
                refused += result.status in _UNSUPPORTED
        if refused == len(self._nodes):
            self.counts_offered = False
            raise NoHistoryError
        self.counts_offered = self.offered = True
        return found

    async def read(
        self, indices: Sequence[int], since_ns: int, until_ns: int
    ) -> AsyncIterator[Read]:
        """The values of variables in [since, until), some variables at a time.

        Raises:
            NoHistoryError: the server has no history.
            SessionError: it does not answer; what was given before holds.
        """
        for part in self._sized(indices, until_ns - since_ns):
            read = await self._raw(part, since_ns, until_ns)
            if len(indices) == len(self._nodes) and self.offered is None:
                self._judge(read, part)
            yield read

    def _judge(self, read: Read, part: Sequence[int]) -> None:
        unsupported = sum(status in _UNSUPPORTED for status in read.failed.values())
        self.offered = unsupported < len(part)
        if not self.offered:
            raise NoHistoryError

    def _sized(self, indices: Sequence[int], span_ns: int) -> list[list[int]]:
        """Groups of variables whose values fit into one answer."""
        groups: list[list[int]] = []
        room = 0.0
        for index in indices:
            expected = 1 + span_ns / self._plan.variables[index].period_ns
            if room < expected or len(groups[-1]) >= self._session.history_nodes:
                groups.append([])
                room = float(_ANSWER_VALUES)
            groups[-1].append(index)
            room -= expected
        return groups

    async def _raw(self, part: Sequence[int], since_ns: int, until_ns: int) -> Read:
        details = ua.ReadRawModifiedDetails()
        details.IsReadModified = False
        details.ReturnBounds = False
        # Times are sent in whole µs; what is outside is left out below.
        details.StartTime, details.EndTime = _at(since_ns), _at(until_ns + 1_000)
        details.NumValuesPerNode = 0
        pieces: dict[int, list[Values]] = {index: [] for index in part}
        read = Read()
        asked: list[int] = list(part)
        points: list[bytes | None] = [None] * len(asked)
        for _round in range(_MOST_ROUNDS):
            try:
                results = await self._request(details, asked, points)
            except RefusedError as error:
                if error.code in _UNSUPPORTED:
                    self.offered = False
                    raise NoHistoryError from error
                if len(asked) == 1:
                    read.failed[asked[0]] = error.code
                    break
                # One that the server can't bear would hide all others: each by itself.
                return await self._one_by_one(part, since_ns, until_ns)
            further: list[tuple[int, bytes]] = []
            for index, result in zip(asked, results, strict=True):
                if self._taken(index, result, pieces[index], read, since_ns, until_ns):
                    further.append((index, result.continuation or b""))
            if not further:
                break
            asked, points = [i for i, _ in further], [p for _, p in further]
        for index in part:
            if index not in read.failed:
                read.values[index] = self._sorted(pieces[index], since_ns, until_ns)
        return read

    async def _one_by_one(self, part: Sequence[int], since_ns: int, until_ns: int) -> Read:
        read = Read()
        for index in part:
            one = await self._raw([index], since_ns, until_ns)
            read.values |= one.values
            read.failed |= one.failed
        return read

    def _taken(
        self,
        index: int,
        result: Result,
        pieces: list[Values],
        read: Read,
        since_ns: int,
        until_ns: int,
    ) -> bool:
        """Take one answer; whether there is more to ask for."""
        if result.status & _SEVERITY and result.status != BAD_NO_DATA:
            read.failed[index] = result.status
            self._say(index, result.status)
            return False
        pieces.append(result.values)
        if not result.continuation:
            return False
        held = sum(map(len, pieces))
        period = self._plan.variables[index].period_ns
        most = min(_MOST_VALUES, 1_000 + _MOST_TIMES_DECLARED * ((until_ns - since_ns) // period))
        # No values and still more to come, or far more than there can be: it may go on for ever.
        if len(result.values) == 0 or held > most or _stands_still(pieces):
            self._metrics.bad_history.labels(self._plan.name, "endless").inc()
            self._log.warning(
                "history does not end",
                server=self._plan.name,
                variable=self._plan.variables[index].key,
                values=held,
            )
            return False
        return True

    def _sorted(self, pieces: Sequence[Values], since_ns: int, until_ns: int) -> Values:
        whole = _joined(pieces)
        if not len(whole):
            return NOTHING
        count = self._metrics.bad_history.labels
        timeless = whole.times == NO_TIME
        if timeless.any():
            count(self._plan.name, "no-time").inc(int(timeless.sum()))
        inside = (whole.times >= since_ns) & (whole.times < until_ns)
        outside = int((~inside & ~timeless & ((whole.times - until_ns) > 1_000)).sum())
        if outside:
            count(self._plan.name, "outside").inc(outside)
        if (np.diff(whole.times[inside]) < 0).any():
            count(self._plan.name, "unordered").inc()
        # Of several values of one time the last one holds, as in InfluxDB.
        places = np.flatnonzero(inside)[::-1]
        times, first = np.unique(whole.times[places], return_index=True)
        doubled = len(places) - len(times)
        if doubled:
            count(self._plan.name, "doubled").inc(doubled)
        kept = places[first]
        if isinstance(whole.values, np.ndarray):
            return Values(times, whole.statuses[kept], whole.values[kept])
        values = whole.values
        return Values(times, whole.statuses[kept], [values[place] for place in kept.tolist()])

    def _say(self, index: int, status: int) -> None:
        """Count a node that cannot be read, and tell of each once."""
        self._metrics.bad_history.labels(self._plan.name, "refused").inc()
        if (index, status) not in self._said:
            self._said.add((index, status))
            name = status_name(status)
            self._log.warning(
                "history of a variable cannot be read",
                server=self._plan.name,
                variable=self._plan.variables[index].key,
                cause=name,
            )

    async def first_ns(self, since_ns: int, until_ns: int) -> int | None:
        """The oldest source time in [since, until) that the server holds of any variable.

        Raises:
            NoHistoryError, SessionError: as `read`.
        """
        details = ua.ReadRawModifiedDetails()
        details.IsReadModified = False
        details.ReturnBounds = False
        details.StartTime, details.EndTime = _at(since_ns), _at(until_ns)
        details.NumValuesPerNode = 1
        oldest: list[int] = []
        unsupported = 0
        for part in _parts(range(len(self._nodes)), self._session.history_nodes):
            try:
                results = await self._request(details, part, [None] * len(part))
            except RefusedError as error:
                if error.code in _UNSUPPORTED:
                    self.offered = False
                    raise NoHistoryError from error
                raise
            await self._release(part, results)
            for result in results:
                unsupported += result.status in _UNSUPPORTED
                oldest += [t for t in result.values.times.tolist() if since_ns <= t < until_ns]
        self.offered = unsupported < len(self._nodes)
        if not self.offered:
            raise NoHistoryError
        return min(oldest, default=None)

    async def _release(self, part: Sequence[int], results: Sequence[Result]) -> None:
        """Tell the server that nobody goes on from these points; it holds few of them."""
        held = [(i, r.continuation) for i, r in zip(part, results, strict=True) if r.continuation]
        if held:
            details = ua.ReadRawModifiedDetails()
            details.IsReadModified = False
            try:
                await self._request(
                    details, [i for i, _ in held], [p for _, p in held], release=True
                )
            except RefusedError:
                pass  # It has forgotten them by itself.

    async def _request(
        self,
        details: ua.HistoryReadDetails,
        part: Sequence[int],
        points: Sequence[bytes | None],
        *,
        release: bool = False,
    ) -> list[Result]:
        request = ua.HistoryReadRequest()
        request.Parameters.HistoryReadDetails = details
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
        request.Parameters.ReleaseContinuationPoints = release
        for index, point in zip(part, points, strict=True):
            value = ua.HistoryReadValueId()
            value.NodeId = self._nodes[index]
            value.ContinuationPoint = point
            request.Parameters.NodesToRead.append(value)
        answer = await self._session.request(request)
        names = [self._plan.variables[index].name for index in part]
        try:
            results = decode_response(answer, names.__getitem__)
        except WireError as error:
            self._metrics.bad_history.labels(self._plan.name, "unreadable").inc()
            # BadDecodingError, as if the server had said it.
            raise RefusedError(0x80070000, str(error)) from error
        except UaStatusCodeError as error:
            raise RefusedError(int(error.code), type(error).__name__) from error
        if len(results) != len(part) and not release:
            self._metrics.bad_history.labels(self._plan.name, "unreadable").inc()
            raise RefusedError(0x80090000, f"{len(results)} results for {len(part)} nodes")
        return results


def _at(time_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_ns // 1_000)


def _parts(indices: Sequence[int], size: int) -> list[Sequence[int]]:
    return [indices[first : first + size] for first in range(0, len(indices), size)]


def _count(result: Result) -> int:
    """The count that a server gave for one node; -1 where the values have to tell."""
    if result.status == GOOD_NO_DATA or (result.status == 0 and len(result.values) == 0):
        return 0
    if result.status & _SEVERITY or len(result.values) != 1:
        return -1
    value = result.values.value(0)
    # An uncertain count says that there are values of another quality, which it leaves out.
    if int(result.values.statuses[0]) & _SEVERITY or isinstance(value, bool):
        return -1
    return int(value) if isinstance(value, int | float) and value >= 0 else -1


def _stands_still(pieces: Sequence[Values]) -> bool:
    """Whether the last piece is the one before once more."""
    if len(pieces) < 2:
        return False
    return np.array_equal(pieces[-1].times, pieces[-2].times)


def _joined(pieces: Sequence[Values]) -> Values:
    pieces = [piece for piece in pieces if len(piece)]
    if not pieces:
        return NOTHING
    if len(pieces) == 1:
        return pieces[0]
    times = np.concatenate([piece.times for piece in pieces])
    statuses = np.concatenate([piece.statuses for piece in pieces])
    if all(isinstance(piece.values, np.ndarray) for piece in pieces):
        return Values(times, statuses, np.concatenate([piece.values for piece in pieces]))
    return Values(times, statuses, [p.value(place) for p in pieces for place in range(len(p))])
