"""The units of this host."""

from __future__ import annotations

from collections.abc import Iterator

from fieldline.doctor.context import Context
from fieldline.doctor.finding import Finding
from fieldline.local import UnitState, plain

_HOUR_NS = 3600 * 10**9
# A unit that systemd restarts once has had a bad moment; more often, it has a fault.
_OFTEN = 3


def units(context: Context) -> Iterator[Finding]:
    """Whether each unit runs, and how often it had to be restarted."""
    here = context.here
    if here.name is None:
        yield Finding("this host", "skipped", "this machine is none of the site's hosts")
        return
    if here.problem:
        yield Finding(f"host {here.name}", "skipped", here.problem)
    for state in here.units.values():
        yield _unit(context, state)
    for host in context.site.hosts:
        if host != here.name:
            yield Finding(f"host {host}", "skipped", "`fieldline doctor` on it tells of its units")


def _unit(context: Context, state: UnitState) -> Finding:
    subject = f"unit {state.name}"
    entry = context.readings.words.get(state.name)
    said = "" if entry is None else f": {plain(entry.message.text).text}"
    log = f"`journalctl -u {state.name}` tells why."
    if not state.runs:
        if state.active == "inactive":
            return Finding(subject, "failed", "it was stopped", f"`systemctl start {state.name}`.")
        return Finding(subject, "failed", f"it {state.words}{said}", log)
    recent = state.since_ns is not None and context.now_ns - state.since_ns < _HOUR_NS
    hung = "Watchdog timeout" in (entry.raw if entry is not None else "")
    if recent and (state.restarts >= _OFTEN or hung):
        text = f"it was restarted {state.restarts} times by itself{said}"
        return Finding(subject, "warning", text, log)
    restarts = f", restarted {state.restarts} times by itself" if state.restarts else ""
    return Finding(subject, "ok", f"it runs{restarts}")
