"""All that a diagnosis judges by, gathered at about one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fieldline.local import Entry, LocalHost
from fieldline.remote.endpoint import Reach
from fieldline.states import GapFillerState, LedgerState, VariableTimes, variable_key
from fieldline.verify.catalogue import Catalogue
from fieldline.where.probes import Readings
from fieldline.where.stored import Stored
from fieldline.where.tail import Seen, Tail

# A series is stale if its newest value is older than three of its periods, and than this.
LEAST_NS = 10 * 10**9
PERIODS = 3
# Clocks that agree within this are not worth a word: a `Date` header has whole seconds.
CLOCK_S = 2.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """The newest value of a variable in its own server's record."""

    time_ns: int
    status: int


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What was seen; what could not be looked at is missing.

    Attributes:
        now_ns: this host's clock when the stored times were read.
        stored: InfluxDB's newest, or None with `store_problem`, in plain words, if it does not
            answer, or with `store_unseen` if it cannot be asked from here.
        past_values, past_results: index to a time before the span of `stored`; 0: never one.
        usable: index to the time of the last value that was not Bad.
        tail: the ends of Kafka's topics; None if they were not read.
        gap_fillers: collector to the state of its gap filler, where that answers.
        records: own server to (asset, variable) to the newest in its record, where it was read.
        ledger: the state of the ledger, if that answers.
    """

    now_ns: int
    readings: Readings
    stored: Stored | None = None
    store_problem: str = ""
    store_reach: Reach = "answers"
    store_unseen: str = ""
    past_values: Mapping[int, int] = field(default_factory=dict)
    past_results: Mapping[int, int] = field(default_factory=dict)
    usable: Mapping[int, int] = field(default_factory=dict)
    tail: Tail | None = None
    gap_fillers: Mapping[str, GapFillerState] = field(default_factory=dict)
    records: Mapping[str, Mapping[tuple[str, str], Recorded]] = field(default_factory=dict)
    ledger: LedgerState | None = None

    @property
    def here(self) -> LocalHost:
        """The host that this was gathered on."""
        return self.readings.here

    @property
    def words(self) -> Mapping[str, Entry]:
        """Unit of this host to its last error, or to its last words if it has ended."""
        return self.readings.words

    def clock_s(self, server: str) -> float:
        """How far the clock of an own server's host is ahead of this host's, s; 0 if they agree."""
        scrape = self.readings.servers.get(server)
        clock = 0.0 if scrape is None or scrape.clock_s is None else scrape.clock_s
        return clock if abs(clock) > CLOCK_S else 0.0

    def seen(self, asset: str, variable: str) -> Seen | None:
        """The variable's newest record at the end of `opc`, if that was read and has one."""
        return None if self.tail is None else self.tail.values.get((asset, variable))

    def told(self, collector: str, asset: str, variable: str) -> VariableTimes | None:
        """What the gap filler tells of a variable, if it answers and knows it."""
        state = self.gap_fillers.get(collector)
        return None if state is None else state.variables.get(variable_key(asset, variable))


def limits_of(catalogue: Catalogue) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """From which age on each variable and each model is stale, ns; a model by its fastest input."""
    periods = np.array([v.period_ms for v in catalogue.variables], np.int64) * 10**6
    fastest = np.array(
        [min(periods[i] for i in model.inputs) for model in catalogue.models], np.int64
    )
    return np.maximum(PERIODS * periods, LEAST_NS), np.maximum(PERIODS * fastest, LEAST_NS)
