"""For each variable that is not fresh, the first hop at which it stopped, and why.

It follows a value's way, and stops at the first hop that is broken: those behind it have nothing to
do, and are not blamed. A variable that is fresh in Kafka has passed all before Kafka; one that is
not has not, so nothing behind Kafka is looked at for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fieldline.influx.layout import BAD_STATUS
from fieldline.site import Server, Site
from fieldline.verify.catalogue import Catalogue, DeclaredVariable
from fieldline.where.blame import Blame
from fieldline.where.causes import cause
from fieldline.where.diagnosis import Cause, Stop, StopHop
from fieldline.where.evidence import Evidence, Recorded, limits_of
from fieldline.where.probes import hosts_of
from fieldline.where.statuses import BAD_NODE_ID_UNKNOWN, status_words
from fieldline.where.tail import Seen

# A hop, the name of its station, the cause.
Found = tuple[StopHop, str, Cause]

_SECOND_NS = 10**9

# Codes of the gap filler to ours; the others are given in its own words.
_TOLD = {"source-stopped": "source-stopped", "node-unknown": "unknown-node"}
# Its code of a value that a server need not report, since it stays as it is.
_UNCHANGED = "unchanged"


class Variables:
    """Judges variables.

    Args:
        chosen: indices of the variables to judge.
    """

    def __init__(
        self, site: Site, catalogue: Catalogue, evidence: Evidence, chosen: Sequence[int]
    ) -> None:
        self._site = site
        self._catalogue = catalogue
        self._evidence = evidence
        self._chosen = chosen
        self._limits, _ = limits_of(catalogue)
        rates: dict[str, float] = {}
        for variable in catalogue.variables:
            collector = site.servers[variable.server].collector
            rates[collector] = rates.get(collector, 0.0) + 1000 / variable.period_ms
        self.blame = Blame(site, evidence, rates)
        self._behind: Found | None = None
        self._stale = {
            (stale.asset, stale.variable): stale
            for state in evidence.gap_fillers.values()
            for stale in state.stale
        }
        self._flowing = self._servers_that_flow()
        # Server to how far its values are dated back, s, where they arrive all the same.
        self.dated_back: dict[str, int] = {}
        self.arriving: set[int] = set()

    def stops(self) -> dict[int, Stop]:
        """The variables that do not arrive, or arrive unusable: index to where they stopped."""
        found = {}
        for index in self._chosen:
            stop = self._judge(index)
            if stop is not None:
                found[index] = stop
        return found

    # -- ages -------------------------------------------------------------------------------------

    def stored_ns(self, index: int) -> int | None:
        """The newest stored time; 0 if there never was one, None if it is not known."""
        stored = self._evidence.stored
        if stored is None:
            return None
        return int(stored.values[index]) or self._evidence.past_values.get(index)

    def is_fresh(self, index: int, time_ns: int | None) -> bool:
        """Whether a source time is within its variable's limit, by its server's clock."""
        if not time_ns:
            return False
        clock = self._evidence.clock_s(self._catalogue.variables[index].server)
        now = self._evidence.now_ns + round(clock * _SECOND_NS)
        return now - time_ns <= int(self._limits[index])

    def kafka_ns(self, index: int) -> int:
        """The newest source time that is known to be in Kafka; 0 if none is."""
        variable = self._catalogue.variables[index]
        seen = self._evidence.seen(variable.asset, variable.variable)
        told = self._evidence.told(self._collector(variable), variable.asset, variable.variable)
        return max(seen.time_ns if seen else 0, (told and told.kafka_ns) or 0)

    def ahead_s(self, server: str) -> float:
        """How far the newest stored source time of a server is in the future, s; 0 if it is not."""
        stored = self._evidence.stored
        if stored is None:
            return 0.0
        mine = [i for i in self._chosen if self._catalogue.variables[i].server == server]
        newest = max((int(stored.values[i]) for i in mine), default=0)
        return max(0.0, (newest - self._evidence.now_ns) / _SECOND_NS)

    def _servers_that_flow(self) -> set[str]:
        """Servers of which some variable is fresh in InfluxDB or in Kafka."""
        return {
            variable.server
            for i, variable in enumerate(self._catalogue.variables)
            if self.is_fresh(i, self.stored_ns(i)) or self.is_fresh(i, self.kafka_ns(i))
        }

    # -- one variable -----------------------------------------------------------------------------

    def _judge(self, index: int) -> Stop | None:
        variable = self._catalogue.variables[index]
        stored = self._evidence.stored
        stored_ns, kafka_ns = self.stored_ns(index), self.kafka_ns(index)
        seen = self._evidence.seen(variable.asset, variable.variable)
        if stored is not None and self.is_fresh(index, stored_ns):
            status = int(stored.status[index])
            if status >= BAD_STATUS:
                since = self._evidence.usable.get(index)
                return self._stop(index, self._bad(variable, status), since)
            self.arriving.add(index)
            return None
        dated_back = seen is not None and self._arrives(seen, index)
        if self.is_fresh(index, kafka_ns) or dated_back:
            if seen is not None and seen.quality is not None and seen.quality >= BAD_STATUS:
                return self._stop(index, self._bad(variable, seen.quality), stored_ns)
            if stored is None and not self._evidence.store_problem:
                self.arriving.add(index)
                return None  # All that can be seen from here.
            if stored_ns and kafka_ns - stored_ns <= int(self._limits[index]):
                self._note_dated_back(variable.server, seen)
                self.arriving.add(index)
                return None
            return self._stop(index, self._behind_kafka(), stored_ns)
        told = self._stale.get((variable.asset, variable.variable))
        if told is not None and told.code == _UNCHANGED:
            self.arriving.add(index)
            return None
        found = self._before_kafka(variable, index)
        if found is None and self._evidence.store_problem:
            # Not to be seen in Kafka from here; InfluxDB is broken in any case.
            found = self._behind_kafka()
        if found is None:
            return None
        since = max(stored_ns or 0, kafka_ns, (told and told.since_ns) or 0) or None
        # Only InfluxDB remembers long enough to say so.
        return self._stop(index, found, since, never=since is None and stored_ns == 0)

    def _note_dated_back(self, server: str, seen: Seen | None) -> None:
        if seen is not None:
            seconds = round(seen.arrival_ms / 1000 - seen.time_ns / _SECOND_NS)
            self.dated_back[server] = max(seconds, self.dated_back.get(server, 0))

    def _stop(self, index: int, found: Found, since_ns: int | None, *, never: bool = False) -> Stop:
        variable = self._catalogue.variables[index]
        hop, name, why = found
        series = f"{variable.asset}/{variable.variable}"
        return Stop(series, hop, name, why, since_ns or None, never)

    def _collector(self, variable: DeclaredVariable) -> str:
        return self._site.servers[variable.server].collector

    def _bad(self, variable: DeclaredVariable, status: int) -> Found:
        if status == BAD_NODE_ID_UNKNOWN:
            return "server", variable.server, cause("unknown-node", server=variable.server)
        name, meaning = status_words(status)
        why = cause("source-bad", server=variable.server, status=name, meaning=meaning)
        return "server", variable.server, why

    def _arrives(self, seen: Seen, index: int) -> bool:
        return self._evidence.now_ns - seen.arrival_ms * 10**6 <= int(self._limits[index])

    # -- before Kafka -----------------------------------------------------------------------------

    def _before_kafka(self, variable: DeclaredVariable, index: int) -> Found | None:
        name = variable.server
        server = self._site.servers[name]
        collector = server.collector
        cut = self._cut(server)
        if cut is not None:
            return cut
        found = self._server(name, server)
        found = found or self._recorded(variable, index) or self._told(variable)
        if found is not None:
            return found
        why = self.blame.collector(collector)
        if why is not None:
            return "subscription", collector, why
        why = self.blame.kafka()
        if why is not None:
            return "kafka", "opc", why
        waiting = self.blame.waiting(collector)
        if waiting is not None:
            broker = hosts_of(self._site, "kafka")[0]
            why = cause("kafka-not-reached", collector=collector, waiting=waiting, broker=broker)
            return "kafka", "opc", why
        scrape = self._evidence.readings.servers.get(name)
        if scrape is not None and scrape.total("opc_server_sessions") == 0:
            where = server.endpoint
            why = cause("no-session", collector=collector, server=name, endpoint=where)
            return "subscription", collector, why
        if not self._is_known(variable):
            return None
        if name in self._flowing and self._evidence.past_values.get(index, -1) == 0:
            return "server", name, cause("unknown-node", server=name)
        live = ", which has new values" if self._lives(variable) else ""
        why = cause("subscription-dead", server=name, collector=collector, live=live)
        return "subscription", collector, why

    def _is_known(self, variable: DeclaredVariable) -> bool:
        """Whether it is known that the variable is not in Kafka, rather than not looked at."""
        evidence = self._evidence
        looked = evidence.tail is not None and not evidence.tail.problem
        told = evidence.told(self._collector(variable), variable.asset, variable.variable)
        return evidence.stored is not None or looked or told is not None

    def _lives(self, variable: DeclaredVariable) -> bool:
        """Whether the server is known to have newer values of a variable that is not in Kafka."""
        told = self._evidence.told(self._collector(variable), variable.asset, variable.variable)
        if told is not None and told.server_ns is not None:
            return told.server_ns > (told.kafka_ns or 0)
        return variable.server in self._evidence.records

    def _cut(self, server: Server) -> Found | None:
        """Where this host is cut off, what it cannot reach has not stopped: the way to it has."""
        if not self.blame.cut_off:
            return None
        here = self._evidence.here.name
        near = here in (server.collector, server.host)
        why = self.blame.server(server.name) or self.blame.collector(server.collector)
        why = why or self.blame.kafka()
        if why is None or why.code not in ("no-link", "cut-off"):
            return None
        if near and server.host != server.collector:
            return "subscription", server.collector, why
        return "kafka", "opc", why

    def _server(self, name: str, server: Server) -> Found | None:
        """What is wrong with a server as a whole."""
        told = self._evidence.gap_fillers.get(server.collector)
        state = None if told is None else told.servers.get(name)
        why = self.blame.server(name)
        if why is not None:
            # Cut off from here, it may well be reached by who collects it.
            reached = state is not None and state.connected
            if not reached or why.code != "host-silent":
                return "server", name, why
        if state is None or state.connected:
            return None
        problem = state.problem or "it gives no reason"
        if name not in self._evidence.readings.servers:
            return "server", name, cause("server-unreachable", server=name, problem=problem)
        where = server.collector
        why = cause("not-connected", server=name, collector=where, problem=problem)
        return "subscription", where, why

    def _told(self, variable: DeclaredVariable) -> Found | None:
        """What the gap filler, which asks the server itself, has found."""
        collector = self._collector(variable)
        told = self._evidence.told(collector, variable.asset, variable.variable)
        status = None if told is None else told.server_status
        if status is not None and status >= BAD_STATUS:
            return self._bad(variable, status)
        stale = self._stale.get((variable.asset, variable.variable))
        # Of the hops behind the server more is known here than there.
        if stale is None or stale.hop != "server":
            return None
        if stale.code in _TOLD:
            return "server", variable.server, cause(_TOLD[stale.code], server=variable.server)
        return "server", variable.server, cause("told", text=stale.cause, collector=collector)

    def _recorded(self, variable: DeclaredVariable, index: int) -> Found | None:
        """What the server's own record tells of the source; None if that is well."""
        record = self._evidence.records.get(variable.server)
        if record is None:
            return None
        newest: Recorded | None = record.get((variable.asset, variable.variable))
        name = variable.server
        if newest is None:
            return "server", name, cause("unknown-node", server=name)
        if newest.status >= BAD_STATUS:
            return self._bad(variable, newest.status)
        if not self.is_fresh(index, newest.time_ns):
            return "server", name, cause("source-stopped", server=name)
        return None

    # -- behind Kafka -----------------------------------------------------------------------------

    def _behind_kafka(self) -> Found:
        if self._behind is None:
            self._behind = behind_kafka(self._site, self._evidence, self.blame, "telegraf-opc")
        return self._behind


def behind_kafka(site: Site, evidence: Evidence, blame: Blame, group: str) -> Found:
    """Why what is in Kafka is not in InfluxDB.

    Args:
        group: the writer's consumer group of the topic.
    """
    why = blame.influxdb()
    if why is not None:
        return "influxdb", "InfluxDB", why
    # The role is InfluxDB's host's alone: without it nothing was ever stored.
    writer = next(iter(hosts_of(site, "writer")), "no host")
    why = blame.writer(writer)
    if why is not None:
        return "writer", writer, why
    why = blame.refused(writer)
    if why is not None:
        return "influxdb", "InfluxDB", why
    lag = evidence.readings.kafka.lag(group)
    if lag:
        return "writer", writer, cause("writer-behind", lag=lag)
    return "writer", writer, cause("writer-loses", host=writer)
