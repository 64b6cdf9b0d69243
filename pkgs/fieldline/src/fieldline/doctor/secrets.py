"""Secrets: what the units of this host are to be given is there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from fieldline.doctor.context import Context
from fieldline.doctor.finding import Finding
from fieldline.local.units import run_command

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
    argv = ["systemctl", "show", "--property=Id,LoadCredential", "--"]
    return parse_credentials(run_command([*argv, *(f"{unit}.service" for unit in units)]))


def parse_credentials(output: str) -> dict[str, tuple[str, str]]:
    """The credentials in what `systemctl show` prints."""
    found: dict[str, tuple[str, str]] = {}
    for block in output.split("\n\n"):
        lines = [line.split("=", 1) for line in block.splitlines() if "=" in line]
        unit = next((v.removesuffix(".service") for k, v in lines if k == "Id"), "")
        for key, value in lines:
            if key == "LoadCredential" and ":" in value:
                name, _, path = value.partition(":")
                found.setdefault(name, (path, unit))
    return found
