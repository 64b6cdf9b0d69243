"""Fetching a record from the server that keeps it."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request

from fieldline.errors import FieldlineError
from fieldline.record.format import SEGMENT_NAME, RecordTable, may_hold, segment_begin
from fieldline.record.reader import TableBuilder

# Plant hosts are reached directly: a proxy of the environment knows nothing of them.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _get(url: str, timeout_s: float) -> bytes:
    with _opener.open(url, timeout=timeout_s) as answer:
        body: bytes = answer.read()
    return body


def fetch_record(
    base_url: str, since_ns: int, until_ns: int, *, timeout_s: float = 10.0
) -> RecordTable:
    """Read from an opc-server what it recorded with source times in [since, until).

    Only segments that may hold such entries are read. A segment whose time was over between list
    and reading is passed over, as if the list had been asked for a moment later.

    Args:
        base_url: such as `http://192.168.0.5:9101`.
        since_ns: ns since 1970 in UTC.
        until_ns: ns since 1970 in UTC, not included.
        timeout_s: for each step of the network, in s.
    Raises:
        FieldlineError: the server does not answer, answers wrongly, or stops in the middle.
    """
    base = base_url.rstrip("/") + "/record"
    builder = TableBuilder(since_ns, until_ns)
    url = base
    try:
        listed = [
            (str(item["name"]), int(item["size"])) for item in json.loads(_get(base, timeout_s))
        ]
        for name, size in sorted(listed):
            if not SEGMENT_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no segment's name")
            if not may_hold(name, since_ns, until_ns):
                continue
            url = f"{base}/{name}"
            try:
                segment = _get(url, timeout_s)
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    continue
                raise
            if len(segment) < size:
                raise ValueError(f"{len(segment)} bytes came of {size}")
            builder.add(segment, segment_begin(name))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise FieldlineError(
            f"The record cannot be read from {base_url}. Check that opc-server runs there and that "
            "its metrics port can be reached from here.",
            f"{url}: {error!r}",
        ) from error
    return builder.table()
