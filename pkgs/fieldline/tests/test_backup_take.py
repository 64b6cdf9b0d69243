"""A backup of a host whose servers go on writing, and what may happen meanwhile."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from backup_world import INFLUXDB, KAFKA, World, contents, describe, fill
from fieldline.backup import archive, checks, snapshot
from fieldline.backup.take import STAGE, Backup, Taken
from fieldline.errors import FieldlineError

PARTS = (KAFKA, INFLUXDB)


class Case:
    """A host whose Kafka appends, and whose InfluxDB writes, as soon as they run again."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        fill(self.state, "first")
        self.target = folder / "backup" / "db.tar"
        self.target.parent.mkdir()
        self.world = World(self.state)
        self.world.at_start = self._goes_on
        self.told: list[str] = []
        self.out = folder / "out"

    def _goes_on(self, unit: str) -> None:
        if unit == KAFKA.unit:
            with (self.state / "apache-kafka/log/opc-0/00000000000000000007.log").open("a") as log:
                log.write("later\n")
            # Retention and compaction put files in the place of files.
            closed = self.state / "apache-kafka/log/opc-0/00000000000000000000.log"
            closed.with_suffix(".cleaned").write_text("compacted\n")
            closed.with_suffix(".cleaned").rename(closed)
        else:
            (self.state / "influxdb2/influxd.bolt").write_text("later: tokens\n")
            block = self.state / "influxdb2/engine/data/1/autogen/1/000000001-000000001.tsm"
            block.unlink(missing_ok=True)

    def take(self) -> Taken:
        backup = Backup(PARTS, self.state, self.world, self.world, self.told.append)
        return backup.run(self.target, lambda sizes: describe(dict(sizes)))

    def nothing_left(self) -> None:
        assert list(self.target.parent.iterdir()) == []
        assert not (self.state / STAGE).exists()
        assert self.world.guarded == []


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_it_is_what_was_there_when_each_server_stood_still(case: Case) -> None:
    before = contents(case.state)
    taken = case.take()
    assert case.world.done == [
        f"{what} {part.unit}" for part in PARTS for what in ("stop", "start")
    ]
    manifest = archive.read(case.target, case.out, lambda _: None)
    assert contents(case.out) == before
    assert contents(case.state) != before
    assert manifest.parts["kafka"].files == 4
    assert manifest == taken.manifest
    assert taken.bytes == case.target.stat().st_size
    assert set(taken.stopped) == {"kafka", "influxdb"}
    assert stat.S_IMODE(case.target.stat().st_mode) == 0o600
    assert [path.name for path in case.target.parent.iterdir()] == ["db.tar"]
    assert not (case.state / STAGE).exists()
    assert any("writing the archive, 100 %" in text for text in case.told)


def test_only_what_may_change_is_copied(case: Case) -> None:
    into = case.state / STAGE
    items = [item for part in PARTS for item in snapshot.take(part, case.state, into)]
    linked = {item.name for item in items if not item.folder and item.path.stat().st_nlink == 2}
    assert linked == {
        "apache-kafka/log/opc-0/00000000000000000000.log",
        "influxdb2/engine/data/1/autogen/1/000000001-000000001.tsm",
    }


def test_on_a_disk_without_links_everything_is_copied(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(_source: Path, _target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
    before = contents(case.state)
    case.take()
    archive.read(case.target, case.out, lambda _: None)
    assert contents(case.out) == before


def test_a_server_that_did_not_run_is_not_started(case: Case) -> None:
    case.world.runs[KAFKA.unit] = False
    taken = case.take()
    wanted = [f"stop {KAFKA.unit}", f"stop {INFLUXDB.unit}", f"start {INFLUXDB.unit}"]
    assert case.world.done == wanted
    assert not case.world.runs[KAFKA.unit]
    assert taken.stopped["kafka"] == 0.0


BREAKS: list[tuple[str, Callable[[Case], None]]] = []


def breaks(what: str) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    def add(function: Callable[[Case], None]) -> Callable[[Case], None]:
        BREAKS.append((what, function))
        return function

    return add


@breaks("a stop that fails")
def _stop(case: Case) -> None:
    case.world.fails = {f"stop {INFLUXDB.unit}": FieldlineError("it hangs")}


@breaks("Ctrl-C while a server stands still")
def _interrupt(case: Case) -> None:
    def at_stop(unit: str) -> None:
        if unit == INFLUXDB.unit:
            raise KeyboardInterrupt

    case.world.at_stop = at_stop


@breaks("a link among the files")
def _link(case: Case) -> None:
    (case.state / "influxdb2/elsewhere").symlink_to("/tmp")


@breaks("somebody who starts the server amid it")
def _started(case: Case) -> None:
    def at_stop(unit: str) -> None:
        case.world.runs[unit] = True

    case.world.at_stop = at_stop


@pytest.mark.parametrize(("what", "break_it"), BREAKS, ids=[what for what, _ in BREAKS])
def test_after_a_failure_everything_runs_and_nothing_is_left(
    case: Case, what: str, break_it: Callable[[Case], None]
) -> None:
    break_it(case)
    with pytest.raises((FieldlineError, KeyboardInterrupt)):
        case.take()
    assert all(case.world.runs.values()), what
    case.nothing_left()


def test_a_full_disk_while_it_copies_or_writes(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    for module, name in ((snapshot.shutil, "copyfile"), (archive, "write")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full)
            with pytest.raises(OSError, match="No space left"):
                case.take()
        assert all(case.world.runs.values())
        case.nothing_left()


def test_a_server_that_does_not_start_again_is_told(case: Case) -> None:
    case.world.fails = {
        f"start {KAFKA.unit}": FieldlineError("apache-kafka.service does not start")
    }
    with pytest.raises(FieldlineError, match=r"apache-kafka.service does not start"):
        case.take()
    assert f"stop {INFLUXDB.unit}" not in case.world.done
    case.nothing_left()


def test_starting_again_is_not_interrupted(case: Case) -> None:
    held: list[int] = []
    case.world.at_start = lambda _unit: held.append(case.world.holding)
    guarded: list[list[str]] = []
    case.world.at_stop = lambda _unit: guarded.append(list(case.world.guarded))
    case.take()
    assert held == [1, 1]
    assert guarded == [[KAFKA.unit], [INFLUXDB.unit]]


def test_without_room_nothing_is_stopped(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "free_bytes", lambda _folder: checks.RESERVE_BYTES + 1000)
    with pytest.raises(
        FieldlineError, match=r"Make room on the disk of .*backup: the archive takes"
    ):
        case.take()
    assert case.world.done == []
    case.nothing_left()


def test_room_is_looked_at_again_by_the_real_size(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 4 MiB of the series' file are not allocated, so the estimate does not know them.
    monkeypatch.setattr(checks, "free_bytes", lambda _folder: checks.RESERVE_BYTES + (1 << 20))
    with pytest.raises(FieldlineError, match="Make room"):
        case.take()
    assert len(case.world.done) == 4
    assert all(case.world.runs.values())
    case.nothing_left()


def test_a_file_that_is_there_is_not_written_over(case: Case) -> None:
    case.target.write_text("yesterday's")
    with pytest.raises(FieldlineError, match="exists already"):
        case.take()
    assert case.target.read_text() == "yesterday's"
    assert case.world.done == []


def test_what_a_killed_backup_left_is_removed(case: Case) -> None:
    (case.state / STAGE / "apache-kafka").mkdir(parents=True)
    (case.target.parent / ".fieldline-backup.x1").write_text("half")
    case.take()
    assert [path.name for path in case.target.parent.iterdir()] == ["db.tar"]


def test_a_server_without_data_has_no_backup(case: Case) -> None:
    subprocess.run(["rm", "-r", case.state / "apache-kafka"], check=True)
    case.world.at_start = lambda _unit: None
    with pytest.raises(FieldlineError, match="Kafka has no data"):
        case.take()
    assert all(case.world.runs.values())
