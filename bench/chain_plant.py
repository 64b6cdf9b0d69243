"""A plant of a given size as a lab on this machine, for the benchmarks of the whole chain."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parent.parent
for _folder in ("lab/src", "tests/faults/src", "pkgs/fieldline/src"):
    sys.path.insert(0, str(ROOT / _folder))

from fieldline.errors import FieldlineError  # noqa: E402
from fieldline.influx import InfluxClient  # noqa: E402
from fieldline.site import Site, load_site  # noqa: E402
from fieldline.verify.catalogue import Catalogue, catalogue_of  # noqa: E402
from fieldline.verify.store import InfluxStore  # noqa: E402
from fieldline_faults.plant import ask_topics, host_with  # noqa: E402
from fieldline_faults.topics import Topics  # noqa: E402
from fieldline_lab.host import Host  # noqa: E402
from fieldline_lab.lab import Lab  # noqa: E402
from fieldline_lab.names import LabNames  # noqa: E402
from fieldline_lab.plan import Plan, prepare  # noqa: E402
from fieldline_lab.progress import Progress  # noqa: E402

T = TypeVar("T")

NAME = "bench"
PER_ASSET = 10
_MEMORY_MIB = 8192
_TOKEN = "/var/lib/influxdb-provision/influxdb-reader-token"
_EVER = 2**62
# 30,000 nodes are told to the OPC UA server, and subscribed to, before the first value comes.
_FIRST_S = 300.0
_POLL_S = 0.02

# What is not written to any more is put into its final form after seconds, not hours: nothing that
# happens while values come.
_STORE = """
[hosts.db.settings.influxdb2]
storage-cache-snapshot-write-cold-duration = "5s"
storage-compact-full-write-cold-duration = "5s"
"""
_VARIABLE = """[asset_types.press.variables.V{number}]
unit = "kN"
period = "1s"
source = {{ kind = "random-walk", start = 100, step = 2 }}

"""
_PLANT = """[asset_types.press.models.load]
function = "mean-absolute"
inputs = ["V0", "V1", "V2"]

[asset_types.press.models.wear]
function = "geometric-mean-absolute"
inputs = ["V3", "V4", "V5"]

[[assets]]
names = ["press{{1..{assets}}}"]
type = "press"
server = "opc"

"""


def site_text(variables: int) -> str:
    """The demonstration plant's hosts with assets of ten variables at 1 Hz, two models on each.

    0 is the demonstration plant itself. Memory is declared as this machine has it: what a host
    needs is measured, and no declared limit is to stop it.
    """
    text = (ROOT / "site.toml").read_text()
    if not variables:
        return text + _STORE
    head, _, rest = text.partition("[asset_types.")
    tail = "[collection]" + rest.partition("[collection]")[2]
    head = re.sub(r"(?m)^memory = \d+$", f"memory = {_MEMORY_MIB}", head)
    body = "".join(_VARIABLE.format(number=number) for number in range(PER_ASSET))
    body += _PLANT.format(assets=variables // PER_ASSET)
    return head + body + tail.replace('outage = "10min"', 'outage = "1min"') + _STORE


@dataclass(frozen=True)
class Started:
    """Seconds from the command on.

    prepared: the site is evaluated and all is installed; booted: each host answers; first: a
    value is in InfluxDB; running: all units run; units: when each came to run.
    """

    prepared: float
    booted: float
    first: float
    running: float
    units: Mapping[str, float]


class Plant:
    """A lab that runs, and what asks it. Needs root."""

    def __init__(self, plan: Plan) -> None:
        self.lab = Lab(plan, Progress(quiet=True))
        self.site: Site = load_site(plan.names.site)
        self.catalogue: Catalogue = catalogue_of(self.site)

    def host(self, role: str) -> Host:
        """The host with a role."""
        return host_with(self.lab, role)

    def client(self) -> InfluxClient | None:
        """Its InfluxDB, through a port of this machine; None before it has a reader."""
        host = self.host("influxdb")
        token = host.exec(["cat", _TOKEN])
        if token.returncode:
            return None
        port = self.lab.status()["hosts"][host.name]["forwards"]["influxdb"]
        return InfluxClient(f"http://127.0.0.1:{port}", token.stdout.strip(), read_seconds=60)

    def topics(self, work: Callable[[Topics], T]) -> T:
        """Ask Kafka, from its own host."""
        return ask_topics(self.lab, self.site, self.catalogue, work)

    def start(self, began: float, prepared: float) -> Started:
        """Boot it without data, and wait for the first value and for all units.

        began: time.time() of the command; prepared: s since then.
        """
        self.lab.up(fresh=True, wait=False)
        for host in self.lab.hosts.values():
            host.wait_for_commands()
        booted = time.time() - began
        first = self._first() - began
        self.lab.wait(timeout=_FIRST_S)
        units = {
            f"{name} {state.name.removesuffix('.service')}": round(state.since - began, 2)
            for name, host in self.lab.hosts.items()
            for state in host.unit_states()
            if state.since is not None
        }
        return Started(prepared, booted, first, time.time() - began, units)

    def _first(self) -> float:
        """When the first value could be read, s since 1970."""
        end = time.monotonic() + _FIRST_S
        client: InfluxClient | None = None
        while time.monotonic() < end:
            client = client or self.client()
            if client is not None:
                store = InfluxStore(client, self.site.influxdb, self.catalogue)
                try:
                    values, _results = store.newest(1, _EVER)
                except FieldlineError:
                    values = None
                if values is not None and values.any():
                    return time.time()
            time.sleep(_POLL_S)
        raise FieldlineError(f"No value has come within {_FIRST_S:.0f} s.")


@contextmanager
def plant(
    folder: Path, text: str, change: Callable[[Plan], Plan] = lambda plan: plan
) -> Iterator[tuple[Plant, Started]]:
    """The lab of a site, from its start to its end.

    change: what is to be another than the site makes it.
    """
    site = folder / "site.toml"
    site.write_text(text)
    began = time.time()
    plan = prepare(LabNames.of(ROOT, site, NAME), lambda _note: None)
    running = Plant(change(plan))
    prepared = time.time() - began
    with running.lab.claim():
        try:
            yield running, running.start(began, prepared)
        finally:
            running.lab.down(purge=True)
