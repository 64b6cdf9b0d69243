"""The last backup, where it is known."""

from __future__ import annotations

from collections.abc import Iterator

from fieldline.doctor.context import Context
from fieldline.doctor.finding import Finding

# Where docs/recovery.md puts it.
_FILES = {
    "kafka": ("kafka", "/var/backup/kafka.tar"),
    "influxdb": ("influxdb", "/var/backup/influxdb.tar"),
}
_OLD_DAYS = 7
_REMEDY = "docs/recovery.md#backup has the steps."


def backup(context: Context) -> Iterator[Finding]:
    """How old the files of the last backup are."""
    for role, (name, path) in _FILES.items():
        host = next((h.name for h in context.site.hosts.values() if role in h.roles), None)
        if host is None:
            continue
        subject = f"backup of {name}"
        if host != context.here.name:
            yield Finding(subject, "skipped", f"it is made on {host}")
            continue
        try:
            made = context.path(path).stat().st_mtime
        except FileNotFoundError:
            text = f"there is no {path}; whether there is a copy elsewhere is not known"
            yield Finding(subject, "skipped", text, _REMEDY)
            continue
        except OSError as error:
            yield Finding(subject, "skipped", f"{path} cannot be looked at: {error}")
            continue
        days = (context.now_ns / 1e9 - made) / 86_400
        text = f"it was made {days:.1f} d ago"
        if days > _OLD_DAYS:
            yield Finding(subject, "warning", text, _REMEDY)
        else:
            yield Finding(subject, "ok", text)
