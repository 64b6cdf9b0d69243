"""What the site wants to be secret, and where: as lib/secrets.nix says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fieldline.errors import FieldlineError
from fieldline.secrets.rules import SHARED, host_file

MOUNT = "/run/secrets/"


@dataclass(frozen=True)
class Use:
    """A unit that loads a secret."""

    host: str
    unit: str


@dataclass(frozen=True)
class Wanted:
    """The secrets of a site."""

    hosts: Mapping[str, Mapping[str, str]]
    """Host → each of its secrets → the file it stands in, relative to secrets/."""
    uses: Mapping[str, tuple[Use, ...]] = field(default_factory=dict)
    """Secret → the units that load it."""

    @classmethod
    def of(cls, declared: Mapping[str, Any]) -> Wanted:
        """Read what `lib/` gives for the lab.

        Raises:
            FieldlineError: it is of another form.
        """
        try:
            hosts = {
                name: {secret: str(file) for secret, file in host["secretFiles"].items()}
                for name, host in declared["hosts"].items()
            }
            uses: dict[str, list[Use]] = {}
            for name, host in declared["hosts"].items():
                for unit, body in host["units"].items():
                    for path in body.get("credentials", {}).values():
                        if path.startswith(MOUNT):
                            use = Use(name, unit)
                            uses.setdefault(path.removeprefix(MOUNT), []).append(use)
        except (KeyError, AttributeError, TypeError) as error:
            raise FieldlineError(
                "lib/ gives the secrets in another form than this command knows: check out one"
                " commit whole.",
                f"{type(error).__name__}: {error}",
            ) from error
        wanted = cls(hosts, {secret: tuple(dict.fromkeys(u)) for secret, u in uses.items()})
        wanted._check()
        return wanted

    def _check(self) -> None:
        for host, files in self.hosts.items():
            for secret, file in files.items():
                if file not in (SHARED, host_file(host)):
                    raise FieldlineError(
                        "lib/ puts a secret into a file that is neither its host's nor shared.",
                        f"{secret} of {host}: {file}",
                    )

    @property
    def sharing(self) -> frozenset[str]:
        """The hosts that want a shared secret."""
        return frozenset(host for host, files in self.hosts.items() if SHARED in files.values())

    def files(self) -> dict[str, tuple[str, ...]]:
        """File, relative to secrets/ → the secrets in it; without admin.yaml."""
        found: dict[str, set[str]] = {host_file(host): set() for host in self.hosts}
        for files in self.hosts.values():
            for secret, file in files.items():
                found.setdefault(file, set()).add(secret)
        return {file: tuple(sorted(secrets)) for file, secrets in sorted(found.items())}

    def names(self) -> set[str]:
        """All secrets."""
        return {secret for files in self.hosts.values() for secret in files}

    def hosts_with(self, secret: str) -> list[str]:
        """The hosts that want a secret."""
        return sorted(host for host, files in self.hosts.items() if secret in files)
