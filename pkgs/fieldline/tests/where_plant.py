"""A plant of fakes for diagnoses: all is well until a test breaks something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from fieldline.local import Entry, LocalHost, UnitState, read_message
from fieldline.provision.topics import DEAD_LETTER
from fieldline.remote.endpoint import Reach
from fieldline.remote.offsets import GROUPS, KafkaReading, TopicEnd
from fieldline.remote.scrape import Scrape
from fieldline.site import Site, load_site
from fieldline.states import GapFillerState, LedgerState
from fieldline.verify.catalogue import catalogue_of
from fieldline.where.diagnose import diagnose
from fieldline.where.diagnosis import Diagnosis, Stopped
from fieldline.where.evidence import Evidence, Recorded
from fieldline.where.looking import choose
from fieldline.where.probes import Readings, Told
from fieldline.where.stored import Stored
from fieldline.where.tail import Refused, Seen, Tail

SITE = load_site(Path(__file__).parents[3] / "site.toml")
NOW = 1_800_000_000 * 10**9
SECOND = 10**9

T, P, S = "Temperature", "Pressure", "SlowSensor"
VARIABLES = (T, P, S)
MODELS = ("model1", "model2")
_WORDS: Mapping[Reach, str] = {
    "refused": "unreachable: nothing listens there",
    "silent": "unreachable: no answer in time",
    "hangs": "takes a connection, but does not answer in time",
    "odd": "answers HTTP 404",
}


def down(reach: Reach) -> Scrape:
    """What a scrape of a service gives that is reached no further."""
    return Scrape(problem=_WORDS[reach], reach=reach)


def failed(line: str) -> Entry:
    """An entry of this host's journal."""
    return Entry(NOW - SECOND, read_message(line), line)


def unit(name: str, active: str, **more: object) -> UnitState:
    """A unit of this host that has ended with a failure, but for what is said."""
    defaults: dict[str, object] = {"sub": "", "result": "exit-code", "main": False}
    return UnitState(name, active, **{**defaults, **more})  # type: ignore[arg-type]


def said(group: Stopped) -> tuple[str, str, str]:
    """What a group says of its cause, and where."""
    return group.hop, group.name, group.code


@dataclass
class Plant:
    """What is seen of the demonstration plant; ages in s, None for a series that never was."""

    site: Site = SITE
    host: str | None = "db"
    stored: dict[str, float | None] = field(
        default_factory=lambda: dict.fromkeys((*VARIABLES, *MODELS), 0.5)
    )
    # None: the end of Kafka's topics was not read.
    kafka: dict[str, float | None] | None = None
    arrived: dict[str, float] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    usable: dict[str, float] = field(default_factory=dict)
    recorded: dict[str, tuple[float, int]] | None = None
    gap_filler: GapFillerState | None = None
    ledger: LedgerState | None = None
    store_problem: str = ""
    store_reach: Reach = "answers"
    store_unseen: str = ""
    here: LocalHost | None = None
    words: dict[str, Entry] = field(default_factory=dict)
    server: Scrape | None = None
    # An existing server tells nothing of itself.
    server_told: bool = True
    collector: Scrape | None = None
    writer: Scrape | None = None
    model: Told = field(default_factory=Told)
    broker: KafkaReading | None = None
    lags: dict[str, int] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    clock_s: float = 0.0
    sessions: float = 1.0
    waiting: float = 0.0
    writer_waiting: float = 0.0
    writer_errors: float = 0.0
    dropped: float = 0.0
    certain: float = 1.0

    def stop(self, *names: str, age: float, kafka: float | None = None) -> None:
        """Series are not newer than `age` in InfluxDB, and than `kafka` in Kafka (as old)."""
        if self.kafka is None:
            self.kafka = dict(self.stored)
        for name in names:
            self.stored[name] = age
            self.kafka[name] = age if kafka is None else kafka

    def everything(self, age: float, kafka: float | None = None) -> None:
        """All series have stopped."""
        self.stop(*VARIABLES, *MODELS, age=age, kafka=kafka)

    # -- as the code under test has it --------------------------------------------------------

    def diagnosis(self, wanted: str = "") -> Diagnosis:
        """The diagnosis of this plant."""
        catalogue = catalogue_of(self.site)
        return diagnose(self.site, catalogue, self.evidence(), choose(catalogue, wanted))

    def only(self, wanted: str = "") -> Stopped:
        """The only group that has stopped."""
        found = self.diagnosis(wanted).stopped
        assert len(found) == 1, found
        return found[0]

    def evidence(self) -> Evidence:
        catalogue = catalogue_of(self.site)
        names = [v.variable for v in catalogue.variables]
        models = [m.name for m in catalogue.models]
        ages = {n: self.stored.get(n) for n in (*names, *models)}
        # What is older than a minute is not in the span that is asked for first.
        near = {n: _at(a) if a is not None and a < 60 else 0 for n, a in ages.items()}
        past = {n: _at(a) for n, a in ages.items() if not near[n]}
        stored = Stored(
            NOW - 60 * SECOND,
            np.array([near[n] for n in names], np.int64),
            np.array([self.status.get(n, 0) for n in names], np.uint32),
            np.array([near[n] for n in models], np.int64),
        )
        asked = not (self.store_problem or self.store_unseen)
        fillers = {} if self.gap_filler is None else {"collector": self.gap_filler}
        records = {}
        if self.recorded is not None:
            found = {("Sensors", n): Recorded(_at(a), s) for n, (a, s) in self.recorded.items()}
            records = {"opc": found}
        return Evidence(
            NOW,
            self.readings(),
            stored if asked else None,
            self.store_problem,
            self.store_reach,
            self.store_unseen,
            {i: past[n] for i, n in enumerate(names) if n in past} if asked else {},
            {i: past[n] for i, n in enumerate(models) if n in past} if asked else {},
            {i: _at(self.usable[n]) for i, n in enumerate(names) if n in self.usable},
            self.tail(),
            fillers,
            records,
            self.ledger,
        )

    def tail(self) -> Tail | None:
        if self.kafka is None:
            return None

        def seen(name: str) -> Seen:
            age = (self.kafka and self.kafka[name]) or 0.0
            arrival = NOW - round(self.arrived.get(name, age) * SECOND)
            return Seen(_at(age), arrival // 10**6, self.status.get(name, 0))

        present = [n for n, age in self.kafka.items() if age is not None and age < 60]
        return Tail(
            {("Sensors", n): seen(n) for n in present if n not in MODELS},
            {("Sensors", n): seen(n) for n in present if n in MODELS},
            refused=self.refused,
        )

    def readings(self) -> Readings:
        server = Scrape(
            [
                ("opc_server_sessions", {}, self.sessions),
                ("opc_server_time_certain", {}, self.certain),
            ]
        )
        collector = Scrape(
            [
                ("internal_write_buffer_size", {"output": "kafka"}, self.waiting),
                ("internal_write_metrics_dropped", {"output": "kafka"}, self.dropped),
            ]
        )
        writer = Scrape(
            [
                ("internal_write_buffer_size", {"output": "influxdb_v2"}, self.writer_waiting),
                ("internal_write_errors", {"output": "influxdb_v2"}, self.writer_errors),
            ]
        )
        ends = {"opc": TopicEnd({0: 100}, 0), "model": TopicEnd({0: 100}, 0)}
        kafka = KafkaReading(
            {**ends, DEAD_LETTER: TopicEnd({0: 0}, -1)},
            {g: {(t, 0): 100 - self.lags.get(g, 0)} for g, t in GROUPS.items()},
        )
        told = replace(self.server or server, clock_s=self.clock_s)
        return Readings(
            {"opc": told} if self.server_told else {},
            {"collector": self.collector or collector, "db": self.writer or writer},
            self.broker or kafka,
            {"collector": self.model},
            self.here or LocalHost(self.host),
            self.words,
        )


def _at(age: float | None) -> int:
    """A source time; 0 for what never was."""
    return 0 if age is None else NOW - round(age * SECOND)
