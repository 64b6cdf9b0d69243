"""Versions: what runs where, and whether it is the same."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from fieldline import __version__
from fieldline.doctor.context import Context
from fieldline.doctor.finding import Finding
from fieldline.errors import FieldlineError

_DEPLOY = "Deploy all hosts from one state of the plant: `fieldline deploy HOST`."


def versions(context: Context) -> Iterator[Finding]:
    """Fieldline's own on the hosts that tell it, Telegraf's, InfluxDB's."""
    yield Finding("fieldline", "ok", __version__)
    for host, told in context.readings.models.items():
        subject = f"stream-model on {host}"
        if told.state is None:
            yield Finding(subject, "skipped", told.problem)
        elif told.state.version != __version__:
            text = f"{told.state.version}, here: {__version__}"
            yield Finding(subject, "warning", text, _DEPLOY)
        else:
            yield Finding(subject, "ok", told.state.version)
    yield from _telegrafs(context)
    yield _influxdb(context)


def _telegrafs(context: Context) -> Iterator[Finding]:
    found: dict[str, str] = {}
    for host, scrape in context.readings.telegrafs.items():
        known = [labels["version"] for _, labels, _ in scrape.samples if "version" in labels]
        if known:
            found[host] = known[0]
        else:
            problem = scrape.problem or "it has told nothing yet"
            yield Finding(f"Telegraf on {host}", "skipped", problem)
    same = len(set(found.values())) < 2
    for host, version in found.items():
        if same:
            yield Finding(f"Telegraf on {host}", "ok", version)
        else:
            yield Finding(f"Telegraf on {host}", "warning", f"{version}, not on all hosts", _DEPLOY)


def _influxdb(context: Context) -> Finding:
    client = context.influxdb()
    if isinstance(client, str):
        return Finding("InfluxDB", "skipped", client)
    try:
        _, data = client.request("GET", "/health")
        version = str(msgspec.json.decode(data)["version"])
    except (FieldlineError, msgspec.DecodeError, KeyError, TypeError) as error:
        text = error.what_to_do if isinstance(error, FieldlineError) else "it tells no version"
        return Finding("InfluxDB", "skipped", text)
    return Finding("InfluxDB", "ok", version)
