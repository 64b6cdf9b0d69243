"""Why a service, or the host that it runs on, does not do its work: the judgement of one station.

A later station is never blamed for an earlier one: who asks goes along the way and takes the first
cause.
"""

from __future__ import annotations

from collections.abc import Mapping

from fieldline.local import plain
from fieldline.remote.endpoint import Reach
from fieldline.service import EXIT_CONFIGURATION
from fieldline.site import Site
from fieldline.where.causes import cause
from fieldline.where.diagnosis import Cause
from fieldline.where.evidence import Evidence
from fieldline.where.probes import hosts_of

# Telegraf may have so many values in its buffer at any moment: what comes in two seconds. A writer
# takes no more than 10,000 records of a topic (lib/telegraf/writer.nix).
_WAITING_S = 2.0
_MOST_WAITING = 5000.0


class Blame:
    """Judges stations by the evidence.

    Args:
        rates: collector to the values per second that are declared for it.
    """

    def __init__(self, site: Site, evidence: Evidence, rates: Mapping[str, float]) -> None:
        self._site = site
        self._evidence = evidence
        self._rates = rates
        self._broker = hosts_of(site, "kafka")[0]
        self._silent = self._silent_hosts()

    @property
    def cut_off(self) -> bool:
        """Whether it is this host that the network does not reach, rather than all others."""
        here = self._evidence.here
        others = set(self._site.hosts) - {here.name}
        if here.name is None or not self._silent:
            return False
        return here.link is False or (len(self._silent) > 1 and self._silent >= self._asked(others))

    def server(self, name: str) -> Cause | None:
        """Why an own server does not serve; None if it does, or is not ours."""
        server = self._site.servers[name]
        scrape = self._evidence.readings.servers.get(name)
        if scrape is None or server.host is None:
            return None
        return self.service("opc-server", "opc-server", server.host, scrape.reach, scrape.problem)

    def collector(self, host: str) -> Cause | None:
        """Why the Telegraf of a collector does not run; None if it does."""
        return self._telegraf(host, "Telegraf, which collects,")

    def writer(self, host: str) -> Cause | None:
        """Why the Telegraf that writes does not run; None if it does."""
        return self._telegraf(host, "Telegraf, which writes to InfluxDB,")

    def kafka(self) -> Cause | None:
        """Why Kafka does not answer; None if it does."""
        kafka = self._evidence.readings.kafka
        return self.service("Kafka", "apache-kafka", self._broker, kafka.reach, kafka.problem)

    def model(self, host: str) -> Cause | None:
        """Why a stream model gives no results, as far as it tells itself; None if it works."""
        told = self._evidence.readings.models.get(host)
        if told is None:
            return None
        # An older one has no state to tell, and may work all the same.
        if told.reach != "odd":
            found = self.service("stream-model", "stream-model", host, told.reach, told.problem)
            if found is not None:
                return found
        if told.state is not None and told.state.waiting:
            return cause("model-waits", host=host, reason=told.state.waiting)
        return None

    def influxdb(self) -> Cause | None:
        """Why InfluxDB cannot be asked; None if it can, or is asked from another host only."""
        evidence = self._evidence
        if not evidence.store_problem:
            return None
        host = hosts_of(self._site, "influxdb")[0]
        reach, problem = evidence.store_reach, evidence.store_problem
        if reach != "odd":
            return self.service("InfluxDB", "influxdb2", host, reach, problem)
        return cause("influxdb-asks", host=host, problem=problem)

    def waiting(self, host: str) -> int | None:
        """How many values a collector holds that Kafka should have taken; None if it does not."""
        scrape = self._evidence.readings.telegrafs.get(host)
        size = (
            None if scrape is None else scrape.total("internal_write_buffer_size", output="kafka")
        )
        if not size or size < _usual(self._rates.get(host, 0.0)):
            return None
        return round(size)

    def refused(self, host: str) -> Cause | None:
        """Why InfluxDB does not take what a writer sends; None if it does."""
        scrape = self._evidence.readings.telegrafs.get(host)
        if scrape is None or scrape.problem:
            return None
        waiting = scrape.total("internal_write_buffer_size", output="influxdb_v2")
        errors = scrape.total("internal_write_errors", output="influxdb_v2")
        if not errors or not waiting or waiting < _usual(sum(self._rates.values())):
            return None
        entry = self._evidence.words.get("telegraf")
        reason = ""
        here = host == self._evidence.here.name
        # The same Telegraf may tell of Kafka.
        if here and entry is not None and "influxdb" in entry.message.text:
            reason = f": {plain(entry.message.text).text}"
        return cause("influxdb-refuses", host=host, reason=reason)

    def service(self, what: str, unit: str, host: str, reach: Reach, problem: str) -> Cause | None:
        """Why a service cannot be reached; None if it can.

        Args:
            what: as people call it; unit: as systemd does.
        """
        if reach in ("answers", "unasked"):
            return None
        if reach == "silent":
            return self._host(what, host)
        known = self._local(what, unit, host)
        if known is not None:
            return known
        if reach == "refused":
            return cause("not-running", what=what, unit=unit, host=host)
        if reach == "hangs":
            return cause("hangs", what=what, unit=unit, host=host)
        return cause("odd", what=what, host=host, problem=problem)

    def _telegraf(self, host: str, what: str) -> Cause | None:
        scrape = self._evidence.readings.telegrafs.get(host)
        if scrape is None:
            return None
        return self.service(what, "telegraf", host, scrape.reach, scrape.problem)

    def _local(self, what: str, unit: str, host: str) -> Cause | None:
        """What systemd knows of a unit that does not run on this host; None elsewhere."""
        here = self._evidence.here
        state = here.units.get(unit)
        if host != here.name or state is None or state.runs:
            return None
        if state.active == "inactive":
            return cause("stopped", what=what, unit=unit, host=host)
        entry = self._evidence.words.get(unit)
        reason = "" if entry is None else f". Its last words: {plain(entry.message.text).text}"
        refused = state.active == "failed" and state.status == EXIT_CONFIGURATION
        code = "refused-to-run" if refused else "failing"
        return cause(code, what=what, unit=unit, host=host, words=state.words, reason=reason)

    def _host(self, what: str, host: str) -> Cause:
        here = self._evidence.here
        if host not in self._silent:
            return cause("not-reached", what=what, host=host)
        if self.cut_off:
            return cause("no-link" if here.link is False else "cut-off", host=here.name)
        return cause("host-silent", host=host)

    def _reaches(self) -> dict[str, set[Reach]]:
        """Host to how far its services were reached."""
        readings, site = self._evidence.readings, self._site
        found: dict[str, set[Reach]] = {}

        def add(host: str | None, reach: Reach) -> None:
            if host is not None:
                found.setdefault(host, set()).add(reach)

        for name, scrape in readings.servers.items():
            add(site.servers[name].host, scrape.reach)
        for host, scrape in readings.telegrafs.items():
            add(host, scrape.reach)
        for host, told in readings.models.items():
            add(host, told.reach)
        add(self._broker, readings.kafka.reach)
        return found

    def _silent_hosts(self) -> set[str]:
        """Other hosts of which no service gave any sign."""
        here = self._evidence.here.name
        return {
            h
            for h, reaches in self._reaches().items()
            if reaches <= {"silent", "unasked"} and "silent" in reaches and h != here
        }

    def _asked(self, hosts: set[str]) -> set[str]:
        return set(self._reaches()) & hosts


def _usual(rate: float) -> float:
    """How many values may wait in a Telegraf to which so many come in a second."""
    return min(max(1.0, _WAITING_S * rate), _MOST_WAITING)
