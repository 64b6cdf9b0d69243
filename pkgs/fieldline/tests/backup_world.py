"""A database host in a folder: files as Kafka and InfluxDB have them, units that do as told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fieldline.backup import disk
from fieldline.backup.manifest import Manifest, PartFacts, SiteFacts
from fieldline.backup.parts import INFLUXDB, KAFKA, PARTS, USERS

UNITS = [unit for part in PARTS for unit in (part.unit, part.provision)] + list(USERS)

SITE = SiteFacts(organization="devorg", bucket="dev", topics={"opc": 4}, sha256="00")


def fill(state: Path, text: str) -> None:
    """A Kafka with two segments, an InfluxDB with a block of values; all of them say `text`."""
    files = {
        "apache-kafka/log/meta.properties": "cluster.id=R6liFqJGgii5jeWiHDewsw\n",
        "apache-kafka/log/opc-0/00000000000000000000.log": f"{text}: closed\n",
        "apache-kafka/log/opc-0/00000000000000000000.index": "",
        "apache-kafka/log/opc-0/00000000000000000007.log": f"{text}: active\n",
        "influxdb2/influxd.bolt": f"{text}: tokens\n",
        "influxdb2/engine/data/1/autogen/1/000000001-000000001.tsm": f"{text}: values\n",
        "influxdb2/engine/wal/1/autogen/1/_00001.wal": f"{text}: newest\n",
        "private/influxdb-provision/influxdb-reader-token": f"{text}: token\n",
    }
    for name, content in files.items():
        path = state / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o600)
    (state / "private/influxdb-provision/influxdb-reader-token").chmod(0o400)
    # Allocated and not filled, as the servers do it.
    with (state / "influxdb2/engine/series").open("wb") as file:
        file.write(text.encode())
        file.truncate(4 << 20)


def contents(state: Path) -> dict[str, bytes]:
    """Every file of the parts, by name."""
    folders = [state / folder for part in PARTS for folder in part.folders]
    return {
        str(path.relative_to(state)): path.read_bytes()
        for folder in folders
        if folder.exists()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def describe(sizes: dict[str, tuple[int, int]]) -> Manifest:
    """A manifest of these parts."""
    return Manifest(
        created="2026-03-01T12:00:00+00:00",
        fieldline="0.1.0",
        host="db",
        site=SITE,
        parts={
            name: PartFacts(version="4.1.0", files=files, bytes=size)
            for name, (files, size) in sizes.items()
        },
    )


class Killed(BaseException):
    """What ends a process without giving it a chance."""


@dataclass
class World:
    """The effects of a backup and of a restore, each of which may be the last one."""

    state: Path
    runs: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(UNITS, True))
    done: list[str] = field(default_factory=list)
    fails: dict[str, Exception | type[BaseException]] = field(default_factory=dict)
    """What an effect raises, by its name."""
    left: int | None = None
    """How many effects there are before the kill; it comes in the middle of a removal."""
    at_stop: Callable[[str], None] = lambda _unit: None
    at_start: Callable[[str], None] = lambda _unit: None
    guarded: list[str] = field(default_factory=list)
    holding: int = 0

    def _do(self, what: str) -> None:
        if self.left is not None:
            if self.left == 0:
                raise Killed
            self.left -= 1
        self.done.append(what)
        if what in self.fails:
            raise self.fails[what]

    def running(self, units: Sequence[str]) -> dict[str, bool]:
        return {unit: self.runs[unit] for unit in units if unit in self.runs}

    def stop(self, units: Sequence[str]) -> None:
        for unit in units:
            self._do(f"stop {unit}")
            self.runs[unit] = False
            self.at_stop(unit)

    def start(self, unit: str) -> None:
        self._do(f"start {unit}")
        self.runs[unit] = True
        self.at_start(unit)

    def move(self, source: Path, target: Path) -> None:
        self._do(f"move {source.relative_to(self.state)} {target.relative_to(self.state)}")
        disk.move(source, target)

    def remove(self, path: Path) -> None:
        name = f"remove {path.relative_to(self.state)}"
        if self.left == 0 and path.is_dir():
            # Cut off after the first file.
            found = sorted(p for p in path.rglob("*") if p.is_file() and p.name != "restore.json")
            for file in found[:1]:
                file.unlink()
        self._do(name)
        disk.remove(path)

    def sync(self) -> None:
        self._do("sync")

    @contextmanager
    def started_again(self, units: Sequence[str], *_leftovers: Path) -> Iterator[None]:
        self.guarded += units
        try:
            yield
        finally:
            for unit in units:
                self.guarded.remove(unit)

    @contextmanager
    def held(self) -> Iterator[None]:
        self.holding += 1
        try:
            yield
        finally:
            self.holding -= 1

    def power_cut(self) -> None:
        """After it the host starts: every unit runs, and makes its folder where there is none."""
        self.left = None
        self.runs = dict.fromkeys(UNITS, True)
        self.done = []
        for part in PARTS:
            for folder in part.folders:
                if not (self.state / folder).exists():
                    (self.state / folder).mkdir(parents=True)
                    (self.state / folder / "begun").write_text("begun at the start")


__all__ = ["INFLUXDB", "KAFKA", "SITE", "UNITS", "Killed", "World", "contents", "describe", "fill"]
