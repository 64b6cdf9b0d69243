"""A real InfluxDB whose disk was full refuses until it is restarted, and the guard sees it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from fieldline.influx import InfluxClient
from fieldline.provision.influxdb import Secrets, ensure_influxdb
from fieldline.site import Site
from fieldline_servers import Influxdb, loopback_site, start_influxdb
from ledger.deliveries import Writes
from ledger.guard import INFLUXDB, StoreGuard
from ledger.metrics import Metrics
from ledger.probes import InfluxProbe
from prometheus_client import CollectorRegistry

pytestmark = pytest.mark.servers

SECOND = 10**9
TOKEN = "operator-token-of-the-test"
# As Telegraf names itself.
TELEGRAF = {"User-Agent": "Telegraf/1.37.2 Go/1.25.1"}


class Disk:
    """A small file system that can be full, in a mount namespace of its own: so anybody may mount.

    Args:
        folder: where it is in there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        script = 'mount -t tmpfs -o size=64m tmpfs "$0" && echo ready && exec sleep infinity'
        self._holder = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, folder],
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        self.inside = folder
        # As it is seen from outside.
        self.folder = Path(f"/proc/{self._holder.pid}/root{folder}")
        self._filler = self.folder / "filler"

    @property
    def within(self) -> list[str]:
        """Runs a command where it is mounted."""
        pid = str(self._holder.pid)
        return ["nsenter", "--target", pid, "--user", "--mount", "--preserve-credentials"]

    def close(self) -> None:
        self._holder.kill()
        self._holder.communicate()

    def fill(self) -> None:
        with self._filler.open("wb") as file:
            status = os.statvfs(self.folder)
            size, end = status.f_bavail * status.f_frsize, 0
            while size >= status.f_frsize:
                try:
                    os.posix_fallocate(file.fileno(), end, size)
                except OSError:
                    size //= 2
                else:
                    end += size
        assert os.statvfs(self.folder).f_bavail == 0

    def free(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    yield made
    made.close()


class Store:
    """An InfluxDB on that disk, which Telegraf writes to."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self.server = self._start()
        self.site: Site = loopback_site(folder, influxdb=self.server.port)
        ensure_influxdb(
            self.server.url, self.site.influxdb, Secrets("a-password", TOKEN), folder / "tokens"
        )
        self._number, self._begin = 0, time.time_ns()

    def _start(self) -> Influxdb:
        return start_influxdb(self._disk.inside, within=self._disk.within)

    def start_anew(self) -> None:
        self.server.process.stop()
        self.server = self._start()

    def write(self, points: int) -> int:
        """Write points, and give the HTTP status."""
        first, self._number = self._number, self._number + points
        lines = [f"opc_server,asset=a v={n}i {self._begin + n}" for n in range(first, self._number)]
        status, _ = InfluxClient(self.server.url, TOKEN).request(
            "POST",
            "/api/v2/write",
            query={"org": self.site.influxdb.organization, "bucket": self.site.influxdb.bucket},
            body="\n".join(lines).encode(),
            headers=TELEGRAF,
        )
        return status


@pytest.fixture
def store(disk: Disk, tmp_path: Path) -> Iterator[Store]:
    made = Store(disk, tmp_path)
    yield made
    made.server.process.stop()


def until_counted(probe: InfluxProbe, refused: int, *, taken: int = 1) -> None:
    """InfluxDB counts a write a moment after it has answered it."""
    end = time.monotonic() + 30
    while probe.writes() != Writes(taken, refused):
        assert time.monotonic() < end, probe.writes()


class NobodyWaits:
    """Kafka, which is not looked at here."""

    def waiting(self) -> None:
        return None


async def test_influxdb_refuses_after_a_full_disk_until_it_is_restarted(
    disk: Disk, store: Store, tmp_path: Path
) -> None:
    probe = InfluxProbe(store.server.url, disk.folder, room_bytes=8 << 20)
    now = 0
    file = tmp_path / "restart-influxdb2"
    guard = StoreGuard(
        probe,
        NobodyWaits(),
        {INFLUXDB: file},
        metrics=Metrics(CollectorRegistry()),
        log=structlog.get_logger(),
        monotonic_ns=lambda: now * SECOND,
    )
    assert store.write(1) == 204
    until_counted(probe, 0)
    assert probe.has_room()

    disk.fill()
    assert not probe.has_room()
    taken = 1
    while store.write(1000) == 204:
        taken += 1  # What the last block of the log has room for.
    for number in range(12):
        until_counted(probe, number + 1, taken=taken)
        assert store.write(1000) == 500
        await guard.look_at_influxdb()
        now += 1
    assert not file.exists()

    disk.free()
    await guard.look_at_influxdb()
    now += 1
    # It has room again, says that it is well, and refuses all the same.
    assert store.write(1) == 500
    until_counted(probe, 14, taken=taken)
    assert InfluxClient(store.server.url).request("GET", "/health")[0] == 200
    await guard.look_at_influxdb()
    assert "refused every write" in file.read_text()

    store.start_anew()
    assert store.write(1) == 204
    anew = InfluxProbe(store.server.url, disk.folder)
    until_counted(anew, 0)


def test_an_influxdb_that_does_not_answer_tells_nothing(tmp_path: Path) -> None:
    probe = InfluxProbe("http://127.0.0.1:1", tmp_path / "nothing")
    assert probe.writes() is None
    assert not probe.has_room()
