"""systemd's unit files, from declared units."""

from collections.abc import Callable, Mapping
from typing import Any

from fieldline.errors import FieldlineError

from .declaration import HostDeclaration, PathUnit, Program, Unit
from .formats import scalar
from .ssh import SSHD_UNIT
from .ssh import UNIT as _SSHD
from .systems import BOOT as _BOOT
from .systems import BOOT_UNIT

NFTABLES_UNIT = "nftables.service"

# Before anything that listens or connects. Loaded with the interface already up: what reaches the
# host in these milliseconds finds nothing that listens.
_NFTABLES = """\
[Unit]
Description=Firewall
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/nftables.conf
ExecReload=/usr/sbin/nft -f /etc/nftables.conf
"""


def quote(text: str, *, variables: bool) -> str:
    """A word for systemd's unit syntax that systemd reads back as exactly `text`.

    `%` would be a specifier everywhere; `$` a variable, but only in command lines (`variables`),
    where it must be doubled, and must not be in `Environment=`.
    """
    if "\0" in text:
        raise FieldlineError("A unit's argument has a NUL character; no program can be given one.")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if variables:
        escaped = escaped.replace("$", "$$")
    for character, escape in (("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        escaped = escaped.replace(character, escape)
    # Other control characters would end up in the file raw; systemd reads \xHH.
    escaped = "".join(c if c >= " " and c != "\x7f" else f"\\x{ord(c):02x}" for c in escaped)
    plain = escaped and not set(escaped) & set(" \"'\\;")
    return escaped if plain else f'"{escaped}"'


def command_line(program: Program, path_of: Callable[[str], str]) -> str:
    """A line for ExecStart and its like."""
    # systemd's own conditions are a whole unit's.
    given = ("/bin/sh", "-c", '[ -e "$0" ] || exec "$@"', program.unless) if program.unless else ()
    words = (*given, path_of(program.program), *program.arguments)
    # In the program's own path systemd replaces specifiers but no variables.
    return " ".join([quote(words[0], variables=False), *map(_argument, words[1:])])


def _argument(text: str) -> str:
    # The one specifier that `lib/` uses: the folder of the unit's credentials.
    if text.startswith("%d/"):
        return "%d/" + quote(text.removeprefix("%d/"), variables=True)
    return quote(text, variables=True)


def _settings(values: Mapping[str, Any]) -> list[str]:
    """`Key=value` lines; a list is the key repeated, as NixOS writes it."""
    lines = []
    for key, value in sorted(values.items()):
        for entry in value if isinstance(value, list) else [value]:
            if entry is None:
                continue
            text = scalar(entry)
            if "\n" in text:
                raise FieldlineError(f"The unit setting {key} has a line break in it.", repr(text))
            lines.append(f"{key}={text}")
    return lines


def render(unit: Unit, path_of: Callable[[str], str]) -> str:
    """A unit file's text; `path_of` turns a logical program into a path inside the host."""
    head = [f"Description={unit.description}".replace("%", "%%")]
    relations = {"After": unit.after, "Wants": unit.wants, "Requires": unit.requires}
    head += [f"{key}={' '.join(names)}" for key, names in relations.items() if names]
    head += _settings(unit.unit_config)
    body = [
        f"Environment={quote(f'{key}={value}', variables=False)}"
        for key, value in sorted(unit.environment.items())
    ]
    body += [
        f"LoadCredential={name}:{path}".replace("%", "%%")
        for name, path in sorted(unit.credentials.items())
    ]
    body += [f"ExecCondition={command_line(entry, path_of)}" for entry in unit.conditions]
    body += [f"ExecStartPre={command_line(entry, path_of)}" for entry in unit.pre_start]
    body.append(f"ExecStart={command_line(unit.command, path_of)}")
    body += [f"ExecStartPost={command_line(entry, path_of)}" for entry in unit.post_start]
    body += _settings(unit.service_config)
    return "\n".join(["[Unit]", *head, "", "[Service]", *body, ""])


def render_path(path: PathUnit) -> str:
    """A path unit's text."""
    lines = ["[Unit]", f"Description={path.description}".replace("%", "%%"), "", "[Path]"]
    return "\n".join([*lines, *_settings(path.path_config), ""])


def unit_files(host: HostDeclaration, path_of: Callable[[str], str]) -> dict[str, str]:
    """All unit files of a host, by their names."""
    files = {unit.full_name: render(unit, path_of) for unit in host.units.values()}
    files.update({path.full_name: render_path(path) for path in host.paths.values()})
    files.update({name: text for name, text, _ in _own(host)})
    return files


def _own(host: HostDeclaration) -> list[tuple[str, str, str]]:
    """Units that NixOS' own modules bring on an appliance: name, text, and what pulls them in."""
    own = []
    if host.nftables:
        own.append((NFTABLES_UNIT, _NFTABLES, "sysinit.target"))
    if host.sshd is not None:
        own.append((SSHD_UNIT, _SSHD, "multi-user.target"))
        own.append((BOOT_UNIT, _BOOT, "sysinit.target"))
    return own


def _declared(host: HostDeclaration) -> list[Unit | PathUnit]:
    return [*host.units.values(), *host.paths.values()]


def wanted(host: HostDeclaration) -> dict[str, list[str]]:
    """Which target pulls in which units: what `[Install]` would be made into."""
    links: dict[str, list[str]] = {}
    for unit in _declared(host):
        for target in unit.wanted_by:
            links.setdefault(target, []).append(unit.full_name)
    for name, _, target in _own(host):
        links.setdefault(target, []).append(name)
    return links


def expected_units(host: HostDeclaration) -> list[str]:
    """The units that a booted host must have running."""
    names = [unit.full_name for unit in _declared(host) if unit.wanted_by]
    return sorted([*names, *(name for name, _, _ in _own(host))])
