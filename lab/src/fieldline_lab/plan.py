"""Everything that a lab needs before root is needed: evaluated, obtained, installed."""

import atexit
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldline.errors import FieldlineError
from fieldline.evaluate import evaluate

from . import declaration as declared
from . import packages, programs, secrets
from .declaration import Declaration, HostDeclaration
from .names import LabNames
from .parts import obtain
from .programs import Programs
from .state import Store, hand_over, read_json, write

# Where the hosts' programs find the site, see names.site in lib/.
SITE_FOLDER = "/etc/fieldline"
# The schema's default (docs/site.md); `lib/` does not hand the filled-in value on.
GRAFANA_PORT = 3000
# Raised when this package renders the same declaration into something else than before.
RENDERING = 2


@dataclass(frozen=True)
class Plan:
    """What to boot. It goes through a file from the user's process to root's."""

    names: LabNames
    raw: dict[str, Any]
    """The declaration as `lib/` gave it, without the units that this machine cannot run."""
    programs: Programs
    omitted: dict[str, str] = field(default_factory=dict)
    """Units that are declared but not run here, and why: `db/grafana` → reason."""
    ports: dict[str, dict[str, int]] = field(default_factory=dict)
    """What a person should reach: host → name → port there."""
    site_text: str = ""
    """The site file, which the hosts' programs read as well."""
    sops: str | None = None
    """The program that opens the hosts' secrets; None where no host has any."""
    recordings: dict[str, str] = field(default_factory=dict)
    """Recordings that the site names: file on this machine → place in every host."""

    @property
    def declaration(self) -> Declaration:
        """The typed declaration."""
        return declared.parse(self.raw)

    def forwards(self, host: str) -> dict[str, int]:
        """What a person should reach on a host: name → port there."""
        return self.ports.get(host, {})

    @property
    def kafka_classes(self) -> Path | None:
        """The archive of Kafka's classes, made or not (see `cds`); None where no Kafka runs."""
        key = programs.kafka_key(self.programs)
        return self.names.worktree / ".lab" / ".java" / f"{key}.jsa" if key else None

    def fingerprint(self, host: str) -> str:
        """A hash of all that decides how the host is rendered: equal means nothing changed."""
        everything = {
            "rendering": RENDERING,
            "host": self.raw["hosts"][host],
            "network": self.raw["network"],
            "names": {name: body["address"] for name, body in self.raw["hosts"].items()},
            "scripts": self.programs.scripts,
            "binds": self.programs.binds,
            "site": self.site_text,
            "recordings": self.recordings,
            "ports": self.forwards(host),
            "secrets": secrets.digest(Store(self.names.state).secrets, self.raw["hosts"][host]),
        }
        text = json.dumps(everything, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Write the plan."""
        value = {
            "worktree": str(self.names.worktree),
            "site": str(self.names.site),
            "name": self.names.name,
            "raw": self.raw,
            "scripts": self.programs.scripts,
            "binds": self.programs.binds,
            "omitted": self.omitted,
            "ports": self.ports,
            "site_text": self.site_text,
            "recordings": self.recordings,
            "sops": self.sops,
        }
        try:
            write(path, json.dumps(value) + "\n")
        except OSError as error:
            raise FieldlineError(
                f"{path.parent} cannot be written to; the lab keeps its data there.", str(error)
            ) from error

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """Read a plan. FieldlineError if it is none."""
        value = read_json(path)
        try:
            return cls(
                LabNames(Path(value["worktree"]), Path(value["site"]), value["name"]),
                value["raw"],
                Programs(value["scripts"], value["binds"]),
                value["omitted"],
                value["ports"],
                value["site_text"],
                value["sops"],
                value["recordings"],
            )
        except KeyError as error:
            raise FieldlineError(f"{path} holds no plan of a lab.", f"no key {error}") from error


def prepare(names: LabNames, note: Callable[[str], None]) -> Plan:
    """Evaluate the site, get the parts and install the packages; as any user."""
    try:
        folder = names.worktree / ".lab"
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            hand_over(folder, names.worktree)
        raw = evaluate(names.worktree / "lib", names.site)
        return make(names, raw, note)
    except PermissionError as error:
        raise FieldlineError(
            "The lab cannot be prepared as this user; run it as the owner of the work tree.",
            str(error),
        ) from error


def make(names: LabNames, raw: dict[str, Any], note: Callable[[str], None]) -> Plan:
    """A plan for an evaluated declaration."""
    declaration = declared.parse(raw)
    raw, omitted = _without_missing(raw, declaration)
    used = _used(declared.parse(raw).hosts.values())
    wanted = programs.needed_parts(used)
    if any(host.secrets for host in declaration.hosts.values()):
        wanted.append("sops")
    found = obtain(wanted) if wanted else {}
    sops = found.pop("sops", None)
    parts = {name: part.directory for name, part in found.items()}
    installed = packages.prepare(names.worktree, note)
    hand_over(installed.directory.parent, names.worktree)
    built = programs.build(used, installed.directory, installed.environment, parts)
    for host in declared.parse(raw).hosts.values():
        for unit in host.units.values():
            for program in unit.programs:
                built.path(program.program)
    # The rest of what `lib/` gives (dashboards above all) is for others.
    kept = {key: raw[key] for key in ("network", "hosts")}
    text = names.site.read_text() if names.site.is_file() else ""
    site = tomllib.loads(text)
    return Plan(
        names,
        kept,
        built,
        omitted,
        _ports(raw, site),
        text,
        str(sops.executable) if sops else None,
        _recordings(names.site, site),
    )


def _ports(raw: dict[str, Any], site: dict[str, Any]) -> dict[str, dict[str, int]]:
    """What a person should reach: InfluxDB, and Grafana where it runs."""
    ports: dict[str, dict[str, int]] = {}
    influxdb = raw.get("influxdb") or {}
    if "host" in influxdb:
        ports[influxdb["host"]] = {"influxdb": int(influxdb["port"])}
    for name, host in raw["hosts"].items():
        if "grafana" in host.get("units", {}):
            port = site.get("grafana", {}).get("port", GRAFANA_PORT)
            ports.setdefault(name, {})["grafana"] = int(port)
    return ports


def _recordings(site_file: Path, site: dict[str, Any]) -> dict[str, str]:
    """The recordings that the site replays. `{asset}` and `{variable}` stand for any text."""
    found: dict[str, str] = {}
    for kind in site.get("asset_types", {}).values():
        for variable in kind.get("variables", {}).values():
            source = variable.get("source", {})
            if source.get("kind") == "replay":
                pattern = re.sub(r"\{(asset|variable)\}", "*", source["file"])
                for path in sorted(site_file.parent.glob(pattern)):
                    place = path.relative_to(site_file.parent)
                    found[str(path)] = f"{SITE_FOLDER}/{place}"
    return found


def _used(hosts: Any) -> set[str]:
    return {
        program.program
        for host in hosts
        for unit in host.units.values()
        for program in unit.programs
    }


def _without_missing(
    raw: dict[str, Any], declaration: Declaration
) -> tuple[dict[str, Any], dict[str, str]]:
    """The declaration without units whose program this machine has not, and which those are."""
    omitted: dict[str, str] = {}
    hosts: dict[str, Any] = {}
    for name, host in declaration.hosts.items():
        lacking = _lacking(host)
        omitted.update({f"{name}/{unit}": reason for unit, reason in lacking.items()})
        body = dict(raw["hosts"][name])
        body["units"] = {k: v for k, v in body.get("units", {}).items() if k not in lacking}
        hosts[name] = body
    return {**raw, "hosts": hosts}, omitted


def _lacking(host: HostDeclaration) -> dict[str, str]:
    found: dict[str, str] = {}
    for unit in host.units.values():
        missing = programs.missing_optional(program.program for program in unit.programs)
        if missing:
            found[unit.name] = f"no `{missing[0]}` on this machine's PATH"
    return found


def plan_file(names: LabNames) -> Path:
    """Where a user's process leaves the plan for root's; with the process, the file goes."""
    path = names.worktree / ".lab" / f".plan-{names.lab_id}-{os.getuid()}-{os.getpid()}.json"
    # Root's process removes it once it has read it, but there is none where root is refused.
    atexit.register(path.unlink, missing_ok=True)
    return path
