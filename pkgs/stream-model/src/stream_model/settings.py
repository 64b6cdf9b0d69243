"""The service's settings, checked when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fieldline.stream.broker import Topics


@dataclass(frozen=True, slots=True)
class Settings:
    """What the service is started with.

    instance: its own name in the group; None where it has none.
    lookback_ms: how far back the log is read for the state; 0 takes it from the site.
    """

    site: Path
    bootstrap_servers: str
    input: str
    output: str
    dead_letter: str
    changelog: str
    group: str
    metrics_address: str
    metrics_port: int
    horizon_ms: int
    lookback_ms: int = 0
    instance: str | None = None

    @property
    def topics(self) -> Topics:
        """What the engine reads and writes."""
        outputs = (self.output, self.dead_letter)
        return Topics(self.group, self.input, self.changelog, outputs)
