"""`fieldline wait`: until every declared variable and model has a new value in InfluxDB."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Annotated

import msgspec
import numpy as np
import typer

from fieldline.arguments import (
    DEFAULT_SITE,
    READER_TOKEN,
    Json,
    Site,
    TokenFile,
    Url,
    duration_ns,
    iso,
)
from fieldline.errors import FieldlineError
from fieldline.influx import InfluxClient
from fieldline.influx.client import read_token
from fieldline.service import ServiceError
from fieldline.site import load_site
from fieldline.verify.catalogue import Catalogue, catalogue_of
from fieldline.verify.progress import TerminalProgress
from fieldline.verify.store import InfluxStore, Store

app = typer.Typer(add_completion=False)

_POLL_SECONDS = 0.1

# Later than any source time (the year 2116), and still an int64.
_EVER = 2**62


@dataclass(frozen=True, slots=True)
class Missing:
    """A series without a new value; `newest` is the time of its last one, if it has any."""

    asset: str
    name: str
    newest: str | None


@dataclass(frozen=True, slots=True)
class Waited:
    """How it ended: `seconds` until all were there, or what is still missing."""

    ok: bool
    seconds: float
    missing: list[Missing] = field(default_factory=list)


def wait_until_fresh(
    catalogue: Catalogue,
    store: Callable[[], Store],
    seconds: float,
    *,
    progress: Callable[[str], None] = lambda _text: None,
    now: Callable[[], int] = time.time_ns,
    sleep: Callable[[float], None] = time.sleep,
) -> Waited:
    """Wait until each variable and model has a source time later than now.

    Args:
        store: gives the store to ask; it may fail as long as the host is still starting.
    Raises:
        FieldlineError: InfluxDB could not be asked up to the end.
    """
    begin = now()
    failure: FieldlineError | None = None
    fresh = np.zeros(len(catalogue.variables) + len(catalogue.models), bool)
    while True:
        asked = now()
        try:
            values, results = store().newest(begin + 1, _EVER)
            fresh = np.concatenate([values, results]) > begin
            failure = None
        except FieldlineError as error:
            failure = error
        passed = (now() - begin) / 1e9
        if fresh.all():
            return Waited(True, passed)
        if passed >= seconds:
            break
        progress(f"{int((~fresh).sum())} of {len(fresh)} series have no new value yet")
        # A question over a large plant takes its time: the next one comes after as much again.
        sleep(min(max(_POLL_SECONDS, (now() - asked) / 1e9), max(0.0, seconds - passed)))
    if failure is not None:
        raise failure
    values, results = store().newest(0, _EVER)
    newest = np.concatenate([values, results]).tolist()
    names = [(v.asset, v.variable) for v in catalogue.variables]
    names += [(m.asset, m.name) for m in catalogue.models]
    missing = [
        Missing(asset, name, iso(newest[i]) if newest[i] else None)
        for i, (asset, name) in enumerate(names)
        if not fresh[i]
    ]
    return Waited(False, passed, missing)


@app.command(epilog="Example: fieldline wait --fresh-within 30s")
def wait(
    site: Site = DEFAULT_SITE,
    url: Url = "",
    token_file: TokenFile = READER_TOKEN,
    fresh_within: Annotated[str, typer.Option(help="How long to wait at most.")] = "60s",
    as_json: Json = False,
) -> None:
    """Wait until every declared variable and model has a value from after this command's start.

    Exit code 0 with the seconds it took; 1 with what is still missing; 69 if InfluxDB could not be
    asked. A host that is still starting (no token yet, InfluxDB not up) is waited for as well.
    """
    declared = load_site(site)
    catalogue = catalogue_of(declared)
    where = url or f"http://127.0.0.1:{declared.influxdb.port}"
    opened: dict[str, InfluxStore] = {}

    def store() -> InfluxStore:
        # Provisioning may make the token while this waits, or make it anew.
        token = read_token(token_file)
        if token not in opened:
            client = InfluxClient(where, token)
            opened[token] = InfluxStore(client, declared.influxdb, catalogue)
        return opened[token]

    with TerminalProgress() as progress:
        try:
            waited = wait_until_fresh(
                catalogue, store, duration_ns(fresh_within) / 1e9, progress=progress
            )
        except FieldlineError as error:
            raise ServiceError(error.what_to_do, error.cause) from None
    _show(waited, as_json=as_json)
    raise typer.Exit(0 if waited.ok else 1)


def _show(waited: Waited, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(asdict(waited)).decode())
    elif waited.ok:
        print(f"every series has a new value after {waited.seconds:.1f} s")
    else:
        print(f"{len(waited.missing)} series have no new value after {waited.seconds:.1f} s:")
        for one in waited.missing:
            print(f"  {one.asset} {one.name}: newest {one.newest or 'none'}")
