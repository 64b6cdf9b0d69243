"""The command: its options, its exit codes, its end on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from asyncua import Client
from fieldline.record import read_directory
from fieldline.service import EXIT_CONFIGURATION, ServiceError
from fieldline.site import load_site
from opc_server.cli import app, parse_address
from opc_server.points import own_server, points_of
from typer.testing import CliRunner

PLANT = """
[asset_types.t.variables.x]
period = "100ms"
source = { kind = "random-walk", step = 1 }
[[assets]]
names = ["a{1..3}"]
type = "t"
server = "opc"
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0.0.0:4840", ("0.0.0.0", 4840)),
        ("[::]:9101", ("::", 9101)),
        ("[2001:DB8::1]:0", ("2001:db8::1", 0)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4840",
        ":4840",
        "::1:4840",
        "[127.0.0.1]:1",
        "localhost:1",
        "1.2.3.4:",
        "1.2.3.4:65536",
        "1.2.3.4:-1",
        "1.2.3.4:٣",
        "[::1]4840",
    ],
)
def test_wrong_addresses(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="ADDRESS:PORT"):
        parse_address(text)


def test_help_has_examples() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert "opc-server --site site.toml --server opc" in result.output


@pytest.mark.parametrize("name", ["absent", "plc"])
def test_a_wrong_server_names_the_known_ones(
    tmp_path: Path, write_site: Callable[[Path, str], Path], name: str
) -> None:
    site = load_site(write_site(tmp_path, PLANT))
    with pytest.raises(ServiceError, match="Own servers there: opc") as caught:
        own_server(site, name)
    assert caught.value.code == EXIT_CONFIGURATION


def test_points_are_the_servers_variables_in_order(
    tmp_path: Path, write_site: Callable[[Path, str], Path]
) -> None:
    site = load_site(write_site(tmp_path, PLANT))
    points = points_of(site, "opc")
    assert [point.recorded.id for point in points] == [f"ns=2;s=a{n}.x" for n in (1, 2, 3)]
    assert [point.index for point in points] == [0, 1, 2]
    assert points[0].period_ns == 100_000_000


def command(site: Path, state: Path, *, server: str = "opc", port: int = 0) -> list[str]:
    where = ["--site", str(site), "--server", server, "--state", str(state)]
    ports = ["--listen", f"127.0.0.1:{port}", "--metrics", "127.0.0.1:0"]
    return [sys.executable, "-m", "opc_server.cli", *where, *ports]


@pytest.mark.parametrize(
    ("code", "server", "says"),
    [(69, "opc", "cannot listen on 127.0.0.1 port"), (78, "absent", "Own servers there: opc")],
)
def test_exit_codes_and_errors_without_a_stack_trace(
    tmp_path: Path,
    write_site: Callable[[Path, str], Path],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    server: str,
    says: str,
) -> None:
    # The test's own streams are gone when the next test logs.
    monkeypatch.setattr("opc_server.cli.configure_logging", lambda _name: None)
    site = write_site(tmp_path, PLANT)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = command(site, tmp_path, server=server, port=taken.getsockname()[1])[3:]
        result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code
    assert says in result.output
    assert "Traceback" not in result.output
    assert len(result.output.splitlines()) <= 2


def test_a_wrong_site_is_refused_as_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opc_server.cli.configure_logging", lambda _name: None)
    (tmp_path / "site.toml").write_text("schema = 1\n")
    result = CliRunner().invoke(app, command(tmp_path / "site.toml", tmp_path)[3:])
    assert result.exit_code == 78
    assert "network" in result.output


def test_a_witness_is_taken_from_the_environment_and_must_be_a_directory(
    tmp_path: Path, write_site: Callable[[Path, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opc_server.cli.configure_logging", lambda _name: None)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OPC_SERVER_WITNESS", str(tmp_path / "file"))
    result = CliRunner().invoke(app, command(write_site(tmp_path, PLANT), tmp_path)[3:])
    assert result.exit_code == 78
    assert "Give --witness a directory" in result.output


@pytest.mark.asyncio
async def test_sigterm_ends_it_within_five_seconds_with_a_session_open(
    tmp_path: Path, write_site: Callable[[Path, str], Path]
) -> None:
    site = write_site(tmp_path, PLANT)
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(tmp_path / "notify"))
    notify.setblocking(False)
    environment = os.environ | {
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "400000",
        "OPC_SERVER_WITNESS": str(tmp_path / "witness"),
    }
    loop = asyncio.get_running_loop()
    child = await asyncio.create_subprocess_exec(
        *command(site, tmp_path / "state"), stderr=subprocess.PIPE, env=environment
    )
    assert child.stderr is not None
    try:
        with notify:
            # Ready comes once, when clients may connect; then it lives by its own ticks.
            while not (await loop.sock_recv(notify, 200)).startswith(b"READY=1"):
                pass
            assert await loop.sock_recv(notify, 200) == b"WATCHDOG=1"
            serving = json.loads(await child.stderr.readline())
            client = Client(f"opc.tcp://127.0.0.1:{serving['port']}/")
            await client.connect()
            heard = asyncio.Event()

            class Handler:
                def datachange_notification(self, *_args: object) -> None:
                    heard.set()

            subscription = await client.create_subscription(50, Handler())
            await subscription.subscribe_data_change(client.get_node("ns=2;s=a1.x"))
            await heard.wait()
            begun = time.monotonic()
            child.send_signal(signal.SIGTERM)
            text = (await child.stderr.read()).decode()
            assert await child.wait() == 0, text
            assert time.monotonic() - begun < 5
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
    assert [json.loads(line)["event"] for line in text.splitlines()] == ["stopped"]
    witness, record = (read_directory(tmp_path / name) for name in ("witness", "state/record"))
    assert len(witness) > 0
    assert witness.time.tolist() == record.time.tolist()
    with contextlib.suppress(Exception):
        await client.disconnect()
