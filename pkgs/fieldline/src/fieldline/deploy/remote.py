"""ssh to a host: one new connection per command, since the network may change in between."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fieldline.errors import FieldlineError

# ssh's own exit code where there was no connection, or it broke.
NO_CONNECTION = 255
# A host on the plant's network answers in milliseconds; one that is restarting its network is asked
# again soon.
CONNECT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command on a host gave."""

    code: int
    output: str
    errors: str

    @property
    def reached(self) -> bool:
        """Whether the command was run to its end at all."""
        return self.code != NO_CONNECTION

    def json(self) -> dict[str, Any] | None:
        """The JSON object that it wrote, or None if it wrote none."""
        try:
            value = json.loads(self.output)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True)
class Ssh:
    """How a host is reached. Whatever is not said is ssh's own configuration."""

    address: str
    user: str | None = None
    identity: str | None = None
    port: int | None = None
    known_as: str | None = None
    """Under which name the host's key is known, if not under this address."""

    def options(self) -> list[str]:
        """ssh's options; nothing is ever asked of a terminal."""
        options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}"]
        # A connection whose network is gone ends within seconds; TCP alone takes minutes.
        options += ["-o", "ServerAliveInterval=3", "-o", "ServerAliveCountMax=2"]
        # One that is shared, by the user's own configuration, would say nothing of a new one.
        options += ["-o", "ControlMaster=no", "-o", "ControlPath=none"]
        if self.known_as:
            options += ["-o", f"HostKeyAlias={self.known_as}"]
        if self.identity:
            options += ["-i", self.identity, "-o", "IdentitiesOnly=yes"]
        if self.port:
            options += ["-p", str(self.port)]
        return options

    @property
    def destination(self) -> str:
        """USER@ADDRESS, or the address alone."""
        return f"{self.user}@{self.address}" if self.user else self.address

    def at(self, address: str) -> Ssh:
        """The same host at another address; its key is the one that it has here."""
        if address == self.address:
            return self
        name = f"[{self.address}]:{self.port}" if self.port not in (None, 22) else self.address
        return Ssh(address, self.user, self.identity, self.port, self.known_as or name)

    def run(self, argv: Sequence[str], timeout: float | None = None) -> Answer:
        """Run a command there; a connection that cannot be made or breaks is an answer too."""
        command = ["ssh", *self.options(), "--", self.destination, shlex.join(argv)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            return Answer(NO_CONNECTION, "", f"no answer within {timeout:.0f} s")
        except FileNotFoundError as error:
            raise FieldlineError(
                "ssh is missing: apt-get install openssh-client.", str(error)
            ) from error
        return Answer(done.returncode, done.stdout, done.stderr)
