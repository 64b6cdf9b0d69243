"""sd_notify: readiness, status and watchdog messages to systemd.

Source: systemd's sd_notify(3) and systemd.service(5), WatchdogSec.
"""

from __future__ import annotations

import os
import socket
import time


class Notifier:
    """Sends state to the service manager; does nothing where there is none (a terminal, a test).

    The watchdog is fed by `progress`, which a service calls where its own work has moved on, never
    from a timer: a service that hangs is one that stops calling it.
    """

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        # systemd restarts the unit after WATCHDOG_USEC without a message; half of it is its own
        # advice, a quarter leaves room for a slow step.
        self._interval = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 / 4
        self._last = 0.0

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect(address)
            sender.sendall(message.encode())

    def ready(self, status: str) -> None:
        """Tell that the service does its work now; `status` is shown by `systemctl status`."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """Replace the status line."""
        self._send(f"STATUS={text}")

    def waiting(self, text: str) -> None:
        """Tell what a start still waits for; systemd then gives it another two minutes.

        Without it a unit that waits for its server is ended after TimeoutStartSec (90 s).
        """
        self._send(f"EXTEND_TIMEOUT_USEC=120000000\nSTATUS={text}")

    def progress(self) -> None:
        """Feed the watchdog; cheap enough to be called at each step."""
        now = time.monotonic()
        if now - self._last >= self._interval:
            self._last = now
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Tell that the service is on its way down."""
        self._send("STOPPING=1")
