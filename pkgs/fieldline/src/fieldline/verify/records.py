"""The recorded side: what the site's own servers produced, by the catalogue's indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
import urllib3

from fieldline.errors import FieldlineError
from fieldline.record import fetch_record
from fieldline.record.format import SEGMENT_NAME, segment_begin
from fieldline.service import ServiceError
from fieldline.site import Site
from fieldline.site.address import in_url
from fieldline.verify.catalogue import Catalogue
from fieldline.verify.points import Ints, Points, joined, points

# A record is some MB per second of a large plant's window; its server may be a Raspberry Pi.
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """The values of a span of time, in the order in which they were recorded.

    Attributes:
        undeclared: how many more there are of variables that the site does not declare.
    """

    points: Points
    undeclared: int


class Records(Protocol):
    """Where the servers' records are."""

    def values(self, since: int, until: int) -> Recorded:
        """All recorded values with a source time in [since, until), ns."""

    def begin(self) -> Ints:
        """From which source time on each variable is recorded, ns; shape (variables,)."""


class HttpRecords:
    """`Records` of the site's own servers over HTTP."""

    def __init__(self, site: Site, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._urls = {
            name: f"http://{in_url(site.hosts[server.host].address)}:{site.metrics.opc_server}"
            for name, server in site.servers.items()
            if server.own and server.host is not None
        }

    def values(self, since: int, until: int) -> Recorded:
        """See `Records.values`.

        Raises:
            ServiceError: a server does not answer, or not with its record.
        """
        parts = []
        undeclared = 0
        for url in self._urls.values():
            try:
                table = fetch_record(url, since, until, timeout_s=_TIMEOUT_SECONDS)
            except FieldlineError as error:
                raise ServiceError(error.what_to_do, error.cause) from None
            known = self._catalogue.variable_index
            # One more than there are variables: an empty list would have no index at all.
            index = np.array([known.get((v.asset, v.variable), -1) for v in table.variables] + [-1])
            series = index[table.variable]
            declared = series >= 0
            undeclared += int((~declared).sum())
            all_of_it = points(series, table.time, table.value, table.status)
            parts.append(all_of_it.where(declared))
        return Recorded(joined(parts), undeclared)

    def begin(self) -> Ints:
        """See `Records.begin`; a server without any segment has no record yet.

        Raises:
            ServiceError: a server does not answer, or not with its record.
        """
        begins = {name: _begin(url) for name, url in self._urls.items()}
        return np.array([begins.get(v.server, 0) for v in self._catalogue.variables], np.int64)


def _begin(url: str) -> int:
    """The source time with which the oldest segment begins."""
    try:
        # Not through a proxy: urllib3 takes none from the environment by itself.
        answer = urllib3.request("GET", f"{url}/record", timeout=_TIMEOUT_SECONDS, retries=False)
        names = [str(item["name"]) for item in msgspec.json.decode(answer.data)]
    except (urllib3.exceptions.HTTPError, msgspec.DecodeError, KeyError, TypeError) as error:
        raise ServiceError(
            f"The record cannot be read from {url}. Check that opc-server runs there and that its "
            "metrics port can be reached from here.",
            repr(error),
        ) from None
    begins = [segment_begin(name) for name in names if SEGMENT_NAME.fullmatch(name)]
    return min(begins, default=np.iinfo(np.int64).max)
