"""The last backup, where it is known."""

from __future__ import annotations

from collections.abc import Iterator

from fieldline.backup.command import FOLDER
from fieldline.doctor.context import Context
from fieldline.doctor.finding import Finding

_OLD_DAYS = 7
_REMEDY = "`fieldline backup` there makes one: docs/recovery.md#backup."


def backup(context: Context) -> Iterator[Finding]:
    """How old the newest archive of a host is that has Kafka or InfluxDB."""
    for host in context.site.hosts.values():
        if not {"kafka", "influxdb"} & set(host.roles):
            continue
        subject = f"backup of {host.name}"
        if host.name != context.here.name:
            yield Finding(subject, "skipped", f"it is made on {host.name}")
            continue
        folder = context.path(str(FOLDER))
        try:
            times = [path.stat().st_mtime for path in folder.glob("*.tar")]
        except OSError as error:
            yield Finding(subject, "skipped", f"{FOLDER} cannot be looked at: {error}")
            continue
        if not times:
            text = f"there is none in {FOLDER}; whether there is one elsewhere is not known"
            yield Finding(subject, "skipped", text, _REMEDY)
            continue
        days = (context.now_ns / 1e9 - max(times)) / 86_400
        old = days > _OLD_DAYS
        text = f"the newest in {FOLDER} is {days:.1f} d old"
        yield Finding(subject, "warning" if old else "ok", text, _REMEDY if old else "")
