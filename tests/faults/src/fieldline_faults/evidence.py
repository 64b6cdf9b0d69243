"""What is seen of the plant while it is hurt and heals, and which mechanisms that shows.

Nothing here knows which fault was done: a mechanism is named because of what was seen, or not at
all.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from fieldline.errors import FieldlineError
from fieldline.remote.offsets import KafkaProbe, KafkaReading
from fieldline.remote.scrape import Scrape, Scraper
from fieldline.site.address import in_url
from fieldline.verify.points import Ints, Points
from fieldline_lab.cgroup import Cgroup
from fieldline_lab.host import Host

from .namespaces import inside
from .plant import Plant
from .targets import units

TELEGRAF = "telegraf"
_SAMPLE_S = 1.0
# Of the names of a unit's metrics, where that is not the unit's own.
_PREFIXES = {TELEGRAF: "internal_", "ledger": "fieldline_ledger"}
# Who reads which topic, as lib/ names them.
GROUPS = {"telegraf-opc": "opc", "telegraf-model": "model", "stream-model": "opc"}
# A value that Kafka took so much later than its source time was held somewhere before.
LATE_MS = 2000
# Telegraf tells of itself every 5 s, so that much can pass unseen.
UNSEEN_S = 6.0
# What is in flight at any time: batches, and offsets that are committed each second.
_IN_FLIGHT_S = 3.0


@dataclass(frozen=True)
class Process:
    """A unit at one moment."""

    invocation: str
    restarts: int


@dataclass
class Evidence:
    """What was seen from before a fault until the plant was whole, or given up.

    Attributes:
        rate: values published each second, as declared.
        late, held_s: values that came to Kafka late, and how late the latest.
        buffer: the most values that Telegraf on the collector said to hold.
        dropped: values that Telegraf on the collector dropped, its buffer being full.
        lag: group to the most records that it was behind.
        restarted: units that systemd started again by itself, and how often.
        replaced: units that are another process than before, whoever started it.
        booted: hosts that were booted meanwhile.
        session_kept: the collector's connection to the OPC UA server is the one from before.
        counters: counters of our own services that rose, by how much.
        journal: what services said, of what is looked for: unit to how often.
    """

    rate: float
    late: int = 0
    held_s: float = 0.0
    buffer: int = 0
    dropped: int = 0
    lag: dict[str, int] = field(default_factory=dict)
    restarted: dict[str, int] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)
    booted: list[str] = field(default_factory=list)
    session_kept: bool = True
    counters: dict[str, float] = field(default_factory=dict)
    journal: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The evidence for the record."""
        return {key: value for key, value in asdict(self).items() if value not in ({}, [], 0)}


def mechanisms(seen: Evidence) -> list[str]:
    """What healed it, in the order of the chain; only what the evidence shows."""
    found: list[str] = []
    found += [f"{host} booted" for host in seen.booted]
    found += [
        f"systemd restarted {unit}" + (f" ({count}×)" if count > 1 else "")
        for unit, count in sorted(seen.restarted.items())
    ]
    unseen = UNSEEN_S * seen.rate
    queued = seen.late - seen.buffer - int(sum(seen.counters.get(name, 0) for name in _SENT))
    collector = [unit for unit in seen.replaced if unit.partition("@")[0] == TELEGRAF]
    if seen.session_kept and queued > unseen:
        found.append(f"opc-server's queue ({_count(queued)} values)")
    if not seen.session_kept and not any("collector" in unit for unit in collector):
        found.append("Telegraf's reconnection")
    if seen.buffer > _IN_FLIGHT_S * seen.rate:
        found.append(f"Telegraf's buffer ({_count(seen.buffer)} values)")
    behind = {g: n for g, n in seen.lag.items() if n > _IN_FLIGHT_S * seen.rate}
    if behind:
        most = ", ".join(f"{group} {_count(n)}" for group, n in sorted(behind.items()))
        found.append(f"Kafka's log ({most} behind)")
    found += [what for what, count in seen.journal.items() if count]
    for counter, (text, least) in COUNTERS.items():
        risen = seen.counters.get(counter, 0)
        if risen >= least:
            found.append(text.format(_count(int(risen))))
    return found


# Values that come late because the gap filler sends them, by what it calls it.
FILLED = "gap_filler_filled_values_total"
_SENT = (FILLED, "gap_filler_mended_values_total", "gap_filler_refilled_values_total")
WITNESS_ERRORS = "opc_server_witness_errors_total"
LEAPS = "opc_server_clock_leaps_total"

# Counters of our services that tell of healing, the text for it, and from which rise on.
COUNTERS: dict[str, tuple[str, int]] = {
    LEAPS: ("opc-server: source times of its own (steps of the clock seen: {})", 1),
    "gap_filler_telegraf_restarts_total": ("freshness guard: Telegraf restarted ({}×)", 1),
    "fieldline_ledger_restarts_total": ("store guard: InfluxDB or its writer restarted ({}×)", 1),
    FILLED: ("gap filler ({} values)", 1),
    "gap_filler_lost_ends_total": ("gap filler: went back, {} partitions had lost their end", 1),
    "gap_filler_mended_values_total": ("gap filler: quality mended ({} values)", 1),
    "gap_filler_refilled_values_total": ("gap filler, as the ledger asked ({} values)", 1),
    "stream_model_replayed_total": ("model: state from the log ({} records)", 1),
    "stream_model_late_total": ("model: {} late inputs taken in", 1),
    "stream_model_recomputed_results_total": ("model: recomputation ({} results)", 1),
}

# What a service says when it heals, and how it is called.
_SAYS = {
    ("stream-model", "state is restored from the changelog"): "model: state from the changelog",
}


def _count(number: int) -> str:
    return f"{number:,}"


class Watch:
    """Watches a plant within a `with` block; hosts may go and come meanwhile."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._declaration = plant.lab.plan.declaration
        self._rate = plant.catalogue.values_per_second()
        self._seen = Evidence(self._rate)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="evidence")
        self._counters: dict[str, _Rise] = {}
        self._lagging: dict[str, int] = {}
        self._scraped: set[str] = set()

    def __enter__(self) -> Self:
        self._since = time.time()
        self._before = self._processes()
        self._leaders = {name: host.leader() for name, host in self._plant.lab.hosts.items()}
        self._session = self._connections()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(timeout=30)

    def evidence(self, time_ns: Ints, appended_ms: Ints) -> Evidence:
        """What was seen; the arguments are those of the records of `opc`, one of each value."""
        seen = self._seen
        after = self._processes()
        hosts = self._plant.lab.hosts
        seen.booted = [n for n, leader in self._leaders.items() if hosts[n].leader() != leader]
        for label, process in after.items():
            before = self._before.get(label)
            if before is None or process.invocation != before.invocation:
                seen.replaced.append(label)
            # After a boot the count begins anew.
            restarts = process.restarts - (before.restarts if before else 0)
            if restarts > 0:
                seen.restarted[label] = restarts
        seen.session_kept = bool(self._session) and self._connections() == self._session
        seen.counters = {
            name: rise.total for name, rise in sorted(self._counters.items()) if rise.total > 0
        }
        if LEAPS not in seen.counters:
            # Else source times say nothing of when a value was published.
            held = appended_ms - time_ns // 10**6
            seen.late = int((held > LATE_MS).sum())
            seen.held_s = round(float(held.max()) / 1000, 1) if seen.late else 0.0
        seen.lag = dict(sorted(self._lagging.items()))
        seen.journal = self._journal()
        return seen

    # -- sampling ---------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._end.is_set():
            for host in self._plant.lab.hosts.values():
                try:
                    inside(host.namespace, lambda host=host: self._sample(host))  # type: ignore[misc]
                except (FieldlineError, OSError):
                    pass  # The host is off just now.
            self._end.wait(_SAMPLE_S)

    def _sample(self, host: Host) -> None:
        """Look at one host, from within its network."""
        declared = self._declaration.hosts[host.name]
        metrics = self._plant.site.metrics
        ports = {
            "opc-server": metrics.opc_server,
            "stream-model": metrics.stream_model,
            TELEGRAF: metrics.telegraf,
            "gap-filler": metrics.gap_filler,
            "ledger": metrics.ledger,
        }
        for unit, port in ports.items():
            if unit in declared.units and port:
                prefix = _PREFIXES.get(unit, unit.replace("-", "_"))
                scrape = Scraper(f"http://{in_url(host.address)}:{port}", prefix).read()
                if unit != TELEGRAF:
                    self._count(unit, scrape)
                elif "collector" in declared.roles:
                    self._buffer(scrape)
        if "kafka" in declared.roles:
            self._lag(host)

    def _count(self, unit: str, scrape: Scrape) -> None:
        found: dict[str, float] = {}
        for name, _labels, value in scrape.samples:
            if name.endswith("_total"):
                found[name] = found.get(name, 0) + value
        for name, value in found.items():
            # A counter with labels is not there before its first event.
            first = 0.0 if unit in self._scraped else None
            self._counters.setdefault(name, _Rise(first)).see(value)
        if found:
            self._scraped.add(unit)

    def _buffer(self, scrape: Scrape) -> None:
        held = scrape.total("internal_write_buffer_size", output="kafka") or 0
        self._seen.buffer = max(self._seen.buffer, int(held))
        rise = self._counters.setdefault("telegraf_dropped_total", _Rise())
        rise.see(scrape.total("internal_write_metrics_dropped", output="kafka") or 0)

    def _lag(self, host: Host) -> None:
        topics = {name: topic.partitions for name, topic in self._plant.site.topics.items()}
        probe = KafkaProbe(
            f"{in_url(host.address)}:{self._plant.site.kafka.port}", topics, list(GROUPS)
        )
        try:
            reading = probe.read()
        finally:
            probe.close()
        for group, lag in _lags(reading).items():
            self._lagging[group] = max(self._lagging.get(group, 0), lag)

    # -- units, connections, journals -------------------------------------------------------------

    def _processes(self) -> dict[str, Process]:
        found: dict[str, Process] = {}
        for target in units(self._declaration):
            host = self._plant.lab.hosts[target.host]
            if not host.running:
                continue
            argv = ["systemctl", "show", "--property=InvocationID,NRestarts", target.unit]
            lines = host.exec(argv, timeout=30).stdout.splitlines()
            values = dict(line.split("=", 1) for line in lines if "=" in line)
            found[target.label] = Process(
                values.get("InvocationID", ""), int(values.get("NRestarts") or 0)
            )
        return found

    def _connections(self) -> set[str]:
        """Telegraf's ends of its connections to our OPC UA servers."""
        servers = self._plant.site.servers.values()
        ports = {server.port for server in servers if server.own and server.port}
        found = set()
        for name, declared in self._declaration.hosts.items():
            if "collector" in declared.roles:
                for process in Cgroup(self._plant.lab.names.cgroup(name)).processes():
                    found |= _connections_of(process, TELEGRAF, ports)
        return found

    def _journal(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for target in units(self._declaration):
            wanted = {text: name for (unit, text), name in _SAYS.items() if unit == target.unit}
            if not wanted:
                continue
            host = self._plant.lab.hosts[target.host]
            since = f"--since=@{int(self._since)}"
            argv = ["journalctl", "--no-pager", "--output=cat", since, f"--unit={target.unit}"]
            said = host.exec(argv, timeout=60).stdout
            for text, name in wanted.items():
                found[name] = found.get(name, 0) + said.count(text)
        return found


def _connections_of(process: int, program: str, ports: set[int]) -> set[str]:
    """The local ends of a process' connections to these ports; none if it is another program."""
    folder = Path(f"/proc/{process}")
    try:
        if (folder / "comm").read_text().strip() != program:
            return set()
        sockets = set()
        for file in (folder / "fd").iterdir():
            with suppress(OSError):  # Closed since it was listed.
                sockets.add(os.readlink(file))
        lines = (folder / "net/tcp").read_text().splitlines()[1:]
        lines += (folder / "net/tcp6").read_text().splitlines()[1:]
    except OSError:
        return set()  # It has ended just now.
    found = set()
    for line in lines:
        _, local, remote, state, *_, inode = line.split()[:10]
        established = state == "01" and int(remote.rpartition(":")[2], 16) in ports
        if established and f"socket:[{inode}]" in sockets:
            found.add(local)
    return found


@dataclass
class _Rise:
    """How much a counter rose, of a process that may start anew at 0."""

    last: float | None = None
    total: float = 0.0

    def see(self, value: float) -> None:
        """The counter's next value."""
        if self.last is not None:
            self.total += value - self.last if value >= self.last else value
        self.last = value


def _lags(reading: KafkaReading) -> Mapping[str, int]:
    """How far each group is behind the end of its topic."""
    found: dict[str, int] = {}
    for group, topic in GROUPS.items():
        committed = reading.committed.get(group, {})
        end = reading.topics.get(topic)
        if end is None or not committed:
            continue
        pairs: Iterable[tuple[int, int | None]] = [
            (offset, committed.get((topic, number))) for number, offset in end.ends.items()
        ]
        found[group] = sum(max(0, offset - at) for offset, at in pairs if at is not None)
    return found


def once(found: Points, appended_ms: Ints) -> tuple[Ints, Ints]:
    """Of each value in `opc` the first record: its source time, ns, and when Kafka took it, ms."""
    order = np.lexsort((appended_ms, found.time, found.series))
    ordered, appended = found.where(order), appended_ms[order]
    first = np.ones(len(ordered), bool)
    first[1:] = (ordered.series[1:] != ordered.series[:-1]) | (
        ordered.time[1:] != ordered.time[:-1]
    )
    return ordered.time[first], appended[first]
