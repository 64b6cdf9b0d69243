"""HistoryRead: asyncua's one hook for it, answered from the record in a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.history import HistoryManager
from fieldline.record import Archive
from fieldline.record.segment import LATEST

from opc_server.history.encode import doubles, history_data, int32s
from opc_server.history.processed import COUNT, DEFAULT_QUALITY, CountRead, Quality
from opc_server.history.raw import RawRead
from opc_server.metrics import Metrics
from opc_server.opcua import Server, StatusCodes, since_1970, status_code
from opc_server.points import Point
from opc_server.worker import Worker

# Values in one answer, of all its variables together. asyncua's client takes some 7 µs for each,
# more on a slower machine, and gives its connection up when it could not probe it for 1 s.
VALUES_PER_ANSWER = 10_000
# asyncua takes a request apart, and puts the answer together, in the event loop, some
# tens of µs a node.
NODES_PER_REQUEST = 1_000
# For the same reason: on a slow disk an answer has what was found until then, and a continuation
# point.
ANSWER_S = 0.3

Read = RawRead | CountRead


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for one node: encoded values, how many, and the continuation point."""

    status: int
    count: int = 0
    data: bytes = b""
    rest: bytes | None = None


class History(HistoryManager):
    """Answers HistoryRead for the declared variables.

    Args:
        server: whose history this is, not yet started.
        points: the variables, by index.
        archive: the record, asked for the same variables in the same order.
        metrics: what is counted.
    """

    def __init__(
        self, server: Server, points: Sequence[Point], archive: Archive, metrics: Metrics
    ) -> None:
        super().__init__(server.iserver)
        self._space = server.iserver.aspace
        self._places = {point.node: point.index for point in points}
        self._archive = archive
        self._metrics = metrics
        self._worker = Worker("history")

    def check(self) -> None:
        """Have damaged segments looked for; requests wait until that is done."""
        self._worker.post(self._archive.check)

    async def stop(self) -> None:
        """Answer no more; asyncua calls this when the server stops."""
        await super().stop()
        self._worker.end()

    async def read_history(self, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        """Answer one request; asyncua calls this.

        Raises:
            ServiceError: the request as a whole is wrong.
        """
        nodes = params.NodesToRead
        if not nodes:
            raise ServiceError(StatusCodes.BadNothingToDo)
        if len(nodes) > NODES_PER_REQUEST:
            raise ServiceError(StatusCodes.BadTooManyOperations)
        if params.ReleaseContinuationPoints:
            return [_released(node) for node in nodes]
        if params.TimestampsToReturn not in (
            ua.TimestampsToReturn.Source,
            ua.TimestampsToReturn.Server,
            ua.TimestampsToReturn.Both,
        ):
            raise ServiceError(StatusCodes.BadTimestampsToReturnInvalid)
        read = _read(params.HistoryReadDetails, len(nodes))
        asked = [self._asked(params, read, place, node) for place, node in enumerate(nodes)]
        return await self._worker.do(lambda: [_result(answer) for answer in self._answer(asked)])

    def _asked(
        self,
        params: ua.HistoryReadParameters,
        read: Read | int,
        place: int,
        node: ua.HistoryReadValueId,
    ) -> tuple[int, Read] | int:
        """What is to be read of which variable; or why nothing is, as a status code.

        Args:
            read: what the request asks of each node that does not go on with an earlier one.
        """
        variable = self._places.get(node.NodeId)
        if variable is None:
            known = node.NodeId in self._space
            return int(
                StatusCodes.BadHistoryOperationUnsupported
                if known
                else StatusCodes.BadNodeIdUnknown
            )
        if node.IndexRange:
            return int(StatusCodes.BadIndexRangeInvalid)
        if node.DataEncoding.Name:
            return int(StatusCodes.BadDataEncodingInvalid)
        # The record has source times alone. Who asks for both, as asyncua's client always does,
        # gets those.
        if params.TimestampsToReturn == ua.TimestampsToReturn.Server:
            return int(StatusCodes.BadTimestampNotSupported)
        if node.ContinuationPoint:
            point = node.ContinuationPoint
            rest = RawRead.from_bytes(point) or CountRead.from_bytes(point)
            return (variable, rest) if rest else int(StatusCodes.BadContinuationPointInvalid)
        if isinstance(read, CountRead) and params.HistoryReadDetails.AggregateType[place] != COUNT:
            return int(StatusCodes.BadAggregateNotSupported)
        return read if isinstance(read, int) else (variable, read)

    def _answer(self, asked: Sequence[tuple[int, Read] | int]) -> list[Answer]:
        """Read for all nodes of a request; in the worker's thread."""
        begun = time.perf_counter()
        deadline = time.monotonic() + ANSWER_S
        self._archive.refresh()
        answers: list[Answer | None] = [
            Answer(one) if isinstance(one, int) else None for one in asked
        ]
        left, nodes = VALUES_PER_ANSWER, answers.count(None)
        reads = nodes
        counts: dict[CountRead, list[int]] = {}
        for place, one in enumerate(asked):
            if isinstance(one, int):
                continue
            variable, read = one
            if isinstance(read, CountRead):
                counts.setdefault(read, []).append(place)
                continue
            # Each node has its share, and what those before it have left of theirs.
            answers[place] = found = (
                self._raw(variable, read, max(1, left // nodes), deadline)
                if nodes == reads or time.monotonic() < deadline
                else Answer(int(StatusCodes.Good), rest=read.to_bytes())
            )
            left, nodes = left - found.count, nodes - 1
        self._metrics.history_reads.labels("raw").inc(reads - nodes)
        self._metrics.history_reads.labels("count").inc(nodes)
        for count, places in counts.items():
            variables = [one[0] for one in (asked[p] for p in places) if not isinstance(one, int)]
            share = max(1, left // nodes)
            for place, found in zip(places, self._count(count, variables, share), strict=True):
                answers[place] = found
        complete = [answer for answer in answers if answer is not None]
        self._metrics.history_values.inc(sum(answer.count for answer in complete))
        self._metrics.history_seconds.inc(time.perf_counter() - begun)
        return complete

    def _raw(self, variable: int, read: RawRead, most: int, deadline: float) -> Answer:
        entries, rest = read.page(self._archive, variable, most, deadline)
        data = doubles(entries["time"], entries["status"], entries["value"])
        nothing = rest is None and not len(entries)
        return Answer(
            int(StatusCodes.GoodNoData if nothing else StatusCodes.Good),
            len(entries),
            data,
            rest.to_bytes() if rest else None,
        )

    def _count(self, read: CountRead, variables: list[int], most: int) -> list[Answer]:
        every = len(self._places)
        found, rest = read.page(self._archive, variables, every, min(most, read.most(every)))
        point = rest.to_bytes() if rest else None
        of_each = int32s(found.times, found.statuses, found.counts, found.there)
        return [Answer(int(StatusCodes.Good), len(found.times), data, point) for data in of_each]


def _read(details: Any, nodes: int) -> Read | int:
    """What the details of a request ask of each of its nodes; or what is wrong with them."""
    if isinstance(details, ua.ReadRawModifiedDetails) and not details.IsReadModified:
        raw = RawRead.of(
            _given(details.StartTime),
            _given(details.EndTime),
            details.NumValuesPerNode,
            details.ReturnBounds,
        )
        return raw or int(StatusCodes.BadHistoryOperationInvalid)
    if not isinstance(details, ua.ReadProcessedDetails):
        return int(StatusCodes.BadHistoryOperationUnsupported)
    if len(details.AggregateType) != nodes:
        return int(StatusCodes.BadAggregateListMismatch)
    quality, asked = DEFAULT_QUALITY, details.AggregateConfiguration
    if not asked.UseServerCapabilitiesDefaults:
        quality = Quality(asked.TreatUncertainAsBad, asked.PercentDataBad, asked.PercentDataGood)
        if not quality.possible:
            return int(StatusCodes.BadAggregateConfigurationRejected)
    start, end = _given(details.StartTime), _given(details.EndTime)
    if start is None or end is None:
        return int(StatusCodes.BadInvalidArgument)
    counted = CountRead.of(start, end, details.ProcessingInterval, quality)
    return counted or int(StatusCodes.BadInvalidArgument)


def _given(when: datetime) -> int | None:
    """A time of a request, ns since 1970, cut to what 64 bits hold; None if it is not given."""
    if when <= ua.get_win_epoch():
        return None
    return max(0, min(since_1970(when), LATEST - 1))


def _released(node: ua.HistoryReadValueId) -> ua.HistoryReadResult:
    """Nothing is kept for a continuation point, so that there is nothing to release."""
    point = node.ContinuationPoint or b""
    known = RawRead.from_bytes(point) or CountRead.from_bytes(point)
    code = StatusCodes.Good if known else StatusCodes.BadContinuationPointInvalid
    return ua.HistoryReadResult(status_code(int(code)))


def _result(answer: Answer) -> ua.HistoryReadResult:
    good = answer.status in (StatusCodes.Good, StatusCodes.GoodNoData)
    data: Any = history_data(answer.count, answer.data) if good else None
    point: Any = answer.rest
    return ua.HistoryReadResult(status_code(answer.status), point, data)
