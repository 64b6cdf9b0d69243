"""InfluxDB: its bucket and retention are as declared."""

from __future__ import annotations

from collections.abc import Iterator

from fieldline.doctor.context import Context
from fieldline.doctor.finding import Finding
from fieldline.errors import FieldlineError
from fieldline.influx import InfluxRefusedError
from fieldline.provision.influxdb import bucket_retention

_REMEDY = "`systemctl restart influxdb-provision` makes it as declared."


def influxdb(context: Context) -> Iterator[Finding]:
    """The bucket exists, and is kept as long as declared."""
    declared = context.site.influxdb
    subject = f"bucket {declared.bucket}"
    client = context.influxdb()
    if isinstance(client, str):
        yield Finding(subject, "skipped", client)
        return
    try:
        found = bucket_retention(client, declared)
    except InfluxRefusedError as error:
        yield Finding(subject, "failed", error.what_to_do, _REMEDY)
        return
    except FieldlineError as error:
        yield Finding(subject, "failed", "InfluxDB does not answer", error.what_to_do)
        return
    wanted = declared.retention_ms // 1000
    if found is None:
        yield Finding(subject, "failed", "there is none of this name", _REMEDY)
    elif found != wanted:
        text = f"it is kept for {_span(found)}, declared: {_span(wanted)}"
        yield Finding(subject, "failed", text, _REMEDY)
    else:
        yield Finding(subject, "ok", f"it is kept for {_span(found)}")


def _span(seconds: int) -> str:
    if not seconds:
        return "ever"
    return f"{seconds // 86_400} d" if seconds % 86_400 == 0 else f"{seconds // 3600} h"
