"""What flows in a running lab, as `fieldline where` sees it from inside the database's host."""

import os
import selectors
import signal
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Self

import msgspec
from fieldline.errors import FieldlineError
from fieldline.where.state import Snapshot

from fieldline_lab.host import Host

# Long enough for a query under way, short enough for somebody who pressed Ctrl-C.
STOP_SECONDS = 3.0
# A selector takes no endless wait written as a number.
LONGEST_WAIT = 3600.0


class Watching:
    """Snapshots of the plant, one a second, from inside its network."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._host.command(["fieldline", "where", "--json", "--follow"]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # A file, not a pipe: nobody reads it before the end.
            stderr=self._errors,
            # The selector must see all that has come: nothing may wait in a buffer of ours.
            bufsize=0,
            # Ctrl-C is for the demonstration, which then ends this in its own way.
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        # The group: nsenter forks to get into the host, and its child holds the pipe.
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            try:
                self._process.communicate(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            break
        self._errors.close()

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def follow(self, until: Callable[[], float], seen: Callable[[Snapshot], None]) -> None:
        """Hand on each snapshot as it comes, until `until()`, the seconds left, is not above 0.

        Raises:
            FieldlineError: the command in the host has ended.
        """
        with selectors.DefaultSelector() as ready:
            ready.register(self._output, selectors.EVENT_READ)
            unfinished = b""
            while (left := until()) > 0:
                if not ready.select(min(left, LONGEST_WAIT)):
                    continue
                piece = self._output.read(1 << 20)
                if not piece:
                    self._errors.seek(0)
                    raise FieldlineError(
                        "`fieldline where` has ended in the lab; the demonstration can't go on.",
                        self._errors.read().decode(errors="replace").strip(),
                    )
                *lines, unfinished = (unfinished + piece).split(b"\n")
                for line in lines:
                    seen(msgspec.json.decode(line, type=Snapshot))
