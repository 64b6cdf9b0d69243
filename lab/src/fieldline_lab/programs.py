"""The programs that a host finds in /opt/fieldline/bin, and what must be bound for them."""

import hashlib
import shlex
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fieldline.errors import FieldlineError

from .packages import console_scripts

OPT = "/opt/fieldline"
# What a host sees of the machine anyway, see `rootfs`.
VISIBLE = (Path("/usr"), Path("/nix/store"))
# Which part a logical program comes from.
PARTS = {
    "telegraf": "telegraf",
    "influxd": "influxdb",
    "kafka-server": "kafka",
    "kafka-storage": "kafka",
}
# Programs that are used where the machine has them; units that need them are left out elsewhere.
OPTIONAL = ("grafana",)
# Programs of systemd itself.
SYSTEM = {"systemctl": "/usr/bin/systemctl"}
# See `cds`.
KAFKA_CLASSES = f"{OPT}/cds/kafka.jsa"
_KAFKA_MAIN = {"kafka-server": "kafka.Kafka", "kafka-storage": "kafka.tools.StorageTool"}


@dataclass
class Programs:
    """The wrappers by name, and the folders they need (on the machine → in the host)."""

    scripts: dict[str, str] = field(default_factory=dict)
    binds: dict[str, str] = field(default_factory=dict)

    def path(self, name: str) -> str:
        """Where the host finds a program. FieldlineError for one that nobody brings."""
        if name.startswith("/"):
            return name
        if name in SYSTEM:
            return SYSTEM[name]
        if name not in self.scripts:
            raise FieldlineError(
                f"A unit runs the program {name!r}, which no package in pkgs/ and no part brings."
                f" Known: {', '.join(sorted(self.scripts))}."
            )
        return f"{OPT}/bin/{name}"


def needed_parts(programs: Iterable[str]) -> list[str]:
    """The parts to obtain for these logical programs."""
    return sorted({PARTS[name] for name in programs if name in PARTS})


def missing_optional(programs: Iterable[str]) -> list[str]:
    """Those of the optional programs that this machine has not."""
    return [name for name in OPTIONAL if name in set(programs) and shutil.which(name) is None]


def build(used: Iterable[str], packages: Path, venv: Path, parts: Mapping[str, Path]) -> Programs:
    """The wrappers for the packages' commands, the given parts, and what else `used` names."""
    programs = Programs()
    programs.binds[str(venv)] = f"{OPT}/venv"
    programs.binds[str(packages)] = f"{OPT}/packages"
    for name, target in console_scripts(packages).items():
        programs.scripts[name] = _python(name, target)
    for part, directory in parts.items():
        programs.binds[str(directory)] = f"{OPT}/parts/{part}"
    for name, part in PARTS.items():
        if part in parts and part != "kafka":
            programs.scripts[name] = f'#!/bin/sh\nexec {OPT}/parts/{part}/bin/{name} "$@"\n'
    if "kafka" in parts:
        java = _java(programs)
        for name, main in _KAFKA_MAIN.items():
            programs.scripts[name] = _kafka(name, java, main)
    for name in OPTIONAL:
        found = shutil.which(name)
        if name in used and found is not None:
            programs.scripts[name] = _grafana(Path(found).resolve(), programs)
    return programs


def _python(name: str, target: str) -> str:
    module, _, function = target.partition(":")
    # sys.path[0] is this script's folder, and PYTHONPATH would reach the script's own children.
    return (
        f"#!{OPT}/venv/bin/python\n"
        "import sys\n"
        f'sys.path[0] = "{OPT}/packages"\n'
        "sys.dont_write_bytecode = True\n"
        f"from {module} import {function.split('.')[0]}\n"
        f'sys.argv[0] = "{name}"\n'
        f"sys.exit({function}())\n"
    )


def _java(programs: Programs) -> str:
    found = shutil.which("java")
    if found is None:
        raise FieldlineError("Kafka needs Java: apt-get install openjdk-17-jre-headless.")
    java = Path(found).resolve()
    if any(java.is_relative_to(place) for place in VISIBLE):
        return str(java)
    programs.binds[str(java.parent.parent)] = f"{OPT}/java"
    return f"{OPT}/java/bin/java"


def _kafka(name: str, java: str, main: str) -> str:
    # A short command is over before a better compiler or a second collector thread pays.
    flags = "" if name == "kafka-server" else " -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    return (
        "#!/bin/sh\n"
        f"classes={KAFKA_CLASSES}\n"
        '[ ! -r "$classes" ] || KAFKA_OPTS="-XX:SharedArchiveFile=$classes $KAFKA_OPTS"\n'
        "# KAFKA_OPTS holds several options, and is to be split.\n"
        f"exec {shlex.quote(java)}{flags} $KAFKA_OPTS"
        f" -cp '{OPT}/parts/kafka/libs/*' {main} \"$@\"\n"
    )


def kafka_key(programs: Programs) -> str | None:
    """A hash of what an archive of Kafka's classes is made from: jars, Java, command line."""
    place = f"{OPT}/parts/kafka"
    directory = next((source for source, at in programs.binds.items() if at == place), None)
    if directory is None:
        return None
    total = hashlib.sha256(programs.scripts["kafka-server"].encode())
    jars = sorted(Path(directory, "libs").glob("*.jar"))
    java = sorted(Path("/usr/lib/jvm").glob("*/lib/server/libjvm.so"))
    for file in (*jars, *java):
        status = file.stat()
        total.update(f"{file} {status.st_size} {status.st_mtime_ns}\n".encode())
    return total.hexdigest()[:16]


def _grafana(binary: Path, programs: Programs) -> str:
    """Grafana's own files lie beside its binary; where, depends on who packaged it."""
    prefix = binary.parent.parent
    homes = (prefix / "share/grafana", prefix, Path("/usr/share/grafana"))
    home = next((path for path in homes if (path / "public").is_dir()), binary.parent.parent)
    if any(binary.is_relative_to(place) for place in VISIBLE):
        program, place = str(binary), str(home)
    else:
        folder = f"{OPT}/parts/grafana"
        programs.binds[str(binary.parent.parent)] = folder
        program = f"{folder}/bin/{binary.name}"
        place = f"{folder}/share/grafana" if home.name == "grafana" else folder
    return (
        f'#!/bin/sh\nexport GF_PATHS_HOME={shlex.quote(place)}\nexec {shlex.quote(program)} "$@"\n'
    )
