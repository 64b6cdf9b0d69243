"""A thin client of InfluxDB's HTTP API: one connection pool, a token, errors that say what to do.

It is urllib3 (which influxdb-client stands on too) rather than influxdb-client itself: verification
reads millions of points into arrays, where that client's objects per record cost the most, and the
setup calls are a handful of JSON requests.
Source: https://docs.influxdata.com/influxdb/v2/api/
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import msgspec
import urllib3

from fieldline.errors import FieldlineError
from fieldline.service import EXIT_UNAVAILABLE, ServiceError

# A query over many series may take long before its first byte; a server that is up answers a
# connection at once.
_CONNECT_SECONDS = 5.0
_READ_SECONDS = 120.0

# Bytes that are decoded at a time: enough for NumPy to pay, small against the memory.
_PIECE = 1 << 20


class InfluxUnreachableError(ServiceError):
    """InfluxDB does not answer at its URL."""

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(
            f"InfluxDB does not answer at {url}: see `systemctl status influxdb2` on its host, "
            "and whether the address and the port are the site's.",
            cause,
            code=EXIT_UNAVAILABLE,
        )


class InfluxRefusedError(FieldlineError):
    """InfluxDB answered with an error; `status` is the HTTP status."""

    def __init__(self, what_to_do: str, status: int, message: str) -> None:
        super().__init__(what_to_do, f"HTTP {status}: {message}")
        self.status = status


class InfluxClient:
    """Requests to one InfluxDB server with one token.

    Args:
        url: such as `http://127.0.0.1:8086`.
        token: sent with each request; never part of an error text.
    """

    def __init__(self, url: str, token: str = "", *, read_seconds: float = _READ_SECONDS) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=read_seconds), retries=False
        )

    def with_token(self, token: str) -> InfluxClient:
        """The same server with another token."""
        return InfluxClient(self.url, token)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Send one request and give its HTTP status and body; a status is never an error here.

        Args:
            body: bytes are sent as they are, anything else as JSON.
        Raises:
            InfluxUnreachableError: no answer.
        """
        with self._open(method, path, query, body, headers) as response:
            return response.status, response.data

    def sign_in(self, user: str, password: str) -> tuple[int, bytes]:
        """Sign in and out again, and give the sign-in's HTTP status and body.

        Raises:
            InfluxUnreachableError: no answer.
        """
        basic = {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}
        with self._open("POST", "/api/v2/signin", None, None, basic) as response:
            status, data = response.status, response.data
            cookie = response.headers.get("Set-Cookie", "").partition(";")[0]
        if cookie:
            self.request("POST", "/api/v2/signout", headers={"Cookie": cookie})
        return status, data

    def json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        what: str = "",
    ) -> dict[str, Any]:
        """Send one request and give its JSON answer, or an empty table if there is none.

        Args:
            what: what was tried, for the error text, such as "create the bucket dev".
        Raises:
            InfluxRefusedError: a status of 400 or more.
            InfluxUnreachableError: no answer.
        """
        status, data = self.request(method, path, query=query, body=body)
        if status >= 400:
            raise refused(what or f"answer {method} {path}", status, data)
        return cast(dict[str, Any], msgspec.json.decode(data)) if data.strip() else {}

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, str],
        what: str = "",
    ) -> Iterator[Iterator[bytes]]:
        """Send a form and give its answer line by line, as it arrives.

        Raises:
            InfluxRefusedError: a status of 400 or more.
            InfluxUnreachableError: no answer, or it broke off.
        """
        # In the body: a query over many variables is longer than a URL may be.
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        with self._open(method, path, None, urlencode(form).encode(), headers) as response:
            if response.status >= 400:
                raise refused(what or f"answer {method} {path}", response.status, response.data)
            yield _lines(response)

    @contextmanager
    def pieces(
        self, path: str, query: Mapping[str, str], body: object, what: str
    ) -> Iterator[Iterator[bytes]]:
        """POST JSON and give the answer in large pieces, each of whole lines (CRLF), as it arrives.

        Raises:
            InfluxRefusedError: a status of 400 or more.
            InfluxUnreachableError: no answer, or it broke off.
        """
        with self._open("POST", path, query, body, None) as response:
            if response.status >= 400:
                raise refused(what, response.status, response.data)
            yield _whole_lines(response)

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        headers: Mapping[str, str] | None,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        sent = dict(headers or {})
        if self._token:
            sent.setdefault("Authorization", f"Token {self._token}")
        data = body
        if body is not None and not isinstance(body, bytes):
            data = msgspec.json.encode(body)
            sent.setdefault("Content-Type", "application/json")
        url = self.url + path
        if query:
            url += "?" + urlencode(query)
        try:
            response = self._pool.request(
                method, url, body=cast(bytes | None, data), headers=sent, preload_content=False
            )
            try:
                yield response
            finally:
                # Reads what is left, so that the connection can be used again.
                response.drain_conn()
                response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise InfluxUnreachableError(self.url, _short(error)) from None


def refused(what: str, status: int, data: bytes) -> InfluxRefusedError:
    """The error of an answer; InfluxDB gives `{"code", "message"}`, or `{"error"}` for InfluxQL."""
    message = data.decode(errors="replace").strip()
    try:
        answer = msgspec.json.decode(data)
        message = str(answer.get("message") or answer.get("error") or message)
    except (msgspec.DecodeError, AttributeError):
        pass
    hint = {
        401: ": the token is not valid there; `fieldline provision influxdb` makes the site's own.",
        403: ": the token has no right to it.",
        404: ": run `fieldline provision influxdb`, which makes what the site declares.",
    }.get(status, ".")
    return InfluxRefusedError(f"InfluxDB refused to {what}{hint}", status, message[:500])


def wait_until_healthy(
    client: InfluxClient, seconds: float, waiting: Callable[[float, str], None]
) -> None:
    """Wait until InfluxDB says that it is ready for requests.

    Args:
        waiting: called after each failed try with the seconds since the start and the cause.
    Raises:
        InfluxUnreachableError: not within `seconds`.
    """
    begin = time.monotonic()
    while True:
        try:
            status, data = client.request("GET", "/health")
            if status == 200:
                return
            cause = f"HTTP {status}: {data.decode(errors='replace')[:200]}"
        except InfluxUnreachableError as error:
            cause = error.cause
        passed = time.monotonic() - begin
        if passed >= seconds:
            raise InfluxUnreachableError(client.url, f"{cause} (waited {passed:.0f} s)")
        waiting(passed, cause)
        # The server's own start takes seconds; a few requests a second do not burden it.
        time.sleep(min(0.2, max(0.0, seconds - passed)))


def read_token(path: Path) -> str:
    """Read a token or a password from a file, without the line end.

    Raises:
        FieldlineError: there is no such file, it may not be read, or it is empty.
    """
    try:
        text = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise FieldlineError(
            f"Put the secret into {path}, readable to this user "
            "(the site's tokens are made by `fieldline provision influxdb`, and root reads them).",
            str(error),
        ) from None
    if not text:
        raise FieldlineError(f"{path} is empty: put the secret into it.")
    return text


def _large_pieces(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The answer in pieces of about `_PIECE` bytes: InfluxDB sends it in chunks of a few KiB."""
    gathered: list[bytes] = []
    size = 0
    for chunk in response.stream(_PIECE):
        gathered.append(chunk)
        size += len(chunk)
        if size >= _PIECE:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join(gathered)


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The answer's lines without their ends."""
    rest = b""
    for piece in _large_pieces(response):
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _whole_lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The answer in pieces that end where a line ends, without that last CRLF."""
    rest = b""
    for piece in _large_pieces(response):
        whole, end, rest = (rest + piece).rpartition(b"\r\n")
        if end:
            yield whole
    if rest:
        yield rest


def _short(error: BaseException) -> str:
    """The innermost cause of a urllib3 error: its own texts repeat the pool and the URL."""
    inner = getattr(error, "reason", None) or error.__cause__
    return _short(inner) if isinstance(inner, BaseException) else str(error)
