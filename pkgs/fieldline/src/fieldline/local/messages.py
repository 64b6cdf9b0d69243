"""Log lines of our services and of the third-party servers: how grave, and what they say.

All write to their standard error, which journald keeps at one priority, so that how grave a line
is stands in its text alone. The forms: Telegraf's `2026-01-01T00:00:00Z E! text`; Kafka's `ERROR
Class text` (lib/kafka.nix); InfluxDB's logfmt, `lvl=error msg="text" error="cause"`; our services'
JSON (`fieldline.service.logging`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import msgspec

Level = Literal["error", "warning", "info"]

_TELEGRAF = re.compile(r"\d{4}-\d\d-\d\dT\S+ ([EWID])! (.*)", re.DOTALL)
_KAFKA = re.compile(r"(FATAL|ERROR|WARN|INFO) \S+ (?:\[[^\]]*\] )?(.*)", re.DOTALL)
_INFLUXDB = re.compile(r"\blvl=(\w+) msg=(\"(?:[^\"\\]|\\.)*\"|\S+)")
_INFLUXDB_CAUSE = re.compile(r"\berror=(\"(?:[^\"\\]|\\.)*\"|\S+)")
_LEVELS: dict[str, Level] = {
    "e": "error",
    "w": "warning",
    "fatal": "error",
    "error": "error",
    "critical": "error",
    "panic": "error",
    "warn": "warning",
    "warning": "warning",
}

# What of a journal may be an error or a warning, for `journalctl --grep` (PCRE): the forms above,
# and what systemd itself says of a unit that ends badly.
PATTERN = (
    r"^\d{4}-\d\d-\d\dT\S+ [EW]! |^(FATAL|ERROR|WARN) |\blvl=(error|warn|fatal|panic) |"
    r'^\{.*"level": "(error|warning|critical)"|Failed with result|: Watchdog timeout'
)


@dataclass(frozen=True, slots=True)
class Message:
    """A log line without its form: `text` on one line."""

    level: Level
    text: str


class _Event(msgspec.Struct):
    event: str
    level: str = "info"
    cause: str = ""
    error: str = ""


_decode = msgspec.json.Decoder(_Event).decode


def read_message(line: str) -> Message:
    """What a log line says; one of an unknown form is taken as it stands, as an `info`."""
    line = line.strip()
    if line.startswith("{"):
        try:
            event = _decode(line)
        except msgspec.DecodeError:
            return _message("info", line)
        why = event.cause or event.error
        return _message(event.level, _joined(event.event, why))
    if match := _TELEGRAF.match(line):
        return _message(match[1], match[2])
    if match := _KAFKA.match(line):
        return _message(match[1], match[2])
    if match := _INFLUXDB.search(line):
        cause = _INFLUXDB_CAUSE.search(line)
        text = _unquoted(match[2])
        return _message(match[1], _joined(text, _unquoted(cause[1]) if cause else ""))
    if "Failed with result" in line or "Watchdog timeout" in line:
        return _message("error", line)
    return _message("info", line)


def _message(level: str, text: str) -> Message:
    return Message(_LEVELS.get(level.lower(), "info"), " ".join(text.split()))


def _joined(text: str, why: str) -> str:
    if not why:
        return text
    return f"{text} ({why})" if text.rstrip().endswith(".") else f"{text}: {why}"


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1])
