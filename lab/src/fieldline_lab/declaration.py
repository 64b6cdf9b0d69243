"""The hosts as `lib/` declares them, typed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fieldline.errors import FieldlineError


@dataclass(frozen=True)
class Program:
    """A program by its logical name (or an absolute path) and its arguments, as they are.

    Attributes:
        unless: a file; while it is there the program is left out.
    """

    program: str
    arguments: tuple[str, ...] = ()
    unless: str = ""


@dataclass(frozen=True)
class Unit:
    """A service of a host."""

    name: str
    description: str
    command: Program
    conditions: tuple[Program, ...] = ()
    pre_start: tuple[Program, ...] = ()
    post_start: tuple[Program, ...] = ()
    after: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    wanted_by: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    service_config: Mapping[str, Any] = field(default_factory=dict)
    unit_config: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """The name with `.service`."""
        return full_unit_name(self.name)

    @property
    def programs(self) -> tuple[Program, ...]:
        """Everything that the unit runs."""
        return (*self.conditions, *self.pre_start, self.command, *self.post_start)


@dataclass(frozen=True)
class PathUnit:
    """A file that systemd watches for the service of the same name."""

    name: str
    description: str
    wanted_by: tuple[str, ...] = ()
    path_config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """The name with `.path`."""
        return f"{self.name}.path"


@dataclass(frozen=True)
class File:
    """A file of a host, still as data."""

    format: str
    value: Any


@dataclass(frozen=True)
class HostDeclaration:
    """A host, whole."""

    name: str
    address: str
    prefix: int
    roles: tuple[str, ...] = ()
    files: Mapping[str, File] = field(default_factory=dict)
    units: Mapping[str, Unit] = field(default_factory=dict)
    paths: Mapping[str, PathUnit] = field(default_factory=dict)
    users: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    nftables: str = ""
    sysctl: Mapping[str, int] = field(default_factory=dict)
    """Settings of its network namespace."""
    secrets: tuple[str, ...] = ()
    admins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Who may log in: name → public keys."""
    sshd: Mapping[str, Any] | None = None
    """sshd's settings; None where there is no sshd."""
    secret_files: Mapping[str, str] = field(default_factory=dict)
    """Secret → the encrypted file it stands in."""


@dataclass(frozen=True)
class Declaration:
    """All hosts, and the network they share."""

    gateway: str
    prefix: int
    device: str
    hosts: Mapping[str, HostDeclaration]


def full_unit_name(name: str) -> str:
    """`telegraf` is `telegraf.service`; a name that has a type already stays."""
    kinds = (".service", ".target", ".timer", ".socket", ".path", ".mount", ".slice")
    return name if name.endswith(kinds) else f"{name}.service"


def parse(value: Mapping[str, Any]) -> Declaration:
    """The typed form of what Nix gave. FieldlineError where a key is missing or wrong."""
    try:
        hosts = {name: _host(name, host) for name, host in value["hosts"].items()}
        network = value["network"]
        return Declaration(
            gateway=str(network["gateway"]),
            prefix=int(network["prefix"]),
            device=str(network.get("device") or "eth0"),
            hosts=hosts,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise FieldlineError(
            "lib/ gives the lab a declaration of another form than it knows: the work tree is of"
            " two minds; check out one commit whole.",
            f"{type(error).__name__}: {error}",
        ) from error


def _host(name: str, value: Mapping[str, Any]) -> HostDeclaration:
    return HostDeclaration(
        name=name,
        address=value["address"],
        prefix=int(value["prefix"]),
        roles=tuple(value.get("roles", ())),
        files={
            path: File(file["format"], file["value"])
            for path, file in value.get("files", {}).items()
        },
        units={unit: _unit(unit, body) for unit, body in value.get("units", {}).items()},
        paths={path: _path(path, body) for path, body in value.get("paths", {}).items()},
        users=dict(value.get("users", {})),
        nftables=value.get("nftables") or "",
        sysctl=dict(value.get("sysctl", {})),
        secrets=tuple(value.get("secrets", ())),
        admins={name: tuple(keys) for name, keys in value.get("admins", {}).items()},
        sshd=value.get("sshd"),
        secret_files=dict(value.get("secretFiles", {})),
    )


def _program(value: Mapping[str, Any]) -> Program:
    arguments = tuple(str(a) for a in value.get("arguments", ()))
    return Program(value["program"], arguments, value.get("unless", ""))


def _path(name: str, value: Mapping[str, Any]) -> PathUnit:
    return PathUnit(
        name=name,
        description=value.get("description") or name,
        wanted_by=tuple(full_unit_name(entry) for entry in value.get("wantedBy", ())),
        path_config=dict(value.get("pathConfig", {})),
    )


def _unit(name: str, value: Mapping[str, Any]) -> Unit:
    def names(key: str) -> tuple[str, ...]:
        return tuple(full_unit_name(entry) for entry in value.get(key, ()))

    return Unit(
        name=name,
        description=value.get("description") or name,
        command=_program(value["command"]),
        conditions=tuple(_program(entry) for entry in value.get("conditions", ())),
        pre_start=tuple(_program(entry) for entry in value.get("preStart", ())),
        post_start=tuple(_program(entry) for entry in value.get("postStart", ())),
        after=names("after"),
        wants=names("wants"),
        requires=names("requires"),
        wanted_by=names("wantedBy"),
        environment={k: str(v) for k, v in value.get("environment", {}).items()},
        service_config=dict(value.get("serviceConfig", {})),
        unit_config=dict(value.get("unitConfig", {})),
        credentials=dict(value.get("credentials", {})),
    )
