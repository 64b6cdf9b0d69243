"""The record over HTTP: a list of segments, and each segment from any offset on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs

from fieldline.record.format import SEGMENT_NAME
from fieldline.record.reader import list_segments
from fieldline.service.http import Route

PIECE_BYTES = 256 * 1024


def _pieces(file: BinaryIO, offset: int) -> Iterator[bytes]:
    """A file's bytes from `offset` to the end it has now; the writer may append meanwhile."""
    with file:
        left = file.seek(0, os.SEEK_END) - offset
        file.seek(offset)
        while left > 0:
            piece = file.read(min(PIECE_BYTES, left))
            if not piece:
                return
            left -= len(piece)
            yield piece


def record_routes(directory: Path) -> dict[str, Route]:
    """Routes for `HttpServer`: `/record` lists the segments, `/record/NAME?offset=N` gives one.

    The list is JSON, `[{"name", "size"}, …]` with sizes in bytes.
    """

    def refuse(status: int, text: str) -> tuple[int, str, Iterable[bytes]]:
        return status, "text/plain; charset=utf-8", [text.encode() + b"\n"]

    def route(rest: str, query: str) -> tuple[int, str, Iterable[bytes]]:
        name = rest.removeprefix("/")
        if not name:
            listed = []
            with suppress(FileNotFoundError):  # No record yet.
                for path in list_segments(directory):
                    with suppress(FileNotFoundError):  # Its time was over just now.
                        listed.append({"name": path.name, "size": path.stat().st_size})
            return 200, "application/json", [json.dumps(listed).encode()]
        # The form leaves no room for a path: digits and the ending, nothing else.
        if not SEGMENT_NAME.fullmatch(name):
            return refuse(400, "a segment's name is 20 digits and .rec")
        offset = parse_qs(query).get("offset", ["0"])[-1]
        if not (offset.isascii() and offset.isdecimal() and len(offset) <= 18):
            return refuse(400, "offset is a number of bytes")
        try:
            file = os.fdopen(os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW), "rb")
        except OSError:
            return refuse(404, "there is no such segment, or its time is over")
        return 200, "application/octet-stream", _pieces(file, int(offset))

    return {"/record": route}
