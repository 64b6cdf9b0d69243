"""The plant that is hurt: a lab whose hosts have disks of their own, and what asks it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from fieldline.errors import FieldlineError
from fieldline.influx import InfluxClient
from fieldline.site import Site, load_site
from fieldline.site.address import in_url
from fieldline.verify.catalogue import Catalogue, catalogue_of
from fieldline.verify.points import Ints
from fieldline_lab.host import Host
from fieldline_lab.lab import Lab, down
from fieldline_lab.names import LabNames, find_worktree
from fieldline_lab.plan import Plan, prepare
from fieldline_lab.progress import Progress

from .disk import Disk, share
from .namespaces import inside
from .stored import Database
from .topics import Topics
from .witness import Witness

T = TypeVar("T")

SITE = Path(__file__).resolve().parents[2] / "site.toml"
NAME = "faults"
OPC_SERVER = "opc-server"
# Where the server keeps its witness, and where that is on the host's disk: it is a DynamicUser's.
_WITNESS = "/var/lib/opc-server/witness"
_WITNESS_ON_DISK = "lib/private/opc-server/witness"
_TOKEN = "/var/lib/influxdb-provision/influxdb-reader-token"
_EVER = 2**62
_POLL_S = 0.25
# A server that hangs must not hold up the whole run.
_READ_S = 60.0


class Plant:
    """A site's lab with a witness. Needs root."""

    def __init__(self, plan: Plan, progress: Progress | None = None) -> None:
        self.progress = progress or Progress(quiet=True)
        self.lab = Lab(_with_witness(plan), self.progress)
        self.site = load_site(plan.names.site)
        self.catalogue = catalogue_of(self.site)
        self.disks = {
            name: Disk(plan.names.state / "disks" / f"{name}.img", host.data)
            for name, host in self.lab.hosts.items()
        }
        self._database: Database | None = None
        # From which source time on everything is accounted for, ns, and when that was.
        self.begin = 0
        self.began = 0.0

    @classmethod
    def of_worktree(cls, progress: Progress | None = None, *, name: str = NAME) -> Plant:
        """The plant of this work tree, prepared: evaluated, parts obtained, packages installed."""
        progress = progress or Progress(quiet=True)
        names = LabNames.of(find_worktree(SITE), SITE, name)
        return cls(prepare(names, progress.note), progress)

    def up(self) -> None:
        """Boot it anew, without data, and wait until values and results flow."""
        self._database = None
        self.lab.up([], fresh=True)
        share(self.lab.names.state / "hosts")
        for disk in self.disks.values():
            disk.make()
        self.lab.up()
        token = self.host("influxdb").exec(["cat", _TOKEN], check=True).stdout.strip()
        port = self.lab.status()["hosts"][self.host("influxdb").name]["forwards"]["influxdb"]
        client = InfluxClient(f"http://127.0.0.1:{port}", token, read_seconds=_READ_S)
        self._database = Database(client, self.site.influxdb, self.catalogue)
        self.witness = Witness(self.host(OPC_SERVER).data / _WITNESS_ON_DISK, self.catalogue)
        self.wait_until_steady()
        # A plant's hosts were installed long before their power goes: their keys, users, topics.
        for disk in self.disks.values():
            disk.sync()
        self.begin = int(self.witness.newest().max()) + 1
        self.began = time.monotonic()

    def down(self) -> None:
        """End it, and remove all that there is of it."""
        down(self.lab.names, purge=True, progress=self.progress)

    def keep_journals(self, folder: Path, since: float) -> None:
        """Write each host's journal since a moment, s since 1970, into a folder: for people."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, host in self.lab.hosts.items():
            if host.running:
                argv = [
                    "journalctl",
                    "--no-pager",
                    "--output=short-precise",
                    f"--since=@{since:.0f}",
                ]
                (folder / f"{name}.log").write_text(host.exec(argv, timeout=60).stdout)

    # -- who is who -------------------------------------------------------------------------------

    def host(self, role: str) -> Host:
        """The host with a role."""
        return host_with(self.lab, role)

    @property
    def database(self) -> Database:
        """Its InfluxDB, reached through a port forwarded to this machine."""
        if self._database is None:
            raise FieldlineError("The plant is not up.")
        return self._database

    def topics(self, work: Callable[[Topics], T]) -> T:
        """Ask Kafka, from its own host."""
        return ask_topics(self.lab, self.site, self.catalogue, work)

    # -- how it is --------------------------------------------------------------------------------

    def stored_after(self, times: Ints, since: int) -> bool:
        """Whether of each variable something later than its `times` is stored, and of each model a
        result for that; False where InfluxDB cannot be asked."""
        try:
            values, results = self.database.newest(since, _EVER)
        except FieldlineError:
            return False
        if (values <= times).any():
            return False
        latest = np.array([max(times[list(m.inputs)]) for m in self.catalogue.models])
        return bool((results > latest).all())

    def wait_until_steady(self, seconds: float = 120.0) -> None:
        """Wait until all units run and what is published now is stored.

        Raises:
            FieldlineError: not within `seconds`.
        """
        end = time.monotonic() + seconds
        self.lab.wait(timeout=seconds)
        now = self.witness.newest()
        since = int(now.min()) + 1
        while not self.stored_after(now, since):
            if time.monotonic() > end:
                raise FieldlineError(f"What is published is not stored after {seconds:.0f} s.")
            time.sleep(_POLL_S)


def host_with(lab: Lab, role: str) -> Host:
    """The host of a lab with a role.

    Raises:
        FieldlineError: there is none.
    """
    for name, declared in lab.plan.declaration.hosts.items():
        if role in declared.roles:
            return lab.hosts[name]
    raise FieldlineError(f"No host of {lab.names.site} has the role {role}.")


def ask_topics(lab: Lab, site: Site, catalogue: Catalogue, work: Callable[[Topics], T]) -> T:
    """Ask a lab's Kafka, from its own host."""
    host = host_with(lab, "kafka")
    bootstrap = f"{in_url(host.address)}:{site.kafka.port}"
    partitions = {name: topic.partitions for name, topic in site.topics.items()}
    topics = Topics(bootstrap, partitions, catalogue)
    return inside(host.namespace, lambda: work(topics))


def _with_witness(plan: Plan) -> Plan:
    """The plan with a server that keeps a witness: the one difference to what is declared."""
    raw: dict[str, Any] = copy.deepcopy(plan.raw)
    units = [host["units"] for host in raw["hosts"].values()]
    servers = [unit[OPC_SERVER] for unit in units if OPC_SERVER in unit]
    for server in servers:
        server.setdefault("environment", {})["OPC_SERVER_WITNESS"] = _WITNESS
    return replace(plan, raw=raw)
