"""An HTTP endpoint of a host, and how far it can be reached: the difference tells what is broken.

What a host refuses, it refuses while it is up; what nobody answers may be switched off, or cut off.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

import urllib3

# answers; refused: the host is up, and nothing listens there; silent: no packet comes back; hangs:
# a connection, but no answer; odd: an answer, but another than is expected; unasked: this host may
# not reach it, so that it was not asked.
Reach = Literal["answers", "refused", "silent", "hangs", "odd", "unasked"]

# What is asked here is answered from memory; who takes longer is as good as away.
CONNECT_SECONDS = 1.0
_READ_SECONDS = 2.0

_SILENT_WORDS = (
    ("no route", "no route to the host"),
    ("unreachable", "the network is unreachable"),
    ("host is down", "no route to the host"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint answered, or `problem`, in plain words, why it did not.

    Attributes:
        clock_s: how far the clock of its host is ahead of this host's, within a second; None if it
            does not tell.
    """

    reach: Reach
    body: bytes = b""
    problem: str = ""
    clock_s: float | None = None


class Endpoint:
    """Asks one service, over a connection that is kept where the service keeps it.

    Args:
        url: such as `http://192.168.0.5:9101`.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self.url = url
        self._clock = clock
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=_READ_SECONDS)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=False)

    def get(self, path: str) -> Answer:
        """Ask now; an unreachable service is an answer with a problem, not an error."""
        begin = self._clock()
        try:
            response = self._pool.request("GET", self.url + path)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return _failed(error)
        middle = (begin + self._clock()) / 2
        clock = _clock_ahead(response.headers.get("Date", ""), middle)
        if response.status != 200:
            problem = f"answers HTTP {response.status} at {self.url}{path}"
            return Answer("odd", problem=problem, clock_s=clock)
        return Answer("answers", response.data, clock_s=clock)


def _failed(error: BaseException) -> Answer:
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return Answer("hangs", problem="takes a connection, but does not answer in time")
    # A refusal is of urllib3's class for timeouts, too.
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError) and not refused:
        return Answer("silent", problem="unreachable: no answer in time")
    reach, words = reach_of_text(str(error))
    return Answer(reach, problem=f"unreachable: {words}")


def reach_of_text(text: str) -> tuple[Reach, str]:
    """What the text of a network error tells; `odd` with the text itself where it is not known."""
    small = text.lower()
    if "refused" in small:
        return "refused", "nothing listens there"
    for part, words in _SILENT_WORDS:
        if part in small:
            return "silent", words
    if "timed out" in small:
        return "silent", "no answer in time"
    return "odd", text


def _clock_ahead(date: str, local: float) -> float | None:
    """How far a `Date` header is ahead of the local time, s; it is cut to whole seconds."""
    try:
        return parsedate_to_datetime(date).timestamp() + 0.5 - local
    except ValueError:
        return None


def reach_of_port(address: str, port: int, seconds: float = CONNECT_SECONDS) -> tuple[Reach, str]:
    """How far a TCP port can be reached, with the problem in plain words; `answers` if it is open.

    The connection is closed again without a word.
    """
    try:
        socket.create_connection((address, port), timeout=seconds).close()
    except TimeoutError:
        return "silent", "no answer in time"
    except OSError as error:
        return reach_of_text(str(error))
    return "answers", ""
