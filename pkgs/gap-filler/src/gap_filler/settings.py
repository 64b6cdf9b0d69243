"""What the command line says, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one gap filler.

    Attributes:
        collector: the host whose servers it looks after.
        state: the directory for its positions.
        rate: values a second that are filled at most.
        passwords: server to the file with its password.
        restart: the file that asks for a restart of Telegraf; None where nobody watches it.
        settle_s: how long after its end a window is looked at: longer than a publishing interval,
            Telegraf's flush and a batch together.
        patience_s: nothing came for so long, so nothing older will come by itself.
        memory_values: source times in memory at most, of all servers together.
    """

    site: Path
    collector: str
    bootstrap_servers: str
    state: Path
    metrics: tuple[str, int]
    rate: float
    topic: str = "opc"
    ledger: str = "opc.ledger"
    refill: str = "opc.refill"
    certificate: Path | None = None
    key: Path | None = None
    passwords: Mapping[str, Path] = field(default_factory=dict)
    restart: Path | None = None
    settle_s: float = 5.0
    patience_s: float = 10.0
    memory_values: int = 4_000_000
