"""Gathers the evidence for a diagnosis: little while all is well, the rest where it is not.

While every series is fresh in InfluxDB nothing else is asked: all before it must work. Only for
what is not fresh the ends of Kafka's topics, the gap fillers and the servers' records are read.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import numpy as np

from fieldline.errors import FieldlineError
from fieldline.influx import InfluxClient, InfluxRefusedError, InfluxUnreachableError
from fieldline.provision.topics import DEAD_LETTER
from fieldline.record import Newest, fetch_newest
from fieldline.remote.endpoint import Endpoint, Reach, reach_of_port
from fieldline.site import Site
from fieldline.states import STATE_PATH, GapFillerState, LedgerState, decode_state
from fieldline.verify.catalogue import Catalogue, catalogue_of
from fieldline.where.diagnose import Chosen, diagnose
from fieldline.where.diagnosis import Diagnosis
from fieldline.where.evidence import Evidence, Recorded, limits_of
from fieldline.where.probes import Readings, bootstrap_of, hosts_of, url_of
from fieldline.where.stored import Past, is_bad, read_stored
from fieldline.where.tail import Tail, read_tail

_T = TypeVar("_T")
_State = TypeVar("_State", bound=msgspec.Struct)

# How long the further evidence is waited for, s; what has not come then is not judged by.
_PATIENCE = 6.0
_MINUTE_NS = 60 * 10**9
_HOUR_NS = 60 * _MINUTE_NS
# How far the ends of the topics are read back where InfluxDB cannot be asked.
_BACK_NS = 10 * _MINUTE_NS
# What of a record is read at most: 12 MB.
_MOST_ENTRIES = 500_000
_MARGIN_NS = 5 * 10**9


@dataclass(frozen=True, slots=True)
class Store:
    """Where InfluxDB is asked; `unseen` says in plain words why it is not, if it is not."""

    client: InfluxClient | None = None
    unseen: str = ""


@dataclass(slots=True)
class _Suspects:
    """What is not fresh in InfluxDB, or bad there: indices."""

    stale: list[int] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    models: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.stale or self.bad or self.models)


class Looker:
    """Makes diagnoses of one site; used from one thread at a time.

    Args:
        wanted: `VARIABLE`, `MODEL`, `ASSET` or `ASSET/NAME`; all if empty.
    """

    def __init__(self, site: Site, store: Store, wanted: str = "") -> None:
        self._site = site
        self._store = store
        self._catalogue = catalogue_of(site)
        self._chosen = choose(self._catalogue, wanted)
        self._limits, self._model_limits = limits_of(self._catalogue)
        self._gap_fillers = {
            name: Endpoint(url_of(site, name, site.metrics.gap_filler)) for name in site.collectors
        }
        self._ledgers = [
            Endpoint(url_of(site, name, site.metrics.ledger)) for name in hosts_of(site, "influxdb")
        ]
        client, bucket = store.client, site.influxdb.bucket
        self._past = None if client is None else Past(client, bucket, self._catalogue)

    def look(self, readings: Readings) -> Diagnosis:
        """Look now; takes about a second while all is well, some seconds where it is not."""
        evidence = Evidence(time.time_ns(), readings, store_unseen=self._store.unseen)
        evidence = self._with_stored(evidence)
        suspects = self._suspects(evidence)
        if suspects or evidence.stored is None or self._refused(evidence):
            evidence = self._further(evidence, suspects)
        return diagnose(self._site, self._catalogue, evidence, self._chosen)

    # -- InfluxDB ---------------------------------------------------------------------------------

    def _with_stored(self, evidence: Evidence) -> Evidence:
        client = self._store.client
        if client is None:
            return evidence
        span = int(max(self._limits.max(initial=0), self._model_limits.max(initial=0)))
        since = evidence.now_ns - span - _MARGIN_NS
        bucket = self._site.influxdb.bucket
        try:
            stored = read_stored(client, bucket, self._catalogue, since)
        except FieldlineError as error:
            return _without_store(evidence, client, error)
        return replace(evidence, stored=stored, now_ns=time.time_ns())

    def _suspects(self, evidence: Evidence) -> _Suspects:
        stored = evidence.stored
        if stored is None:
            return _Suspects()
        names = [v.server for v in self._catalogue.variables]
        clock = {name: evidence.clock_s(name) for name in set(names)}
        ahead = np.array([round(clock[name] * 1e9) for name in names], np.int64)
        fresh = evidence.now_ns + ahead - stored.values <= self._limits
        model_fresh = evidence.now_ns - stored.results <= self._model_limits
        bad = fresh & is_bad(stored.status)
        inputs = {i for m in self._chosen.models for i in self._catalogue.models[m].inputs}
        asked = sorted({*self._chosen.variables, *inputs})
        return _Suspects(
            [i for i in asked if not fresh[i]],
            [i for i in asked if bad[i]],
            [m for m in self._chosen.models if not model_fresh[m]],
        )

    def _refused(self, evidence: Evidence) -> bool:
        """Whether dead letters have come a moment ago."""
        topic = evidence.readings.kafka.topics.get(DEAD_LETTER)
        if topic is None or topic.newest_ms < 0:
            return False
        return evidence.now_ns - topic.newest_ms * 10**6 < _MINUTE_NS

    # -- further ----------------------------------------------------------------------------------

    def _further(self, evidence: Evidence, suspects: _Suspects) -> Evidence:
        """All evidence there is, asked for at once."""
        pool = ThreadPoolExecutor(thread_name_prefix="look")
        past = pool.submit(self._look_back, suspects, evidence)
        fillers = {
            name: pool.submit(_state_of, endpoint, GapFillerState)
            for name, endpoint in self._gap_fillers.items()
        }
        ledgers = {e.url: pool.submit(_state_of, e, LedgerState) for e in self._ledgers}
        tail: Future[Tail] | None = None
        if evidence.readings.kafka.reach == "answers":
            span = int(self._limits.max(initial=0))
            if evidence.stored is None:
                # Without InfluxDB it is Kafka alone that tells since when.
                span = max(span, _BACK_NS)
            since_ms = (evidence.now_ns - min(span, _HOUR_NS)) // 10**6
            topics = {name: len(t.ends) for name, t in evidence.readings.kafka.topics.items()}
            tail = pool.submit(read_tail, bootstrap_of(self._site), topics, since_ms)
        records = {
            name: pool.submit(self._record, name)
            for name in self._servers_of(evidence, suspects)
            if name in evidence.readings.servers and not evidence.readings.servers[name].problem
        }
        asked: list[Future[Any]] = [past, *fillers.values(), *ledgers.values(), *records.values()]
        wait([*asked, tail] if tail is not None else asked, _PATIENCE)
        pool.shutdown(wait=False, cancel_futures=True)
        values, results, usable = past.result() if past.done() else ({}, {}, {})
        return replace(
            evidence,
            past_values=values,
            past_results=results,
            usable=usable,
            tail=None if tail is None else tail.result() if tail.done() else Tail(problem="late"),
            gap_fillers=_answered(fillers),
            ledger=next(iter(_answered(ledgers).values()), None),
            records=_answered(records),
        )

    def _look_back(
        self, suspects: _Suspects, evidence: Evidence
    ) -> tuple[dict[int, int], dict[int, int], dict[int, int]]:
        stored = evidence.stored
        if self._past is None or stored is None:
            return {}, {}, {}
        values = [i for i in suspects.stale if not stored.values[i]]
        results = [m for m in suspects.models if not stored.results[m]]
        usable: dict[int, int] = {}
        try:
            self._past.look(values, results, evidence.now_ns)
            if suspects.bad:
                usable = self._past.last_usable(suspects.bad, evidence.now_ns)
        except FieldlineError:
            pass  # Since when is then not known; the store itself was asked before.
        return dict(self._past.values), dict(self._past.results), usable

    def _servers_of(self, evidence: Evidence, suspects: _Suspects) -> Collection[str]:
        """The servers whose record may tell more."""
        indices = suspects.stale if evidence.stored is not None else self._chosen.variables
        return {self._catalogue.variables[i].server for i in indices}

    def _record(self, server: str) -> Mapping[tuple[str, str], Recorded] | None:
        mine = [i for i, v in enumerate(self._catalogue.variables) if v.server == server]
        host = self._site.servers[server].host
        if host is None:
            return None
        rate = sum(1000 / self._catalogue.variables[i].period_ms for i in mine)
        seconds = max(int(self._limits[i]) for i in mine) / 1e9 + _MARGIN_NS / 1e9
        most = min(_MOST_ENTRIES, round(rate * seconds) + len(mine))
        try:
            newest = fetch_newest(url_of(self._site, host, self._site.metrics.opc_server), most)
        except FieldlineError:
            return None
        return newest_of(newest)


def choose(catalogue: Catalogue, wanted: str) -> Chosen:
    """Indices of what is named; see `Looker`."""

    def named(asset: str, name: str) -> bool:
        return wanted in ("", name, asset, f"{asset}/{name}")

    return Chosen(
        [i for i, v in enumerate(catalogue.variables) if named(v.asset, v.variable)],
        [i for i, m in enumerate(catalogue.models) if named(m.asset, m.name)],
    )


def newest_of(end: Newest) -> dict[tuple[str, str], Recorded]:
    """The newest entry of each variable that a server has now.

    A variable without an entry has none since the oldest one: it gets that time, as Good.
    """
    table = end.table
    if not len(table):
        return {}
    begin = int(table.time.min())
    found = {(v.asset, v.variable): Recorded(begin, 0) for v in end.variables}
    order = np.argsort(table.time, kind="stable")
    # Of equal indices the first place in the reversed order is the newest entry's.
    indices, places = np.unique(table.variable[order][::-1], return_index=True)
    for index, place in zip(indices.tolist(), places.tolist(), strict=True):
        entry = order[len(order) - 1 - place]
        key = table.variables[index].asset, table.variables[index].variable
        if key in found:
            found[key] = Recorded(int(table.time[entry]), int(table.status[entry]))
    return found


def _without_store(evidence: Evidence, client: InfluxClient, error: FieldlineError) -> Evidence:
    """InfluxDB has not answered, or does not let us read."""
    cause = error.cause or error.what_to_do
    if isinstance(error, InfluxUnreachableError):
        url = urlsplit(client.url)
        reach, _ = reach_of_port(url.hostname or "", url.port or 80)
        known: Reach = "hangs" if reach == "answers" else reach
        return replace(evidence, store_problem=cause, store_reach=known)
    if isinstance(error, InfluxRefusedError) and error.status < 500:
        return replace(evidence, store_unseen=f"it refuses to be read: {cause}")
    return replace(evidence, store_problem=cause, store_reach="odd")


def _state_of(endpoint: Endpoint, kind: type[_State]) -> _State | None:
    answer = endpoint.get(STATE_PATH)
    try:
        return None if answer.problem else decode_state(answer.body, kind)
    except msgspec.DecodeError:
        return None


def _answered(futures: Mapping[str, Future[_T | None]]) -> dict[str, _T]:
    """What has come by now and is something."""
    done = {name: future.result() for name, future in futures.items() if future.done()}
    return {name: result for name, result in done.items() if result is not None}
