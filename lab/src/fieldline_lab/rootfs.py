"""The root of a host: a small tree of its own around the machine's /usr."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from . import formats, secrets, ssh, systems, units
from .declaration import HostDeclaration
from .plan import SITE_FOLDER, Plan
from .programs import KAFKA_CLASSES, OPT, Programs
from .state import Store

# What a host has of the machine's systemd. Everything else that packages of the machine put under
# /usr/lib/systemd would start in every host too, so the hosts see a folder with these alone.
STOCK_UNITS = """
    basic.target dbus.service dbus.socket
    emergency.service emergency.target exit.target final.target halt.target
    local-fs-pre.target local-fs.target multi-user.target network-online.target
    network-pre.target network.target nss-lookup.target nss-user-lookup.target paths.target
    poweroff.target reboot.target remote-fs-pre.target remote-fs.target rescue.service
    rescue.target shutdown.target sigpwr.target slices.target sockets.target swap.target
    sysinit.target systemd-exit.service systemd-halt.service systemd-journal-flush.service
    systemd-journald-dev-log.socket systemd-journald.service systemd-journald.socket
    systemd-poweroff.service systemd-reboot.service time-set.target time-sync.target
    timers.target umount.target
"""
STOCK_WANTS = {
    "sysinit.target": ["systemd-journald.service", "systemd-journal-flush.service"],
    # The bus starts when somebody calls: Telegraf asks there for systemd's version.
    "sockets.target": ["systemd-journald.socket", "systemd-journald-dev-log.socket", "dbus.socket"],
    # On the machines this stands for, a network manager pulls this in. Here it is up already.
    "multi-user.target": ["network-online.target"],
}
SYSTEM_UNITS = Path("/usr/lib/systemd/system")

# systemd-timesyncd.service(8).
SYNCHRONIZED = "/run/systemd/timesync/synchronized"

# What programs under /usr look for in /etc, bound read-only where the machine has it.
MACHINE_ETC = (
    "alternatives",
    "ssl/certs",
    "ssl/openssl.cnf",
    "java-*",
    "protocols",
    "services",
    "ld.so.c*",
)

# Debian's numbers, so that files of the machine under /usr show the same owners.
_GROUPS = {"root": 0, "tty": 5, "disk": 6, "utmp": 43, "nogroup": 65534}
_JOURNAL_GID = 399
_BUS_UID = 398

_OS_RELEASE = """\
ID=fieldline-lab
NAME="Fieldline lab host"
PRETTY_NAME="Fieldline lab host"
"""
# A journal is for reading here and now; a lab that runs for days must not fill the disk.
_JOURNALD = """\
[Journal]
Storage=persistent
SystemMaxUse=64M
RuntimeMaxUse=16M
ForwardToSyslog=no
ForwardToConsole=no
Audit=no
"""
# 15 s: the longest that a declared service is given for a clean stop, with some room.
_SYSTEM = """\
[Manager]
DefaultTimeoutStopSec=15s
DefaultEnvironment=LANG=C.UTF-8
ShowStatus=no
"""


@dataclass(frozen=True)
class Root:
    """A rendered root and what nspawn must mount over it."""

    directory: Path
    read_only: list[tuple[str, str]]
    """Source on the machine, place in the host."""
    writable: list[tuple[str, str]]


def render(plan: Plan, host: HostDeclaration, store: Store, runtime: Path) -> Root:
    """Make the host's root anew in `runtime`. Its data in `store` are only made if missing."""
    programs = plan.programs
    root = runtime / "root"
    if root.exists():
        shutil.rmtree(root)
    for folder in ("dev", "etc", "opt", "proc", "root", "run", "sys", "tmp", "usr", "var"):
        (root / folder).mkdir(parents=True)
    for folder in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if Path("/usr", folder).is_dir():
            (root / folder).symlink_to(f"usr/{folder}")
    (root / "root").chmod(0o700)
    _etc(root, plan, host, store)
    _units(root, host, programs)
    _programs(root, programs)
    for path, file in host.files.items():
        _write(root, path, formats.render(file, path))
    read_only = [("/usr", "/usr"), *programs.binds.items(), *plan.recordings.items()]
    if Path("/nix/store").is_dir():
        read_only.append(("/nix/store", "/nix/store"))
    for pattern in MACHINE_ETC:
        read_only += [(str(path), str(path)) for path in sorted(Path("/etc").glob(pattern))]
    read_only.append((str(_stock(runtime)), str(SYSTEM_UNITS)))
    if plan.kafka_classes and plan.kafka_classes.exists():
        read_only.append((str(plan.kafka_classes), KAFKA_CLASSES))
    nothing = runtime / "nothing"
    nothing.mkdir(exist_ok=True)
    # What the machine's packages generate at boot, such as a unit per PostgreSQL cluster.
    for generators in SYSTEM_UNITS.parent.glob("system*-generators"):
        read_only.append((str(nothing), str(generators)))
    read_only.append((str(_synchronized(runtime)), SYNCHRONIZED))
    data = _data(host, store)
    ssh.host_key(data, host)
    systems.prepare(data, host, plan.declaration.device)
    systems.profile(root)
    # Writable, as on an appliance: a new value is put there, and the unit that loads it restarted.
    given = secrets.place(host, plan.sops, store, runtime)
    return Root(root, read_only, [(str(data), "/var"), (str(given), "/run/secrets")])


def _write(root: Path, path: str, text: str, mode: int = 0o644) -> None:
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.write_text(text)
    target.chmod(mode)


def _etc(root: Path, plan: Plan, host: HostDeclaration, store: Store) -> None:
    uids = store.uids(host.name, [*host.users, *host.admins])
    passwd = ["root:x:0:0:root:/root:/bin/bash"]
    groups = [f"{name}:x:{gid}:" for name, gid in _GROUPS.items()]
    groups.append(f"systemd-journal:x:{_JOURNAL_GID}:")
    passwd.append(f"messagebus:x:{_BUS_UID}:{_BUS_UID}::/var/empty:/usr/sbin/nologin")
    groups.append(f"messagebus:x:{_BUS_UID}:")
    for name, user in sorted(host.users.items()):
        home = user.get("home") or "/var/empty"
        passwd.append(f"{name}:x:{uids[name]}:{uids[name]}::{home}:/usr/sbin/nologin")
        groups.append(f"{name}:x:{uids[name]}:")
    admins, admin_groups = ssh.users(host, uids)
    passwd += [*admins, "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin"]
    groups += admin_groups
    ssh.homes(root, host, uids)
    names = [f"{other.address} {other.name}" for other in plan.declaration.hosts.values()]
    # No name server: a name that is not in `hosts` fails at once, since nobody could answer.
    texts = {
        "passwd": "\n".join([*passwd, ""]),
        "group": "\n".join([*groups, ""]),
        "hosts": "\n".join(["127.0.0.1 localhost", "::1 localhost", *names, ""]),
        "hostname": f"{host.name}\n",
        "machine-id": f"{store.machine_id(host.name)}\n",
        "nsswitch.conf": "passwd: files systemd\ngroup: files systemd\nhosts: files\n",
        "os-release": _OS_RELEASE,
        "resolv.conf": "",
        "systemd/journald.conf.d/fieldline.conf": _JOURNALD,
        "systemd/system.conf.d/fieldline.conf": _SYSTEM,
    }
    for name, text in texts.items():
        _write(root, f"etc/{name}", text)
    for name, (text, mode) in ssh.files(host).items():
        _write(root, f"etc/{name}", text, mode)
    if host.nftables:
        _write(root, "etc/nftables.conf", host.nftables)
    if plan.site_text:
        _write(root, SITE_FOLDER + "/site.toml", plan.site_text)
    (root / "etc/localtime").symlink_to("../usr/share/zoneinfo/Etc/UTC")
    (root / "etc/mtab").symlink_to("../proc/self/mounts")


def _units(root: Path, host: HostDeclaration, programs: Programs) -> None:
    folder = "etc/systemd/system"
    for name, text in units.unit_files(host, programs.path).items():
        _write(root, f"{folder}/{name}", text)
    (root / folder).mkdir(parents=True, exist_ok=True)
    for target, names in units.wanted(host).items():
        wants = root / folder / f"{target}.wants"
        wants.mkdir(exist_ok=True)
        for name in names:
            (wants / name).symlink_to(f"../{name}")
    (root / folder / "default.target").symlink_to(SYSTEM_UNITS / "multi-user.target")


def _programs(root: Path, programs: Programs) -> None:
    for name, text in programs.scripts.items():
        _write(root, f"{OPT}/bin/{name}", text, 0o755)


def _stock(runtime: Path) -> Path:
    """A copy of the machine's own units that the hosts need, and nothing else."""
    folder = runtime / "units"
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    for name in STOCK_UNITS.split():
        source = SYSTEM_UNITS / name
        if source.is_file():
            shutil.copyfile(source, folder / name)
    for target, names in STOCK_WANTS.items():
        wants = folder / f"{target}.wants"
        wants.mkdir()
        for name in names:
            (wants / name).symlink_to(f"../{name}")
    return folder


def _synchronized(runtime: Path) -> Path:
    """What systemd-timesyncd leaves once the time is right: a host's clock is the machine's."""
    file = runtime / "synchronized"
    file.touch()
    return file


def _data(host: HostDeclaration, store: Store) -> Path:
    """The host's /var, which outlives it."""
    var = store.host(host.name) / "var"
    for folder in ("cache", "empty", "lib", "log/journal", "spool", "tmp"):
        (var / folder).mkdir(parents=True, exist_ok=True)
    (var / "tmp").chmod(0o1777)
    # Left by services that were killed with the host; systemd-tmpfiles would remove them at boot.
    for private in (var / "tmp").glob("systemd-private-*"):
        shutil.rmtree(private)
    if not (var / "run").is_symlink():
        (var / "run").symlink_to("../run")
    return var
