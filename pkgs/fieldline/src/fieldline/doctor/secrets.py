"""Secrets: what the units of this host are to be given is there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

from fieldline.doctor.context import Context
from fieldline.doctor.finding import Finding
from fieldline.local.units import run_command

# A unit's own file, or one that adds to it.
_FILE = re.compile(r"# /\S*?/([^/\s]+)\.service(?:\.d/\S+)?")
_CREDENTIAL = re.compile(r"LoadCredential=([^:\s]+):(/\S+)")

_REMEDY = "From where the plant is kept: `fieldline secrets install {host} ADDRESS`, then deploy."


def secrets(context: Context) -> Iterator[Finding]:
    """Each file that a unit loads as a credential exists and is not empty. No value is read."""
    here = context.here
    if here.name is None:
        yield Finding("this host", "skipped", "this machine is none of the site's hosts")
        return
    try:
        wanted = credentials(sorted(here.units))
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding(f"host {here.name}", "skipped", f"systemd does not tell: {error}")
        return
    if not wanted:
        yield Finding(f"host {here.name}", "ok", "its units want no secret")
    for name, (source, unit) in wanted.items():
        path = context.path(source)
        remedy = _REMEDY.format(host=here.name)
        if not source.startswith("/run/secrets/"):
            # InfluxDB's tokens: made on this host.
            remedy = "`systemctl restart influxdb-provision`, then the unit."
        try:
            size = path.stat().st_size
        except PermissionError:
            yield Finding(f"secret {name}", "skipped", "only root may look: run this as root")
            continue
        except OSError:
            text = f"there is no {source}, which {unit} wants"
            yield Finding(f"secret {name}", "failed", text, remedy)
            continue
        if size:
            yield Finding(f"secret {name}", "ok", f"{unit} is given it")
        else:
            yield Finding(f"secret {name}", "failed", f"{source} is empty", remedy)


def credentials(units: list[str]) -> dict[str, tuple[str, str]]:
    """Name of a secret to its file and a unit that loads it, of these units.

    Raises:
        OSError, subprocess.SubprocessError: systemd cannot be asked here.
    """
    if not units:
        return {}
    # `systemctl show` of systemd 252 does not tell them.
    argv = ["systemctl", "cat", "--", *(f"{unit}.service" for unit in units)]
    return parse_credentials(run_command(argv))


def parse_credentials(output: str) -> dict[str, tuple[str, str]]:
    """The credentials in what `systemctl cat` prints: each file below a comment with its path."""
    found: dict[str, tuple[str, str]] = {}
    unit = ""
    for line in output.splitlines():
        if match := _FILE.fullmatch(line):
            unit = match[1]
        elif match := _CREDENTIAL.fullmatch(line):
            found.setdefault(match[1], (match[2].replace("%%", "%"), unit))
    return found
