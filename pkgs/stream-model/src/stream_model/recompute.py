"""A recomputation: reads the log again around a partition's repairs, and gives what they change.

First come the records behind the oldest mark, so that it is known which values are late; then those
around their times; then, as far as an input is not known exactly where the first of them holds,
older and older ones, twice as far each time. All assets are served by the same reading.

Memory is bounded: an asset that does not fit is left to wait, and of a single one only the first
part is done. What retention has removed cannot be known; such results are not given, but reported.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from math import isfinite

import numpy as np
from fieldline.messages import MessageError, ModelResult, decode_opc
from fieldline.stream import Output, Range, Record, Stepped

from stream_model import stored
from stream_model.evaluate import Evaluation, evaluate, matrix
from stream_model.judge import FUTURE_NS, NS_PER_MS, judge, latest
from stream_model.recording import EVER, Ints, Recording, Series, events
from stream_model.results import result_records
from stream_model.step import State
from stream_model.work import Recomputed, Report

# Values in memory, 24 bytes each and as much again while they are sorted.
_MOST_VALUES = 1_000_000
# Inputs and results that are worked on between two turns of the live records, and results of one
# transaction: some ms, and some tens of ms.
_CELLS = 10_000
_RESULTS = 10_000
# Assets that are looked at for what can be dropped, before some are left to wait.
_PRUNED = 20


class Recomputation:
    """A `Rereading` for all repairs that wait.

    Args:
        topic: of the results.
        next_offset: of the first record that is not in the state yet.
        lookback_ms: in which each periodic input has a value.
    """

    def __init__(self, state: State, topic: str, next_offset: int, lookback_ms: int) -> None:
        self._state = state
        self._topic = topic
        self._end = next_offset
        self._back = lookback_ms * NS_PER_MS
        self._began = time.perf_counter()
        repairs = state.repairs
        running = repairs.run()
        self._revision = repairs.take_revision(next_offset)
        whole = repairs.knows_all(state.now_ms, state.retention_ns)
        self._lead = repairs.ledger.lead if whole else FUTURE_NS
        self._recordings = {
            asset: Recording(window, repair, whole=whole)
            for asset, repair in running.items()
            if (window := state.window(asset)) is not None
        }
        self._assets = len(running)
        self._skipped = {name.encode() for name in state.plan.assets.keys() - running.keys()}
        self._records = self._values = 0
        # The offset from which on all has been read, and the own time of the record there; all
        # values from `complete_from` on have been.
        self._start, self._start_ms = next_offset, 0
        self._first = 0
        self._complete_from = 1 << 62
        # What the next step will change: asset → before when its ticks are given, None for all.
        self._done: dict[str, int | None] = {}
        self._outputs: list[Output] = []
        self._report = Recomputed()

    def take(self, records: Sequence[Record]) -> None:
        """See `Rereading.take`."""
        self._records += len(records)
        if records and records[0].offset < self._start:
            self._start, self._start_ms = records[0].offset, records[0].timestamp
        skipped = self._skipped
        for record in records:
            if record.key in skipped:
                continue
            try:
                item = decode_opc(record.value)
            except MessageError:
                continue
            recording = self._recordings.get(item.asset)
            if recording is None:
                continue
            judged = judge(item, recording.kind.variables, latest(record.timestamp))
            if not isinstance(judged, str):
                recording.add(judged[0], item.time, judged[1], record.offset)
                self._values += 1
        if self._values > _MOST_VALUES:
            self._shrink()

    def taken(self, start: int, first: int) -> None:
        """See `Rereading.taken`."""
        self._start, self._first = start, first

    def run(self) -> Iterator[Range | Stepped[Report] | None]:
        """See `Rereading.run`."""
        mark = min(one.repair.mark for one in self._recordings.values())
        yield Range(self._end, start=mark)
        for recording in list(self._recordings.values()):
            repair = recording.repair
            affected = recording.marked()
            if not self._start <= repair.mark < self._end:
                # The late values themselves are gone, or some of them.
                self._report.unknown.append((recording.name, repair.first, repair.last))
            if not affected:
                self._end_of(recording)
            yield None
        while self._recordings:
            yield from self._read_back()
            for recording in list(self._recordings.values()):
                found = recording.series(self._complete_from)
                if self._start > self._first and recording.lacks(found):
                    # Another one may be helped by what was read, and leave its memory.
                    yield None
                    continue
                yield from self._give(recording, found)
                self._end_of(recording)
        self._report.ended = True
        self._report.assets, self._report.records = self._assets, self._records
        self._report.seconds = time.perf_counter() - self._began
        yield self._step()

    def _read_back(self) -> Iterator[Range]:
        """Read what is older, twice as far back each time."""
        low = min(recording.low for recording in self._recordings.values())
        since_ms = max(0, low - self._lead - self._back) // NS_PER_MS
        self._back *= 2
        yield Range(self._start, since_ms=since_ms)
        self._complete_from = since_ms * NS_PER_MS + self._lead
        if self._start <= self._first:
            # Nothing was ever removed, or all that was had come before the first that is left.
            self._complete_from = self._start_ms * NS_PER_MS + FUTURE_NS if self._first else EVER
        self._values = sum(map(len, self._recordings.values()))

    def _shrink(self) -> None:
        """Drop what is not needed; if that is not enough, leave something for another time."""
        most = 3 * _MOST_VALUES // 4
        recordings = self._recordings
        largest = sorted(recordings.values(), key=len)[-_PRUNED:]
        for recording in largest:
            recording.prune()
        self._values = sum(map(len, recordings.values()))
        while self._values > most and len(recordings) > 1:
            asset, recording = recordings.popitem()
            self._skipped.add(asset.encode())
            self._values -= len(recording)
        last = next(iter(recordings.values()))
        while self._values > most and last.halve():
            self._values = len(last)

    def _give(
        self, recording: Recording, found: dict[int, Series]
    ) -> Iterator[Stepped[Report] | None]:
        """Give all results of an asset, in order of time."""
        ticks = recording.ticks(found)
        # Where nothing was ever removed, what is not there never was.
        lost = self._complete_from != EVER
        unknown = recording.unknowable(found) if lost else []
        groups = [recording.kind.groups[number] for number in recording.groups]
        count = max(1, _CELLS // sum(len(group.inputs) + len(group.models) for group in groups))
        for place in range(0, len(ticks), count):
            part = ticks[place : place + count]
            missing = self._evaluate(recording, found, part)
            if lost:
                unknown += missing
            self._done[recording.name] = int(part[-1]) + 1
            yield self._step() if len(self._outputs) >= _RESULTS else None
        if unknown:
            self._report.unknown.append((recording.name, min(unknown), max(unknown)))

    def _evaluate(self, recording: Recording, found: dict[int, Series], ticks: Ints) -> list[int]:
        """Compute all groups at some ticks; gives first and last of those that cannot be known."""
        kind = recording.kind
        unknown: list[int] = []
        for number in recording.groups:
            group = kind.groups[number]
            early = ticks[: np.searchsorted(ticks, recording.ends[number])]
            if not len(early):
                continue
            due = events(recording.inputs(found, number), early)
            if len(due.unknown):
                unknown += [int(due.unknown[0]), int(due.unknown[-1])]
            if len(due.ticks):
                rows, times = matrix(due.columns), due.ticks.tolist()
                for model in group.models:
                    name = f"{kind.name}.{model.name}"
                    evaluation = evaluate(model, rows)
                    self._count(name, len(times), evaluation)
                    results = [
                        ModelResult(model.name, value, tick, recording.name, self._revision)
                        for value, tick in zip(evaluation.values.tolist(), times, strict=True)
                        if isfinite(value)
                    ]
                    self._outputs += result_records(results)
        return unknown

    def _count(self, name: str, results: int, evaluation: Evaluation) -> None:
        failed, report = evaluation.failed, self._report
        report.given[name] += results - failed
        if failed:
            before, _ = report.model_errors.get(name, (0, ""))
            report.model_errors[name] = (before + failed, evaluation.error)

    def _end_of(self, recording: Recording) -> None:
        """An asset is done, or as much of it as was read."""
        del self._recordings[recording.name]
        self._skipped.add(recording.name.encode())
        self._done[recording.name] = recording.cut

    def _step(self) -> Stepped[Report]:
        """Change the state by what has been done since the last step.

        Not before: a live step in between would store it without the results.
        """
        repairs = self._state.repairs
        for asset, done in self._done.items():
            if done is None:
                del repairs.running[asset]
            else:
                repairs.running[asset].done = done
            repairs.changed.add(asset)
        self._done.clear()
        report, self._report = self._report, Recomputed()
        outputs, self._outputs = self._outputs, []
        report.pending = len(repairs)
        context, changes = stored.take_changes(self._state, ())
        return Stepped(report, {self._topic: outputs} if outputs else {}, changes, context)
