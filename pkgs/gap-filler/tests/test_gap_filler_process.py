"""The process as systemd runs it: ready, alive and stopped with nothing to talk to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from gap_filler_server import write_site


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_without_kafka_and_server_it_lives_and_stops(tmp_path: Path) -> None:
    nowhere, metrics = free_port(), free_port()
    site = write_site(tmp_path, f"opc.tcp://127.0.0.1:{nowhere}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(60)
        child = subprocess.Popen(
            [
                *(sys.executable, "-m", "gap_filler", "--site", str(site), "--collector", "all"),
                *("--bootstrap-servers", f"127.0.0.1:{nowhere}", "--state", str(tmp_path / "s")),
                *("--metrics", f"127.0.0.1:{metrics}"),
            ],
            env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            messages = [notify.recv(4096).decode()]
            # Attempts that end are progress, too.
            while "WATCHDOG=1" not in messages:
                messages.append(notify.recv(4096).decode())
            assert "READY=1" in messages[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/state", timeout=60) as answer:
                state = json.load(answer)
            assert state["servers"]["plc"]["connected"] is False
            assert len(state["variables"]) == 4
            child.send_signal(signal.SIGTERM)
            _, log = child.communicate(timeout=60)
        finally:
            child.kill()
            child.wait()
    assert child.returncode == 0, log
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert (events[0], events[-1]) == ("started", "stopped")
    assert (tmp_path / "s" / "plc.state").is_file()
