"""Faster starts of Kafka: its classes, loaded and checked once and then mapped by each start.

Java calls it class data sharing. It changes nothing that Kafka does, and halves the processor time
of a start. The archive names its jars by path, so it is made where they are in a host: in a
container like a host, without a boot and without a network.
"""

import shlex
import shutil
import subprocess
from collections.abc import Callable

from . import rootfs
from .cgroup import Cgroup
from .declaration import HostDeclaration, Program, Unit
from .nspawn import bind_arguments, forget
from .plan import Plan
from .process import communicate
from .programs import OPT, PARTS
from .state import Store, hand_over

# 8 s on two free cores; a machine that is slower by ten times still gets its archive.
SECONDS = 120.0
_OUT = "/run/archive"

_SCRIPT = """\
set -eu
ip link set lo up
ip address add {address} dev lo
{prepare}
mkfifo /run/output
{serve} > /run/output &
while read -r line; do
  case $line in *"Kafka Server started"*) kill "$!" ;; esac
done < /run/output
wait "$!" || [ "$?" = 143 ]
"""


def ensure(plan: Plan, note: Callable[[str], None]) -> None:
    """Make the archive if it is missing. What goes wrong costs time at each start, nothing else."""
    path = plan.kafka_classes
    found = _kafka(plan)
    if path is None or path.exists() or found is None:
        return
    note("Preparing Kafka for fast starts; this is done once.")
    folder = plan.names.runtime / "cds"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Beside its place, to be moved there when it is whole.
    out = path.parent / ".new"
    out.mkdir(parents=True, exist_ok=True)
    host, unit = found
    bare = HostDeclaration(host.name, host.address, host.prefix, files=host.files)
    root = rootfs.render(plan, bare, Store(folder / "store"), folder)
    group = Cgroup(plan.names.cgroup("kafka.cds"))
    group.create()
    machine = plan.names.machine("kafka.cds")
    argv = [
        *("bash", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group.path)),
        *("systemd-nspawn", "--quiet", "--settings=no", "--register=no", "--keep-unit"),
        *("--as-pid2", "--console=pipe", "--private-network", f"--machine={machine}"),
        *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
        f"--directory={root.directory}",
        *bind_arguments(root),
        f"--bind={out}:{_OUT}",
        *("sh", "-c", _script(host, unit)),
    ]
    try:
        done = communicate(argv, timeout=SECONDS)
        made = out / "kafka.jsa"
        if done.returncode or not made.exists():
            note(f"It could not be prepared: {(done.stdout + done.stderr).strip()[-500:]}")
            return
        made.chmod(0o644)
        for old in path.parent.glob("*.jsa"):
            old.unlink()
        made.rename(path)
    except (OSError, subprocess.TimeoutExpired) as error:
        note(f"It could not be prepared: {error}")
    finally:
        shutil.rmtree(out, ignore_errors=True)
        hand_over(path.parent, plan.names.worktree)
        group.kill()
        group.remove()
        forget(machine, root.directory)


def _kafka(plan: Plan) -> tuple[HostDeclaration, Unit] | None:
    for host in plan.declaration.hosts.values():
        for unit in host.units.values():
            if unit.command.program == "kafka-server":
                return host, unit
    return None


def _script(host: HostDeclaration, unit: Unit) -> str:
    def command(program: Program, options: str = "") -> str:
        environment = dict(unit.environment)
        environment["KAFKA_OPTS"] = f"{environment.get('KAFKA_OPTS', '')} {options}"
        words = ["env", *(f"{key}={value}" for key, value in environment.items())]
        return shlex.join([*words, f"{OPT}/bin/{program.program}", *program.arguments])

    return _SCRIPT.format(
        address=host.address,
        # Kafka's own only: what else a start waits for is about a host that is in use.
        prepare="\n".join(
            command(entry) for entry in unit.pre_start if PARTS.get(entry.program) == "kafka"
        ),
        serve=command(unit.command, f"-XX:ArchiveClassesAtExit={_OUT}/kafka.jsa"),
    )
