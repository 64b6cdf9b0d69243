"""The service's settings, checked when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ledger.kafka import Topics


@dataclass(frozen=True, slots=True)
class Settings:
    """What the service is started with.

    window_ms: how far back hours are watched. interval_ms: from one round to the next.
    influxdb_directory: on InfluxDB's disk. restart_files: unit to the file that asks for a restart;
        without any, nothing is guarded.
    """

    site: Path
    bootstrap_servers: str
    topics: Topics
    url: str
    token_file: Path
    metrics_address: str
    metrics_port: int
    window_ms: int
    interval_ms: int
    influxdb_directory: Path = Path("/var/lib/influxdb2")
    restart_files: Mapping[str, Path] = field(default_factory=dict)
