"""What the host that looks knows of itself: its units and what they said last."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping

from fieldline.local import (
    Entry,
    Journal,
    LocalHost,
    has_link,
    read_units,
    this_host,
    units_of,
)
from fieldline.site import Site

# An error that is older is history.
_HOUR_NS = 3600 * 10**9
# How often systemd and journald are asked, s: each time takes some tens of milliseconds of CPU.
_EVERY_SECONDS = 5.0


class Here:
    """Reads units and journal, at most every few seconds; used from one thread at a time."""

    def __init__(self, site: Site, journal: Journal | None = None) -> None:
        self._name = this_host(site)
        self._device = site.network.device
        self._units = units_of(site.hosts[self._name].roles) if self._name else []
        self._journal = journal or Journal()
        self._read_at = float("-inf")
        self._seen: tuple[LocalHost, Mapping[str, Entry]] = (LocalHost(self._name), {})

    def read(self) -> tuple[LocalHost, Mapping[str, Entry]]:
        """The host, and each unit's last error of the past hour, or last words if it has ended."""
        if self._name is not None and time.monotonic() - self._read_at > _EVERY_SECONDS:
            self._seen = self._now()
            self._read_at = time.monotonic()
        return self._seen

    def _now(self) -> tuple[LocalHost, Mapping[str, Entry]]:
        link = has_link(self._device)
        try:
            units = read_units(self._units)
        except (OSError, subprocess.SubprocessError) as error:
            return LocalHost(self._name, {}, link, f"systemd does not tell: {error}"), {}
        words = {}
        for name, state in units.items():
            entry = None
            if not state.runs and state.active != "inactive":
                entry = self._journal.last_words(name)
            if entry is None:
                entry = self._journal.last_problem(name, time.time_ns() - _HOUR_NS)
            if entry is not None:
                words[name] = entry
        return LocalHost(self._name, units, link), words
