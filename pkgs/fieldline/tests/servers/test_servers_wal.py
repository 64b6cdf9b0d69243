"""InfluxDB's write-ahead log with a torn end: what came after it outlives the next kill."""

from __future__ import annotations

import http.client
import json
from pathlib import Path

import pytest
from fieldline.provision.ready import app
from typer.testing import CliRunner

from .conftest import Influxdb, start_influxdb

pytestmark = pytest.mark.servers

TOKEN = "t" * 40


def ask(server: Influxdb, path: str, body: str, content: str) -> bytes:
    """The answer to a request, which must be well."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Content-Type": content, "Accept": "application/csv"}
    if "setup" not in path:
        headers["Authorization"] = f"Token {TOKEN}"
    connection.request("POST", path, body, headers)
    with connection.getresponse() as answer:
        text = answer.read()
        assert answer.status < 300, text
        return text


def write(server: Influxdb, value: int) -> None:
    line = f"m v={value}i {1_700_000_000 + value}"
    ask(server, "/api/v2/write?org=o&bucket=b", line, "text/plain")


def values(server: Influxdb) -> list[int]:
    flux = 'from(bucket: "b") |> range(start: 0) |> keep(columns: ["_value"])'
    lines = ask(server, "/api/v2/query?org=o", flux, "application/vnd.flux").decode().split()
    return [int(line.rpartition(",")[2]) for line in lines[1:]]


def killed(server: Influxdb) -> None:
    server.process.process.kill()
    server.process.process.wait()


@pytest.mark.parametrize("ready", [True, False])
def test_what_was_written_after_a_torn_end_outlives_another_kill(
    tmp_path: Path, *, ready: bool
) -> None:
    folder = tmp_path / "influxdb"

    def start() -> Influxdb:
        if ready:
            done = CliRunner().invoke(app, ["wal", "--path", str(folder / "engine/wal")])
            assert done.exit_code == 0, done.output
        return start_influxdb(folder)

    server = start()
    setup = {"username": "u", "password": "password", "org": "o", "bucket": "b", "token": TOKEN}
    ask(server, "/api/v2/setup", json.dumps(setup), "application/json")
    # The bucket of the values, not of InfluxDB's own tasks.
    write(server, 1)
    killed(server)
    (log,) = folder.glob("engine/wal/*/*/*/*.wal")
    # An entry of 99 bytes of which the disk had room for one.
    with log.open("ab") as file:
        file.write(b"\x01\x00\x00\x00\x63\x00")
    for value in (2, 3):
        server = start()
        write(server, value)
        killed(server)
    server = start()
    try:
        # Without the step InfluxDB 2.7 loses what it has acknowledged: that is why it is there.
        assert values(server) == ([1, 2, 3] if ready else [1])
    finally:
        server.process.stop()
