"""Clocks: of this host, of the others as far as their endpoints tell, of the sources."""

from __future__ import annotations

from collections.abc import Iterator

from fieldline.doctor.context import Context
from fieldline.doctor.finding import Finding
from fieldline.errors import FieldlineError
from fieldline.influx.layout import OPC_MEASUREMENT, QUALITY_FIELD
from fieldline.influx.series import quoted, read_series
from fieldline.local import is_synchronised
from fieldline.where.evidence import CLOCK_S

_SYNCHRONIZED = "/run/systemd/timesync/synchronized"
_NTP = "See `timedatectl timesync-status` there, and `network.ntp` in site.toml."
# A source time may be ahead of this host's clock by what clocks may differ, and by no more.
_AHEAD_NS = 5 * 10**9


def clocks(context: Context) -> Iterator[Finding]:
    """NTP of this host, offsets of the other hosts, source times in the future."""
    yield _this_host(context)
    yield from _other_hosts(context)
    yield _sources(context)


def _this_host(context: Context) -> Finding:
    name = context.here.name
    if name is None:
        return Finding("this host", "skipped", "this machine is none of the site's hosts")
    if is_synchronised(context.path(_SYNCHRONIZED)):
        return Finding(f"host {name}", "ok", "NTP has set its clock")
    return Finding(f"host {name}", "failed", "NTP has not set its clock since it started", _NTP)


def _other_hosts(context: Context) -> Iterator[Finding]:
    site, readings = context.site, context.readings
    known: dict[str, float] = {}
    for server, scrape in readings.servers.items():
        host = site.servers[server].host
        if host is not None and scrape.clock_s is not None:
            known[host] = scrape.clock_s
    for host, scrape in readings.telegrafs.items():
        if scrape.clock_s is not None:
            known[host] = scrape.clock_s
    for host in site.hosts:
        if host == context.here.name:
            continue
        if host not in known:
            yield Finding(f"host {host}", "skipped", "no service of it answers, which would tell")
        elif abs(known[host]) > CLOCK_S:
            way = "ahead of" if known[host] > 0 else "behind"
            text = f"its clock is {abs(known[host]):.0f} s {way} this host's"
            yield Finding(f"host {host}", "failed", text, _NTP)
        else:
            yield Finding(f"host {host}", "ok", f"its clock agrees within {CLOCK_S:.0f} s")


def _sources(context: Context) -> Finding:
    client = context.influxdb()
    if isinstance(client, str):
        return Finding("source times", "skipped", f"InfluxDB cannot be asked: {client}")
    statement = (
        f"SELECT last({quoted(QUALITY_FIELD)}) FROM {quoted(OPC_MEASUREMENT)} "
        f'WHERE time > {context.now_ns + _AHEAD_NS} GROUP BY "asset"'
    )
    try:
        found = list(read_series(client, context.site.influxdb.bucket, [statement], texts=True))
    except FieldlineError as error:
        return Finding("source times", "skipped", error.what_to_do)
    if not found:
        return Finding("source times", "ok", "none that is stored lies in the future")
    latest = max(int(series.time[-1]) for series in found)
    assets = sorted({series.tags["asset"] for series in found})
    some = ", ".join(assets[:3]) + (" and others" if len(assets) > 3 else "")
    text = f"values of {some} lie up to {(latest - context.now_ns) / 1e9:.0f} s in the future"
    remedy = "Set the clock of their server (NTP of its host); they cannot be changed any more."
    return Finding("source times", "failed", text, remedy)
