"""The journal of this host: the last thing that went wrong in a unit."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from fieldline.local.messages import PATTERN, Message, read_message
from fieldline.local.plain import is_noise
from fieldline.local.units import Run, run_command

# Enough to have the last words of a service before systemd's own lines about its end, and an error
# among the noise of a restart.
_LAST_LINES = 30


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a unit's log; `time_ns` is when it was written."""

    time_ns: int
    message: Message
    raw: str


class _Line(msgspec.Struct):
    realtime: str = msgspec.field(name="__REALTIME_TIMESTAMP", default="0")
    # Bytes that are no UTF-8 come as a list of numbers; a line that is too long as null.
    text: str | list[int] | None = msgspec.field(name="MESSAGE", default=None)
    identifier: str = msgspec.field(name="SYSLOG_IDENTIFIER", default="")


_decode = msgspec.json.Decoder(_Line).decode


class Journal:
    """Reads this host's journal; an empty answer also where it may not be read.

    Args:
        run: runs journalctl; a test may give its own.
    """

    def __init__(self, run: Run = run_command) -> None:
        self._run = run

    def last_problem(self, unit: str, since_ns: int) -> Entry | None:
        """The last error or warning that a unit has written since then; None if there is none."""
        since = f"--since=@{since_ns // 10**9}"
        # Some systemd are built without pattern matching: the last lines then have to do.
        for choice in (["--grep", PATTERN, "--case-sensitive=yes"], []):
            try:
                found = self._read(unit, [since, f"-n{_LAST_LINES}", *choice])
            except subprocess.CalledProcessError as error:
                if error.returncode == 1 and not (error.stderr or "").strip():
                    return None  # No line matches.
                continue
            bad = (entry for entry, _ in found if entry.message.level != "info")
            return next((entry for entry in bad if not is_noise(entry.message.text)), None)
        return None

    def last_words(self, unit: str) -> Entry | None:
        """What a unit itself wrote last before it ended: the reason, where it gave one.

        Our services end with a plain text of what to do and, behind `cause:`, the raw cause.
        """
        try:
            found = self._read(unit, [f"-n{_LAST_LINES}"])
        except subprocess.CalledProcessError:
            return None
        own = [entry for entry, identifier in found if identifier != "systemd"]
        for index, entry in enumerate(own):
            if entry.raw.lstrip().startswith("cause:") and index + 1 < len(own):
                return own[index + 1]
            if not entry.raw.startswith("{") or entry.message.level != "info":
                return entry
        return None

    def _read(self, unit: str, choice: Sequence[str]) -> list[tuple[Entry, str]]:
        """Entries and who wrote them, the newest first."""
        argv = ["journalctl", "--no-pager", "--quiet", "--output=json", "--reverse"]
        argv += ["--output-fields=MESSAGE,SYSLOG_IDENTIFIER", f"--unit={unit}.service", *choice]
        try:
            output = self._run(argv)
        except (OSError, subprocess.TimeoutExpired):
            return []
        entries = []
        for line in output.splitlines():
            try:
                read = _decode(line)
            except msgspec.DecodeError:
                continue
            text = read.text
            if isinstance(text, list):
                text = bytes(text).decode(errors="replace")
            if text:
                time_ns = int(read.realtime) * 1000
                entries.append((Entry(time_ns, read_message(text), text), read.identifier))
        return entries
