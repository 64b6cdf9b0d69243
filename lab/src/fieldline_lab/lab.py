"""A lab: all hosts of a site."""

import select
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldline.errors import FieldlineError

from . import cds, secrets, sweep
from .host import BOOT_SECONDS, STOP_SECONDS, Host
from .lock import LabLock, claim
from .names import DEFAULT_NAME, LabNames, find_worktree
from .network import Network
from .plan import Plan, prepare
from .progress import Progress
from .state import HostRecord, Record, Store
from .waiting import UnitState

# Kafka's first start on a slow machine is what takes longest, and it is far from this.
UP_SECONDS = 180.0
# How often units are looked at: seldom while systemd will tell of the end of the boot, oftener
# afterwards, when only restarted units are waited for.
BOOTING_TICK, RESTARTING_TICK = 1.0, 0.25
LOG_LINES = 8


@dataclass(frozen=True)
class UpResult:
    """What `up` did."""

    booted: list[str]
    """The hosts that were switched on; empty if all were on already."""
    restarted: list[str]
    seconds: float


class UnitsError(FieldlineError):
    """Units that should run do not; the lab is up for whoever wants to look."""

    def __init__(self, what_to_do: str, cause: str, units: list[tuple[str, UnitState]]) -> None:
        super().__init__(what_to_do, cause)
        self.units = units


class Lab:
    """The hosts of a site, to be switched on and off. Needs root for everything but `plan`."""

    def __init__(self, plan: Plan, progress: Progress | None = None) -> None:
        self.plan = plan
        self.names = plan.names
        self.progress = progress or Progress(quiet=True)
        declaration = plan.declaration
        self.lock = LabLock(self.names.lock)
        self.network = Network(
            self.names, declaration.gateway, declaration.prefix, declaration.device
        )
        self.hosts = {name: Host(plan, name, self.network, self.lock) for name in declaration.hosts}
        for host in self.hosts.values():
            host.on_change = self._changed

    @classmethod
    def from_worktree(
        cls,
        root: Path | None = None,
        site: Path | None = None,
        name: str = DEFAULT_NAME,
        progress: Progress | None = None,
    ) -> "Lab":
        """The lab of a work tree's site: evaluates it, obtains its parts, installs its packages."""
        root = find_worktree(root or Path.cwd())
        progress = progress or Progress(quiet=True)
        names = LabNames.of(root, site or root / "site.toml", name)
        return cls(prepare(names, progress.note), progress)

    @classmethod
    def running(cls, names: LabNames, progress: Progress | None = None) -> "Lab":
        """The lab of these names as it was started. FieldlineError if it is not up."""
        path = names.runtime / "plan.json"
        if not path.exists():
            raise FieldlineError("The lab is not up. `fieldline lab up` starts it.")
        return cls(Plan.load(path), progress)

    def claim(self) -> AbstractContextManager[None]:
        """Have this lab alone for the whole block. FieldlineError if another process has it.

        For a command whose lab comes and goes with it. The other commands can still be used on the
        lab: they do not claim it.
        """
        return claim(sweep.owner_file(self.names))

    # -- up ---------------------------------------------------------------------------------------

    def up(
        self,
        hosts: Iterable[str] | None = None,
        *,
        fresh: bool = False,
        restart: bool = False,
        wait: bool = True,
        timeout: float = UP_SECONDS,
    ) -> UpResult:
        """Switch hosts on (None: all; an empty list: the network alone) and wait for their units.

        Hosts that are on and whose declaration is the same are left as they are. One with another
        declaration, or with failed units, is restarted with `restart`; without it, the former is an
        error. With `fresh` the hosts begin without data. If this is interrupted, or fails before
        the hosts are on, nothing of the lab is left; units that fail leave it up, to be looked at.
        """
        started = time.monotonic()
        wanted = list(self.hosts) if hosts is None else list(hosts)
        # None until it is complete: whoever interrupts before that finds nothing left by then.
        booted: list[str] | None = None
        restarted: list[str] = []

        def complete(names: list[str]) -> None:
            nonlocal booted
            booted = names

        try:
            with self.lock.hold(self._waiting_for):
                try:
                    restarted = self._start(wanted, complete, fresh=fresh, restart=restart)
                except _KeepLabError as error:
                    raise error.error from None
                except BaseException:
                    booted = None
                    sweep.destroy(self.names)
                    raise
            if wait:
                # The lock is free: a lab that never becomes ready can be looked at, and ended.
                self.wait(wanted, timeout)
        except (KeyboardInterrupt, SystemExit):
            if booted is not None:
                self._undo(booted)
            raise
        return UpResult(booted or [], restarted, time.monotonic() - started)

    def _start(
        self,
        wanted: Sequence[str],
        complete: Callable[[list[str]], None],
        *,
        fresh: bool,
        restart: bool,
    ) -> list[str]:
        """Switch on what is not on, and tell `complete` which; the hosts that were restarted."""
        record = Record.load(self._record_path)
        if fresh:
            sweep.power_off(self.names)
            sweep.destroy(self.names)
            for folder in ("hosts", "secrets"):
                sweep.remove_tree(self.names.state / folder)
            record = None
        elif (record is None or not record.complete) and sweep.traces(self.names):
            self.progress.note("Removing what an interrupted run has left.")
            sweep.destroy(self.names)
            record = None
        restarted = self._stop_changed(record, restart) if record else []
        self._save(Record(complete=False), keep_hosts=True)
        if not self.network.exists:
            self.network.create()
        cds.ensure(self.plan, self.progress.note)
        # Also where no host is switched on yet: each finds its key when it is.
        secrets.ensure(self.plan.raw, self.plan.sops, self.store, self.progress.note)
        booted = []
        for name in wanted:
            if not self.hosts[name].running:
                self.progress.now(f"switching on {name}")
                self.hosts[name].launch()
                booted.append(name)
        self.plan.save(self.names.runtime / "plan.json")
        self._save(Record(complete=True), keep_hosts=True)
        complete(booted)
        return restarted

    def _stop_changed(self, record: Record, restart: bool) -> list[str]:
        """Stop running hosts that are declared otherwise now; with `restart` also failed ones."""
        on = [name for name in record.hosts if name in sweep.running(self.names)]
        changed = [
            name
            for name in on
            if name not in self.hosts
            or record.hosts[name].fingerprint != self.plan.fingerprint(name)
        ]
        if changed and not restart:
            raise _KeepLabError(
                FieldlineError(
                    f"The lab is up with another declaration, or other code, of"
                    f" {', '.join(changed)}."
                    " `fieldline lab up --restart` restarts what has changed,"
                    " `fieldline lab down` ends the lab."
                )
            )
        if restart:
            changed += [name for name in on if name not in changed and self._has_failed(name)]
        if not changed:
            return []
        self.progress.now(f"stopping {', '.join(changed)}")
        if set(changed) >= set(on):
            # All of them: the network itself may be declared otherwise.
            sweep.power_off(self.names)
            sweep.destroy(self.names)
            return changed
        known = [self.hosts[name] for name in changed if name in self.hosts]
        for host in known:
            host.begin_shutdown()
        for host in known:
            host.end_shutdown()
        old = Lab.running(self.names)
        for name in changed:
            if name not in self.hosts:
                old.hosts[name].shutdown()
        return changed

    def _has_failed(self, name: str) -> bool:
        return any(state.verdict == "failed" for state in self.hosts[name].unit_states())

    def _undo(self, booted: Sequence[str]) -> None:
        """Remove what an interrupted `up` has started, and nothing that ran before."""
        with sweep.undisturbed(), self.lock.hold():
            if set(sweep.running(self.names)) <= set(booted):
                sweep.destroy(self.names)
            else:
                for name in booted:
                    self.hosts[name].crash()

    def _waiting_for(self, who: str) -> None:
        self.progress.note(f"Waiting for another command on this lab ({who or 'unknown'}).")

    # -- waiting ----------------------------------------------------------------------------------

    def wait(self, hosts: Iterable[str] | None = None, timeout: float = UP_SECONDS) -> None:
        """Wait until every unit of these hosts runs. UnitsError as soon as one cannot."""
        waiting = {name: self.hosts[name] for name in (self.hosts if hosts is None else hosts)}
        end = time.monotonic() + timeout
        for host in waiting.values():
            host.wait_for_commands(BOOT_SECONDS)
        ended: set[str] = set()
        while True:
            late: list[tuple[str, UnitState]] = []
            for name, host in list(waiting.items()):
                if name not in ended and host.booted():
                    ended.add(name)
                states = host.unit_states()
                bad = {"failed", "stopped"} if name in ended else {"failed"}
                failed = [(name, state) for state in states if state.verdict in bad]
                if failed:
                    raise self._failure("does not run", failed)
                missing = [(name, state) for state in states if state.verdict != "running"]
                late += missing
                if not missing:
                    del waiting[name]
            if not waiting:
                return
            if time.monotonic() > end:
                raise self._failure(f"is not running after {timeout:.0f} s", late)
            self.progress.now(f"waiting for {', '.join(_in_words(*unit) for unit in late)}")
            self._wait_for_news(waiting.values(), all(name in ended for name in waiting))

    def _wait_for_news(self, hosts: Iterable[Host], booted: bool) -> None:
        sockets = [host.notify_socket for host in hosts if host.notify_socket]
        tick = RESTARTING_TICK if booted or not sockets else BOOTING_TICK
        select.select(sockets, [], [], tick)

    def _failure(self, what: str, units: list[tuple[str, UnitState]]) -> UnitsError:
        cause: list[str] = []
        for host, state in units:
            cause.append(f"{host}: {state.name} is {state.text}; its last lines:")
            lines = self.hosts[host].log(state.name, LOG_LINES).strip().splitlines()
            cause += [f"    {line}" for line in lines]
        host, state = units[0]
        names = ", ".join(f"{_short(state.name)} on {host}" for host, state in units)
        return UnitsError(
            f"{names} {what}. The lab stays up: `fieldline lab logs {host} {_short(state.name)}`"
            " shows more, `fieldline lab down` ends it.",
            "\n".join(cause),
            units,
        )

    # -- down, status -----------------------------------------------------------------------------

    def down(self, *, purge: bool = False) -> None:
        """Stop everything; with `purge` remove the data too."""
        down(self.names, purge=purge, progress=self.progress)

    def shutdown(self, hosts: Iterable[str] | None = None) -> None:
        """Switch hosts off in an orderly way, together; the network stays."""
        with self.lock.hold():
            stopping = [self.hosts[name] for name in (self.hosts if hosts is None else hosts)]
            for host in stopping:
                host.begin_shutdown()
            for host in stopping:
                host.end_shutdown()

    def status(self) -> dict[str, Any]:
        """What runs, as data for JSON."""
        record = Record.load(self._record_path) or Record(False)
        return {
            "id": self.names.lab_id,
            "name": self.names.name,
            "worktree": str(self.names.worktree),
            "site": str(self.names.site),
            "state": str(self.names.state),
            "hosts": {
                name: self._host_status(host, record.hosts.get(name))
                for name, host in self.hosts.items()
            },
            "not_run_here": self.plan.omitted,
        }

    def _host_status(self, host: Host, record: HostRecord | None) -> dict[str, Any]:
        on = host.running and host.leader() is not None
        return {
            "address": host.address,
            "running": on,
            "namespace": host.namespace,
            "since": record.since if record and on else None,
            "forwards": record.forwards if record and on else {},
            "units": {
                state.name: {
                    "state": state.active,
                    "text": state.text,
                    "well": state.verdict == "running",
                    "since": state.since,
                }
                for state in (host.unit_states() if on else [])
            },
        }

    # -- the record -------------------------------------------------------------------------------

    @property
    def _record_path(self) -> Path:
        return self.names.runtime / "lab.json"

    def _save(self, record: Record, *, keep_hosts: bool = False) -> None:
        if keep_hosts:
            old = Record.load(self._record_path)
            record.hosts = old.hosts if old else {}
        record.save(self._record_path)

    def _changed(self, name: str, host: HostRecord | None) -> None:
        record = Record.load(self._record_path)
        if record is None:
            return  # The lab is being removed.
        if host is None:
            record.hosts.pop(name, None)
        else:
            record.hosts[name] = host
        self._save(record)

    @property
    def store(self) -> Store:
        """What outlives the lab."""
        return Store(self.names.state)


class _KeepLabError(Exception):
    """Carries an error that leaves a running lab as it is."""

    def __init__(self, error: FieldlineError) -> None:
        super().__init__(str(error))
        self.error = error


def down(names: LabNames, *, purge: bool = False, progress: Progress | None = None) -> bool:
    """Stop a lab, whatever state it is in; whether there was anything of it."""
    progress = progress or Progress(quiet=True)
    lock = LabLock(names.lock)
    with lock.hold(lambda who: progress.note(f"Waiting for another command on this lab ({who}).")):
        found = sweep.traces(names) or (purge and names.state.exists())
        try:
            progress.now("stopping the hosts")
            late = sweep.power_off(names)
            if late:
                progress.note(
                    f"{', '.join(late)} did not stop within {STOP_SECONDS:.0f} s and was killed."
                )
        finally:
            # Also after Ctrl-C, which then means: do not wait for an orderly stop.
            with sweep.undisturbed():
                sweep.destroy(names)
                if purge:
                    sweep.remove_tree(names.state)
    return found


def _in_words(host: str, state: UnitState) -> str:
    restarts = f" (restarted {state.restarts} times)" if state.restarts else ""
    return f"{host} {_short(state.name)}{restarts}"


def _short(unit: str) -> str:
    return unit.removesuffix(".service")
