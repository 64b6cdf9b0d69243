"""The last error of each hop in plain words: from this host's journal, and from what services tell.

Of other hosts only what their endpoints tell is known.
"""

from __future__ import annotations

from collections.abc import Mapping

from fieldline.local import Entry, plain
from fieldline.site import Site
from fieldline.where.probes import Readings, hosts_of
from fieldline.where.state import HopKind, LastError

# At which hop a unit's errors are shown.
_HOPS: Mapping[str, tuple[HopKind, str]] = {
    "apache-kafka": ("topic", "opc"),
    "kafka-provision": ("topic", "model"),
    "stream-model": ("group", "stream-model"),
    "influxdb2": ("store", "InfluxDB"),
    "influxdb-provision": ("store", "InfluxDB"),
}


def last_errors(site: Site, readings: Readings) -> dict[tuple[HopKind, str], LastError]:
    """Hop to its last error, where one is known."""
    found: dict[tuple[HopKind, str], LastError] = {}

    def add(hop: tuple[HopKind, str], error: LastError) -> None:
        before = found.get(hop)
        if before is None or (before.time_ns or 0) < (error.time_ns or 0):
            found[hop] = error

    for host, told in readings.models.items():
        state = told.state
        if state is None:
            continue
        hop: tuple[HopKind, str] = ("group", "stream-model")
        if state.waiting:
            add(hop, LastError(state.waiting, "", state.waiting_since_ns, host))
        for failing in state.failing:
            text = f"the model's function {failing.model} fails: {failing.error}"
            add(hop, LastError(text, "Correct the function.", failing.last_ns, host))
        for refused in state.refused:
            text = f"{refused.records} records refused: {refused.reason}"
            add(("topic", "opc.dead-letter"), LastError(text, "", refused.last_ns, host))
    here = readings.here.name
    for unit, entry in readings.words.items():
        place = _place(site, here, unit, entry)
        if place is not None:
            said = plain(entry.message.text)
            add(place, LastError(said.text, said.what_to_do, entry.time_ns, here or "", entry.raw))
    return found


def _place(site: Site, here: str | None, unit: str, entry: Entry) -> tuple[HopKind, str] | None:
    if here is None:
        return None
    if unit == "opc-server":
        return next((("server", n) for n, s in site.servers.items() if s.host == here), None)
    if unit == "telegraf":
        writes = here in hosts_of(site, "writer")
        # One process does both, where a host has both roles.
        of_writer = any(word in entry.message.text for word in ("influxdb", "kafka_consumer"))
        if writes and (of_writer or here not in site.collectors):
            return "writer", here
        return "collector", here
    return _HOPS.get(unit)
