"""The units of a role on the host that this runs on, as systemd knows them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fieldline.service import EXIT_CONFIGURATION

# Which units a role brings to its host (lib/, held against it by tests/nix). Not all of them are
# on every host: systemd is asked which are.
_UNITS: Mapping[str, tuple[str, ...]] = {
    "opc-server": ("opc-server",),
    "collector": ("telegraf", "gap-filler"),
    "kafka": ("apache-kafka", "kafka-provision"),
    "stream-model": ("stream-model",),
    "writer": ("telegraf",),
    "influxdb": ("influxdb2", "influxdb-provision", "ledger"),
    "grafana": ("grafana",),
}
_EVERY_HOST = ("deploy-guard",)

_PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,Result,MainPID,ExecMainCode,ExecMainStatus,NRestarts,"
    "StateChangeTimestamp"
)
# systemd answers in milliseconds, on a host that starts in seconds.
_SECONDS = 5.0

# Runs a command and gives its output.
Run = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class UnitState:
    """What systemd says of a unit.

    Attributes:
        name: without `.service`.
        active, sub, result: ActiveState, SubState and Result.
        main: whether its main process lives; status: the exit status of the last one.
        restarts: how often systemd has restarted it by itself since somebody started it.
        since_ns: when it came into this state; None if it never was in another.
    """

    name: str
    active: str
    sub: str
    result: str
    main: bool = True
    status: int = 0
    restarts: int = 0
    since_ns: int | None = None

    @property
    def runs(self) -> bool:
        """Whether it does its work, or has done it (a one-shot)."""
        return self.active in ("active", "reloading")

    @property
    def words(self) -> str:
        """Its state in plain words."""
        if self.active == "failed":
            if self.status == EXIT_CONFIGURATION:
                return f"has refused to run (exit code {EXIT_CONFIGURATION})"
            return f"has failed ({self.result})"
        if self.active == "inactive":
            return "was stopped"
        if self.active == "activating":
            if self.sub == "auto-restart":
                return f"ends again and again (exit code {self.status}) and is restarted"
            if self.sub == "start-post" and not self.main:
                return f"has ended while it started (exit code {self.status})"
            return "is still starting"
        if self.active == "deactivating":
            return "is stopping"
        return "runs"


def units_of(roles: Iterable[str]) -> list[str]:
    """The units that a host with these roles may have, without repeats."""
    names = [name for role in roles for name in _UNITS.get(role, ())]
    return list(dict.fromkeys([*names, *_EVERY_HOST]))


def read_units(names: Sequence[str], run: Run | None = None) -> dict[str, UnitState]:
    """The states of those units that this host has.

    Raises:
        OSError, subprocess.SubprocessError: systemd cannot be asked here.
    """
    if not names:
        return {}
    argv = ["systemctl", "show", "--timestamp=unix", f"--property={_PROPERTIES}", "--"]
    output = (run or run_command)([*argv, *(f"{name}.service" for name in names)])
    found = {}
    for block in output.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if values.get("LoadState") == "loaded":
            state = _state(values)
            found[state.name] = state
    return found


def _state(values: Mapping[str, str]) -> UnitState:
    since = values.get("StateChangeTimestamp", "")
    return UnitState(
        name=values["Id"].removesuffix(".service"),
        active=values.get("ActiveState", ""),
        sub=values.get("SubState", ""),
        result=values.get("Result", ""),
        main=values.get("MainPID", "0") != "0",
        status=int(values.get("ExecMainStatus") or 0),
        restarts=int(values.get("NRestarts") or 0),
        since_ns=round(float(since[1:]) * 1e9) if since.startswith("@") else None,
    )


def run_command(argv: Sequence[str]) -> str:
    """The standard output of a command of systemd."""
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        timeout=_SECONDS,
        check=True,
    )
    return done.stdout
