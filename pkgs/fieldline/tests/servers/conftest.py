"""Real servers on loopback for tests: the InfluxDB and the Kafka that the lab runs.

Each starts on free ports, in a temporary folder, and is stopped by its process id. Without the
programs the tests fail, and say how to get them.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from fieldline.site import Site, load_site

ROOT = Path(__file__).parents[4]
START_SECONDS = 60.0

# In the loopback network every address can be listened on, so that a site's hosts are real.
DB = "127.0.0.10"


# The kernel may give a port again as soon as it is closed, and a site refuses one that is taken.
_given: set[int] = set()


def free_port(address: str = DB) -> int:
    """A port that nobody listens on at the moment, another one at each call."""
    while True:
        with socket.socket() as probe:
            probe.bind((address, 0))
            port: int = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def part(name: str, file: str) -> Path:
    """A file of a part of the lab; the newest, if there are several."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    found = sorted((cache / "fieldline" / "parts").glob(f"{name}-*/{file}"))
    if not found:
        pytest.fail(f"{name} is not there: get it with `.venv/bin/fieldline parts {name}`")
    return max(found, key=lambda path: path.stat().st_mtime)


class Process:
    """A server under test, with its output in a file."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.log = folder / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], "HOME": str(folder)},
            )

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait until it answers."""
        end = time.monotonic() + START_SECONDS
        while not ready():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                pytest.fail(f"it did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it and wait for its end."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass
class Influxdb:
    """A running InfluxDB, not set up."""

    url: str
    port: int
    process: Process


def start_influxdb(
    folder: Path, address: str = "127.0.0.1", *, within: Sequence[str] = ()
) -> Influxdb:
    """Start InfluxDB with its data in `folder`.

    Args:
        within: a command that runs another one, such as nsenter.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port(address)
    url = f"http://{address}:{port}"
    command = [
        *within,
        shutil.which("influxd") or str(part("influxdb", "bin/influxd")),
        f"--bolt-path={folder}/influxd.bolt",
        f"--sqlite-path={folder}/influxd.sqlite",
        f"--engine-path={folder}/engine",
        f"--http-bind-address={address}:{port}",
        "--reporting-disabled",
        "--pprof-disabled",
        "--log-level=warn",
    ]
    process = Process(command, folder)

    def healthy() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    process.wait_until(healthy)
    return Influxdb(url, port, process)


@pytest.fixture
def influxdb(tmp_path: Path) -> Iterator[Influxdb]:
    """A new InfluxDB of the test's own."""
    server = start_influxdb(tmp_path / "influxdb")
    yield server
    server.process.stop()


@dataclass
class Kafka:
    """A running broker without topics; folder: its own, with its data in `data`."""

    bootstrap: str
    port: int
    process: Process
    folder: Path

    def start_again(self) -> None:
        """Start it once more, after its process has ended."""
        self.process = _serve(self.folder, self.port)


def start_kafka(folder: Path) -> Kafka:
    """Start a broker with its data in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    port, controller = free_port(), free_port()
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{DB}:{controller}",
        "listeners": f"PLAINTEXT://{DB}:{port},CONTROLLER://{DB}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{DB}:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(folder / "data"),
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # Look for something to compact at once, not each 15 s.
        "log.cleaner.backoff.ms": "100",
    }
    (folder / "server.properties").write_text("".join(f"{k}={v}\n" for k, v in properties.items()))
    identity = "MkU3OEVBNTcwNTJENDM2Qk"
    subprocess.run(
        [*_java(), "kafka.tools.StorageTool", "format", "-t", identity, "-c", "server.properties"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return Kafka(f"{DB}:{port}", port, _serve(folder, port), folder)


def _java() -> list[str]:
    jars = part("kafka", "libs/kafka_2.13-*.jar").parent
    return ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*"]


def _serve(folder: Path, port: int) -> Process:
    process = Process([*_java(), "kafka.Kafka", "server.properties"], folder)

    def listening() -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((DB, port)) == 0

    process.wait_until(listening)
    return process


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A new broker for the tests of one file."""
    broker = start_kafka(tmp_path_factory.mktemp("kafka"))
    yield broker
    broker.process.stop()


def loopback_site(folder: Path, **ports: int) -> Site:
    """The demonstration plant with its hosts on loopback.

    Args:
        ports: `influxdb`, `kafka`, `opc_server` (its metrics), `telegraf`; free ones otherwise.
    """
    text = (ROOT / "site.toml").read_text()
    text = text.replace("192.168.0.", "127.0.0.").replace("prefix = 24", "prefix = 8")
    chosen = {name: ports.get(name) or free_port() for name in ("influxdb", "kafka", "telegraf")}
    served = ports.get("opc_server") or free_port("127.0.0.5")
    text = re.sub(r"(?m)^\[influxdb\]$", f"[influxdb]\nport = {chosen['influxdb']}", text)
    text += f"\n[kafka]\nport = {chosen['kafka']}\ncontroller_port = {free_port()}\n"
    text += f"\n[metrics]\nopc-server = {served}\ntelegraf = {chosen['telegraf']}\n"
    path = folder / "site.toml"
    path.write_text(text)
    return load_site(path)
