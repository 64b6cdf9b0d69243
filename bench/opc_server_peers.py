"""Our OPC UA server beside others, all subscribed by the same Telegraf: prints JSON.

    python bench/opc_server_peers.py [--turns 2] [--seconds 10] [--minutes 7.5]

The others are open62541 (C), node-opcua and plain asyncua, which writes each value by itself; what
cannot be had here is named with the reason. Each server has one core, Telegraf and this program
another; all traffic is on loopback. Publishing interval 100 ms, sampling interval 0; each variable
changes at each tick. Telegraf drops all but the source time, by which values are counted.

First, in turns, a load of two periods: processor time per value heard, values lost, memory. Then
how many values a second a server gives on its core, in turns again: a rate is kept if Telegraf
hears 98 % of what is due and the server needs at most 95 % of its core.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opc_peers.listener import PUBLISHING_MS, Heard, listening
from opc_peers.load import Group, Load, at_rate
from opc_peers.processes import cores, cpu_s, pss_mib
from opc_peers.servers import Kind, kinds, serving
from stream_cluster import machine
from stream_model_kafka import free_ports

SECOND = 1_000_000_000
OURS = "opc_server"
# Values per second; a search goes up or down by one until it knows the highest that is kept.
RATES = (2_500, 5_000, 7_500, 10_000, 15_000, 20_000, 25_000, 30_000, 40_000, 50_000, 60_000)
LIMIT_PERIOD_MS = 200
LIMIT_SECONDS = 5
KEPT_SHARE, FULL_CORE = 0.98, 0.95
# From the first values to the window, and from its end until all that comes has come.
SETTLE_S, LATE_S = 2.0, 1.0
# Until Telegraf has heard of each variable; its start and thousands of items take seconds.
SUBSCRIBED_S = 45
# What one measurement takes beside its window, at most; it is not begun with less time left.
STARTS_S = 20


@dataclass(frozen=True)
class Window:
    """What was measured of one server under one load; values are of `seconds` of source time.

    due: by the load. produced: by the server's own account. cpu_s, telegraf_cpu_s: of processor
    time in as many seconds. pss_mib: at the end.
    """

    seconds: int
    due: int
    produced: int
    heard: int
    lost: int
    cpu_s: float
    telegraf_cpu_s: float
    pss_mib: float

    @property
    def us_per_value(self) -> float:
        """The server's processor time."""
        return 1e6 * self.cpu_s / max(1, self.heard)

    @property
    def kept(self) -> bool:
        """Whether the server keeps up with this load."""
        all_heard = self.heard >= KEPT_SHARE * self.due
        return all_heard and self.cpu_s <= FULL_CORE * self.seconds

    def why_not(self) -> str:
        """What hinders one that does not keep up."""
        if self.cpu_s > FULL_CORE * self.seconds:
            return "the server's core is full"
        if self.telegraf_cpu_s > FULL_CORE * self.seconds:
            return "Telegraf's core is full"
        return "values are late or lost"

    def shown(self) -> dict[str, Any]:
        """For the result."""
        return {
            "due": self.due,
            "produced": self.produced,
            "heard": self.heard,
            "lost": self.lost,
            "heard_per_s": round(self.heard / self.seconds),
            "cpu_us_per_value": round(self.us_per_value, 2),
            "cpu_cores": round(self.cpu_s / self.seconds, 3),
            "telegraf_cpu_cores": round(self.telegraf_cpu_s / self.seconds, 3),
            "pss_mib": round(self.pss_mib, 1),
            "kept": self.kept,
        }


def subscribed(heard: Heard, load: Load) -> None:
    """Wait until Telegraf has heard as many values as there are variables.

    Raises:
        RuntimeError: it has not.
    """
    deadline = time.monotonic() + SUBSCRIBED_S
    while heard.values < load.variables:
        if time.monotonic() > deadline:
            raise RuntimeError(f"Telegraf has heard {heard.values} values of {load.variables}")
        time.sleep(0.1)


def measure(kind: Kind, load: Load, seconds: int) -> Window:
    """Start a server and Telegraf, look at them for a while, end them."""
    server_core, other_core = cores()
    [port] = free_ports(1)
    with (
        tempfile.TemporaryDirectory() as name,
        serving(kind, Path(name), load, port, server_core) as server,
        listening(Path(name), load, port, other_core) as (telegraf, heard),
    ):
        subscribed(heard, load)
        time.sleep(SETTLE_S)
        since = time.time_ns()
        before = cpu_s(server.pid), cpu_s(telegraf.pid)
        time.sleep(seconds)
        spent = cpu_s(server.pid) - before[0], cpu_s(telegraf.pid) - before[1]
        resident = pss_mib(server.pid)
        time.sleep(LATE_S)
        until = since + (seconds + 1) * SECOND
        produced, got = server.ticks(since, until), heard.by_time()
    # From half a period before a tick, so that each grid has as many ticks as it has in theory.
    if produced:
        since = min(produced) - min(group.period_ms for group in load.groups) * 500_000
        until = since + seconds * SECOND
    inside = {at: count for at, count in produced.items() if since <= at < until}
    came = {at: count for at, count in got.items() if since <= at < until}
    return Window(
        seconds,
        round(load.rate * seconds),
        sum(inside.values()),
        # Once each: what was there when the subscription began comes again.
        sum(min(count, came.get(at, 0)) for at, count in inside.items()),
        sum(max(0, count - came.get(at, 0)) for at, count in inside.items()),
        *spent,
        resident,
    )


def say(name: str, load: Load, window: Window) -> None:
    """One line of progress."""
    print(
        f"{name:<12} {load.rate:>8,.0f}/s: {window.us_per_value:6.2f} µs a value, "
        f"core {window.cpu_s / window.seconds:4.0%}, "
        f"Telegraf's {window.telegraf_cpu_s / window.seconds:4.0%}, "
        f"heard {window.heard} of {window.due}, lost {window.lost}, {window.pss_mib:.0f} MiB",
        file=sys.stderr,
        flush=True,
    )


class Clock:
    """How much of the time for all of it is left."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    def allows(self, seconds: float) -> bool:
        """Whether a measurement with a window of that length may begin."""
        return time.monotonic() + seconds + STARTS_S < self._end


def limit(kind: Kind, name: str, expected: float, clock: Clock) -> dict[str, Any]:
    """Find the highest of `RATES` that a server keeps on its core.

    expected: values per second, so that the search begins about where it will end.
    """
    place = max((i for i, rate in enumerate(RATES) if rate <= expected), default=0)
    seen: dict[int, Window] = {}
    failed: dict[int, str] = {}
    ended = "no higher rate was tried"
    while 0 <= place < len(RATES) and RATES[place] not in seen.keys() | failed.keys():
        if not clock.allows(LIMIT_SECONDS):
            ended = "out of time"
            break
        load = at_rate(RATES[place], LIMIT_PERIOD_MS)
        try:
            window = measure(kind, load, LIMIT_SECONDS)
        except (RuntimeError, OSError) as error:
            failed[RATES[place]] = str(error)
            ended, place = "it does not serve so many", place - 1
            continue
        say(name, load, window)
        seen[RATES[place]] = window
        if not window.kept:
            ended = window.why_not()
        place += 1 if window.kept else -1
    kept = [rate for rate, window in seen.items() if window.kept]
    highest = max(kept, default=0)
    found = seen.get(highest)
    return {
        "values_per_s": highest,
        "ended_by": ended,
        "extrapolated_values_per_s": round(1e6 / found.us_per_value)
        if found and found.cpu_s
        else 0,
        "rates": {str(rate): seen[rate].shown() for rate in sorted(seen)},
        "failed": {str(rate): why for rate, why in failed.items()},
    }


def medians(windows: Mapping[str, list[Window]]) -> dict[str, float]:
    """Processor time per value of each server, µs."""
    return {
        name: statistics.median(window.us_per_value for window in found)
        for name, found in windows.items()
        if found
    }


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """The whole benchmark."""
    about = machine()
    had, missing = kinds()
    clock = Clock(options.minutes)
    mixed = Load((Group(options.quick, 200), Group(options.slow, 1000)))
    windows: dict[str, list[Window]] = {name: [] for name in had}
    for _turn in range(options.turns):
        for name, kind in list(had.items()):
            try:
                window = measure(kind, mixed, options.seconds)
            except (RuntimeError, OSError) as error:
                missing[name] = f"it has failed: {error}"
                del had[name], windows[name]
                continue
            say(name, mixed, window)
            windows[name].append(window)
    if OURS not in had:
        sys.exit(f"{OURS}: {missing[OURS]}")
    spent = medians(windows)
    limits: dict[str, list[dict[str, Any]]] = {name: [] for name in had}
    for _turn in range(options.turns):
        for name, kind in had.items():
            expected = 0.9e6 / max(1, spent[name])
            for before in limits[name]:
                expected = before["values_per_s"] or expected
            limits[name].append(limit(kind, name, expected, clock))
    return {
        "machine": about,
        "publishing_interval_ms": PUBLISHING_MS,
        "mixed_load": {
            "variables_at_5_hz": options.quick,
            "variables_at_1_hz": options.slow,
            "values_per_s": mixed.rate,
            "seconds": options.seconds,
        },
        "limit_load": {"hertz": 1000 / LIMIT_PERIOD_MS, "seconds": LIMIT_SECONDS},
        "servers": {
            name: {
                "version": kind.version,
                "mixed": [window.shown() for window in windows[name]],
                "limit": limits[name],
            }
            for name, kind in had.items()
        },
        "not_measured": missing,
        "our_cpu_in_theirs": {
            name: round(spent[OURS] / theirs, 2)
            for name, theirs in spent.items()
            if name != OURS and theirs
        },
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", type=int, default=1000, help="variables at 5 Hz")
    parser.add_argument("--slow", type=int, default=1000, help="variables at 1 Hz")
    parser.add_argument("--seconds", type=int, default=10, help="of each window, whole")
    parser.add_argument("--turns", type=int, default=2, help="of each server")
    parser.add_argument("--minutes", type=float, default=7.5, help="for all but installing peers")
    options = parser.parse_args()
    # So that SIGTERM ends the servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(json.dumps(measured(options), indent=2))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
