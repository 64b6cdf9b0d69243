"""What checks are given: the site, this host, and what all services told a moment ago."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from fieldline.errors import FieldlineError
from fieldline.influx import InfluxClient
from fieldline.influx.client import read_token
from fieldline.local import LocalHost
from fieldline.site import Site
from fieldline.where.probes import Probes, Readings, bootstrap_of, hosts_of, may_ask_kafka

# Who has not answered by then, after a connection's own 1 s, does not.
_PATIENCE = 3.5
_READ_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Context:
    """Where checks look.

    Attributes:
        token_file: with a token that may read InfluxDB's bucket.
        root: the root of the file system, for the paths of this host.
    """

    site: Site
    readings: Readings
    token_file: Path
    now_ns: int
    root: Path = Path("/")

    @classmethod
    def gather(cls, site: Site, token_file: Path) -> Context:
        """Ask all services once."""
        probes = Probes(site)
        try:
            readings = probes.read(_PATIENCE)
        finally:
            probes.close()
        return cls(site, readings, token_file, time.time_ns())

    @property
    def here(self) -> LocalHost:
        """This host."""
        return self.readings.here

    @property
    def roles(self) -> tuple[str, ...]:
        """What this host does; nothing on a machine that is none of the site's."""
        return self.site.hosts[self.here.name].roles if self.here.name else ()

    @property
    def bootstrap(self) -> str:
        """Kafka's ADDRESS:PORT."""
        return bootstrap_of(self.site)

    @property
    def may_ask_kafka(self) -> bool:
        """Whether Kafka's firewall lets this host in."""
        return may_ask_kafka(self.site, self.here.name)

    def path(self, absolute: str) -> Path:
        """A path of this host."""
        return self.root / absolute.lstrip("/")

    def influxdb(self) -> InfluxClient | str:
        """A client of InfluxDB, or in plain words why there is none here."""
        hosts = hosts_of(self.site, "influxdb")
        if not hosts:
            return "no host of the site has it"
        if self.here.name not in (None, *hosts):
            return f"it answers on its own host only ({hosts[0]})"
        try:
            token = read_token(self.path(str(self.token_file)))
        except FieldlineError as error:
            return error.what_to_do
        url = f"http://127.0.0.1:{self.site.influxdb.port}"
        return InfluxClient(url, token, read_seconds=_READ_SECONDS)
