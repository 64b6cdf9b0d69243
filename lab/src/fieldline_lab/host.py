"""One host of a lab: a systemd-nspawn container that outlives the command which booted it."""

import os
import select
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fieldline.errors import FieldlineError

from . import forward, nspawn, rootfs, waiting
from .cgroup import Cgroup
from .lock import LabLock, held_descriptors
from .names import NETNS_ROOT
from .network import Network
from .plan import Plan
from .process import communicate
from .rootfs import Root
from .state import HostRecord, Store
from .units import expected_units
from .waiting import UnitState

BOOT_SECONDS = 30.0
# Longer than the longest TimeoutStopSec that lib/ gives a unit (60 s for Kafka).
STOP_SECONDS = 75.0
# How often something is looked at for which the kernel has no event.
TICK_SECONDS = 0.005
# systemd's signal for an orderly poweroff.
POWEROFF = signal.SIGRTMIN + 4

# Whoever exec's into a host is root there, but must not set the machine's clock from within.
_BOUNDING = "-sys_time,-sys_module,-sys_rawio,-wake_alarm"
_ENVIRONMENT = {
    "PATH": "/opt/fieldline/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LANG": "C.UTF-8",
    "SYSTEMD_PAGER": "",
    "SYSTEMD_COLORS": "0",
}

# Joins the control group ($2) before it starts anything, so that at no moment a process exists that
# the group does not show, and lets go of the lock ($1) only then. If the group is gone, somebody
# has cleaned up meanwhile, and nothing is started.
_LAUNCHER = """\
echo $$ > "$2/cgroup.procs" || exit 1
lock=$1
shift 2
[ "$lock" = - ] || exec {lock}>&-
"$@" &
"""


class Host:
    """A host. All of its state is asked of the kernel, so any process can handle any host."""

    def __init__(self, plan: Plan, name: str, network: Network, lock: LabLock) -> None:
        self._plan = plan
        self._network = network
        self._lock = lock
        self._host = plan.declaration.hosts[name]
        self._store = Store(plan.names.state)
        self._runtime = plan.names.runtime / "hosts" / name
        self._cgroup = Cgroup(plan.names.cgroup(name))
        self._forwarders = Cgroup(plan.names.cgroup(f"{name}.forward"))
        self._notify: socket.socket | None = None
        self.name = name
        self.address = self._host.address
        self.namespace = plan.names.namespace(name)
        self.on_change: Callable[[str, HostRecord | None], None] = _ignore

    @property
    def expected_units(self) -> list[str]:
        """The units that run when the host is well."""
        return expected_units(self._host)

    @property
    def data(self) -> Path:
        """The folder on this machine that the host sees as /var."""
        return self._store.host(self.name) / "var"

    @property
    def running(self) -> bool:
        """Whether the host is on."""
        return self._cgroup.populated

    # -- starting ---------------------------------------------------------------------------------

    def launch(self) -> None:
        """Switch the host on, and return at once. Nothing happens if it is on."""
        with self._lock.hold():
            if self.running:
                return
            self.clean()
            self._runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._console_path.unlink(missing_ok=True)
            root = rootfs.render(self._plan, self._host, self._store, self._runtime)
            self._network.attach(self.name, self.address, self._host.sysctl)
            self._listen()
            self._cgroup.create()
            self._spawn(self._cgroup, self._nspawn(root), NOTIFY_SOCKET=str(self._notify_path))
            record = HostRecord(self._plan.fingerprint(self.name), time.time())
            record.forwards = self._forward()
            self.on_change(self.name, record)

    def boot(self, timeout: float = BOOT_SECONDS) -> None:
        """Switch the host on, and wait until it takes commands. Its units may still be starting."""
        self.launch()
        self.wait_for_commands(timeout)

    def wait_for_commands(self, timeout: float = BOOT_SECONDS) -> None:
        """Wait until the host's systemd answers."""
        end = time.monotonic() + timeout
        while True:
            leader = self.leader()
            # There is no event for it: the socket is made in a file system of the host's own.
            if leader and Path(f"/proc/{leader}/root/run/systemd/private").exists():
                return
            if not self.running:
                raise FieldlineError(
                    f"The host {self.name} does not start.", self.console().strip()[-2000:]
                )
            if time.monotonic() > end:
                raise FieldlineError(
                    f"The host {self.name} has not come up within {timeout:.0f} s.",
                    self.console().strip()[-2000:],
                )
            time.sleep(TICK_SECONDS)

    def _nspawn(self, root: Root) -> list[str]:
        return [
            "systemd-nspawn",
            "--quiet",
            "--settings=no",
            "--register=no",
            "--keep-unit",
            "--boot",
            "--console=pipe",
            "--notify-ready=yes",
            f"--machine={self._plan.names.machine(self.name)}",
            f"--hostname={self.name}",
            f"--directory={root.directory}",
            f"--network-namespace-path={NETNS_ROOT / self.namespace}",
            # What IPAddressDeny needs; a whole set of capabilities would let a host set the clock.
            # mlock: Telegraf keeps secrets in locked memory; nspawn ties it to a capability.
            "--system-call-filter=bpf @memlock",
            "--capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            *nspawn.bind_arguments(root),
        ]

    def _spawn(
        self, group: Cgroup, argv: Sequence[str], inherit: int | None = None, **extra: str
    ) -> None:
        """Start a process of the host that nobody waits for."""
        locks = held_descriptors()
        kept = locks if inherit is None else (*locks, inherit)
        lock = str(locks[0]) if locks else "-"
        environment = {"PATH": os.environ.get("PATH", os.defpath), **extra}
        environment["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "1"
        with self._console_path.open("ab") as console:
            subprocess.run(
                ["bash", "-c", _LAUNCHER, "launch", lock, str(group.path), *argv],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=environment,
                cwd="/",
                pass_fds=kept,
                start_new_session=True,
                check=True,
            )

    @property
    def _console_path(self) -> Path:
        return self._runtime / "console.log"

    def console(self) -> str:
        """What systemd-nspawn and the host's first process wrote outside the journal."""
        try:
            return self._console_path.read_text(errors="replace")
        except OSError:
            return ""

    def _forward(self) -> dict[str, int]:
        """Forward the host's ports for people; name → port on 127.0.0.1."""
        ports: dict[str, int] = {}
        for name, port in self._plan.forwards(self.name).items():
            key = f"{self.name}/{name}"
            with forward.listen([p for p in (self._store.port(key),) if p]) as sock:
                ports[name] = sock.getsockname()[1]
                self._store.keep_port(key, ports[name])
                self._forwarders.create()
                argv = ["nsenter", f"--net={NETNS_ROOT / self.namespace}"]
                argv += forward.command(sock.fileno(), [self.address, "127.0.0.1"], port)
                self._spawn(self._forwarders, argv, inherit=sock.fileno())
        return ports

    # -- readiness --------------------------------------------------------------------------------

    @property
    def _notify_path(self) -> Path:
        return self._runtime / "notify"

    def _listen(self) -> None:
        self._notify_path.unlink(missing_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._notify.bind(str(self._notify_path))

    @property
    def notify_socket(self) -> socket.socket | None:
        """Becomes readable when there is news of the boot; None if another process booted it."""
        return self._notify

    def booted(self) -> bool:
        """Whether the boot has ended, however well. Never waits."""
        if self._notify is None:
            done = self.exec(["systemctl", "is-system-running"], timeout=BOOT_SECONDS)
            return done.stdout.strip() not in ("", "initializing", "starting", "offline")
        while select.select([self._notify], [], [], 0)[0]:
            if b"READY=1" in self._notify.recv(4096).splitlines():
                self._notify.close()
                self._notify = None
                return True
        return False

    def unit_states(self, units: Sequence[str] = ()) -> list[UnitState]:
        """The states of these units, or of all that are expected."""
        names = list(units) or self.expected_units
        if not names:
            return []
        done = self.exec(waiting.show_command(names), timeout=BOOT_SECONDS)
        return waiting.parse(done.stdout)

    def log(self, unit: str, lines: int) -> str:
        """The last lines of a unit's log."""
        argv = ["journalctl", "--boot", "--no-pager", "--output=cat", f"--lines={lines}"]
        return self.exec([*argv, f"--unit={unit}"], timeout=BOOT_SECONDS).stdout

    # -- stopping ---------------------------------------------------------------------------------

    def shutdown(self, timeout: float = STOP_SECONDS) -> bool:
        """Switch the host off in an orderly way; False if it had to be killed after `timeout`."""
        with self._lock.hold():
            self.begin_shutdown()
            return self.end_shutdown(timeout)

    def begin_shutdown(self) -> None:
        """Tell the host to power off."""
        leader = self.leader()
        if leader:
            os.kill(leader, POWEROFF)

    def end_shutdown(self, timeout: float = STOP_SECONDS) -> bool:
        """Wait for the poweroff; False if the host had to be killed after `timeout`."""
        # Without a first process there is nobody who could do it in an orderly way.
        orderly = self._cgroup.wait_empty(timeout if self.leader() else 0)
        self.clean()
        return orderly

    def crash(self) -> None:
        """Cut the host's power: no process of it gets a chance, no connection is closed."""
        with self._lock.hold():
            if self.running:
                self._network.set_link(self.address, up=False)
            self.clean()

    def clean(self) -> None:
        """Kill what is left of the host and remove its traces; its data stay."""
        self._cgroup.kill()
        self._forwarders.kill()
        self._network.detach(self.name, self.address)
        self._cgroup.remove()
        self._forwarders.remove()
        nspawn.forget(self._plan.names.machine(self.name), self._runtime / "root")
        if self._notify:
            self._notify.close()
            self._notify = None
        self.on_change(self.name, None)

    def block(self) -> None:
        """Pull the host's network cable."""
        self._network.set_link(self.address, up=False)

    def unblock(self) -> None:
        """Plug the host's network cable in again."""
        self._network.set_link(self.address, up=True)

    # -- inside -----------------------------------------------------------------------------------

    def leader(self) -> int | None:
        """The process on this machine that is the host's process 1."""
        return leader_of(self._cgroup)

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command on this machine that runs `argv` inside the host, as root."""
        leader = self.leader()
        if leader is None:
            raise FieldlineError(f"The host {self.name} is off. `fieldline lab up` switches it on.")
        environment = [f"{key}={value}" for key, value in _ENVIRONMENT.items()]
        if "TERM" in os.environ:
            environment.append(f"TERM={os.environ['TERM']}")
        return [
            *("nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid"),
            *("--cgroup", "--wdns=/root", "env", "--ignore-environment", *environment),
            *("setpriv", f"--bounding-set={_BOUNDING}", "--", *argv),
        ]

    def exec(
        self,
        argv: Sequence[str],
        *,
        input: str | None = None,  # noqa: A002 - as subprocess calls it
        timeout: float | None = None,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the host, as root. With `check` FieldlineError if it fails."""
        try:
            done = communicate(self.command(argv), stdin=input, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            # As the caller knows it, not as nsenter is called.
            raise subprocess.TimeoutExpired(
                list(argv), error.timeout, error.output, error.stderr
            ) from None
        if check and done.returncode:
            raise FieldlineError(
                f"`{shlex.join(argv)}` failed in the host {self.name} with {done.returncode}.",
                (done.stdout + done.stderr).strip(),
            )
        return done


def _ignore(name: str, record: HostRecord | None) -> None:
    """Nobody wants to know of a change."""


def leader_of(host: Cgroup) -> int | None:
    """Process 1 of the host with this control group, as this machine numbers it."""
    for process in Cgroup(f"{host.name}/payload").processes():
        try:
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:
            continue
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
        if len(numbers) > 2 and numbers[-1] == "1":
            return process
    return None
