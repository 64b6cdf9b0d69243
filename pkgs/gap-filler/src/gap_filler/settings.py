"""What the command line says, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fieldline.errors import FieldlineError


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


def parse_address(option: str, text: str) -> tuple[str, int]:
    """ADDRESS:PORT, with an IPv6 address in brackets.

    Raises:
        FieldlineError: it is neither.
    """
    address, colon, port = text.rpartition(":")
    address = address.removeprefix("[").removesuffix("]")
    if not colon or not address or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise FieldlineError(f"{option} {text!r} is not ADDRESS:PORT, such as 127.0.0.1:9104.")
    return address, int(port)


def parse_passwords(option: str, texts: list[str]) -> dict[str, Path]:
    """SERVER=FILE, several times.

    Raises:
        FieldlineError: one of them is not of this form.
    """
    found: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not name or not path:
            raise FieldlineError(f"{option} {text!r} is not SERVER=FILE.")
        found[name] = Path(path)
    return found
