"""The words of an audit: what is looked for, and what was found. No value is ever printed."""

from __future__ import annotations

from dataclasses import dataclass, field

# A shorter text is found in any file by chance; a value that short is a finding of its own.
SHORTEST = 6


@dataclass(frozen=True, repr=False)
class Secret:
    """A secret of this host."""

    name: str
    path: str
    value: bytes

    @property
    def searchable(self) -> bool:
        """Whether its value can be told from other text."""
        return len(self.value) >= SHORTEST


@dataclass(frozen=True, order=True)
class Finding:
    """Something that is not as it must be."""

    secret: str
    where: str
    what: str


@dataclass
class Result:
    """What an audit saw."""

    secrets: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    processes: int = 0
    credentials: int = 0
    journal_bytes: int = 0


class Needles:
    """Values to look for in bytes."""

    def __init__(self, secrets: list[Secret]) -> None:
        # By value: two secrets may share one.
        self._names: dict[bytes, list[str]] = {}
        for secret in secrets:
            if secret.searchable:
                self._names.setdefault(secret.value, []).append(secret.name)
        self.longest = max(map(len, self._names), default=0)

    def __bool__(self) -> bool:
        return bool(self._names)

    def found_in(self, data: bytes) -> set[str]:
        """The names of the secrets whose value is in the data."""
        return {name for value, names in self._names.items() if value in data for name in names}
