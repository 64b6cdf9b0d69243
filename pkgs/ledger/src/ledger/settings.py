"""The service's settings, checked when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ledger.kafka import Topics


@dataclass(frozen=True, slots=True)
class Settings:
    """What the service is started with.

    window_ms: how far back hours are watched. interval_ms: from one round to the next.
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
