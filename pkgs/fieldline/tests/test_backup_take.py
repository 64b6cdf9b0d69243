"""A backup of a host whose servers go on writing, and what may happen meanwhile."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from backup_world import INFLUXDB, KAFKA, World, contents, describe, fill
from fieldline.backup import archive, checks, facts, snapshot
from fieldline.backup.checks import check_belongs, check_place
from fieldline.backup.host import Interruptions, locked, started_again
from fieldline.backup.manifest import ArchiveError
from fieldline.backup.parts import parts_of, servers_of
from fieldline.backup.take import STAGE, Backup, Taken
from fieldline.errors import FieldlineError
from fieldline.site import check_text
from msgspec.structs import replace

SITE = check_text((Path(__file__).parents[3] / "site.toml").read_bytes(), "site.toml")
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


# -- the host, really ------------------------------------------------------------------------------

HELPER = """
import sys, time
from pathlib import Path
from fieldline.backup.host import started_again
with started_again(["a.service", "b.service"], Path(sys.argv[1])):
    print("inside", flush=True)
    time.sleep(60) if sys.argv[2] == "stay" else None
"""


def run_helper(tmp_path: Path, how: str) -> tuple[subprocess.Popen[str], Path, Path]:
    """A process within `started_again`, whose systemctl is a script that notes its arguments."""
    left = tmp_path / "left over"
    (left / "more").mkdir(parents=True)
    calls = tmp_path / "calls"
    programs = tmp_path / "bin"
    programs.mkdir()
    texts = {
        "systemctl": f'echo "$@" >> {calls}',
        "systemd-run": 'while [ "$1" != sh ]; do shift; done; exec "$@"',
    }
    for name, text in texts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-c", HELPER, str(left), how],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    return process, left, calls


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_has_its_units_started(tmp_path: Path, number: int) -> None:
    process, left, calls = run_helper(tmp_path, "stay")
    process.send_signal(number)
    process.wait()
    if number == signal.SIGINT:
        # It ended by itself: what it stopped is its own to start, which the callers do.
        assert not calls.exists()
        assert left.exists()
        return
    end = time.monotonic() + 30
    while left.exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert calls.read_text() == "start a.service b.service\n"
    assert not left.exists()


def test_without_a_helper_nothing_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "systemd-run").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "systemd-run").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(FieldlineError, match="nothing was stopped"), started_again(["a.service"]):
        pytest.fail("it began")


def test_an_orderly_end_starts_nothing(tmp_path: Path) -> None:
    process, left, calls = run_helper(tmp_path, "end")
    assert process.wait() == 0
    assert not calls.exists()
    assert left.exists()


def twice(interruptions: Interruptions, number: int, done: list[str]) -> None:
    with interruptions.held():
        with interruptions.held():
            signal.raise_signal(number)
            done.append("inner")
        done.append("outer")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_wait_where_nothing_is_interrupted(number: int) -> None:
    interruptions = Interruptions()
    before = signal.getsignal(number)
    done: list[str] = []
    with interruptions.caught():
        with pytest.raises(KeyboardInterrupt):
            twice(interruptions, number, done)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        with interruptions.held():
            pass
    assert done == ["inner", "outer"]
    assert signal.getsignal(number) is before


def test_one_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    errors: list[str] = []

    def other() -> None:
        try:
            with locked(lock):
                errors.append("")
        except FieldlineError as error:
            errors.append(error.what_to_do)

    for expected in ("Wait for the other backup or restore on this host.", ""):
        if expected:
            with locked(lock):
                thread = threading.Thread(target=other)
                thread.start()
                thread.join()
        else:
            other()
        assert errors.pop() == expected


def test_the_version_of_kafka_is_that_of_its_open_jar(tmp_path: Path) -> None:
    opened = tmp_path / "42/fd"
    opened.mkdir(parents=True)
    (opened / "1").symlink_to("/parts/libs/kafka-clients-4.1.0.jar")
    assert facts.kafka_version(42, tmp_path) == ""
    (opened / "2").symlink_to("/nix/store/x-kafka-2.13-4.1.0/libs/kafka_2.13-4.1.0.jar")
    assert facts.kafka_version(42, tmp_path) == "4.1.0"
    assert facts.kafka_version(0, tmp_path) == ""


def test_the_version_of_an_influxdb_that_does_not_run_is_unknown() -> None:
    assert facts.influxdb_version("http://127.0.0.1:1") == ""


def test_what_is_found_out_of_this_host(case: Case) -> None:
    class Stopped:
        def main_process(self, _unit: str) -> int:
            return 0

    assert facts.versions(SITE, (KAFKA,), Stopped()) == {"kafka": ""}
    assert facts.cluster_id(case.state) == "R6liFqJGgii5jeWiHDewsw"
    assert facts.cluster_id(case.out) == ""


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "problem"),
    [("collector", "has neither Kafka nor InfluxDB"), ("laptop", "is no host of the site")],
)
def test_the_wrong_host_is_told_the_right_one(host: str, problem: str) -> None:
    with pytest.raises(FieldlineError, match=f"Run this on db: {host} {problem}"):
        parts_of(SITE, host)


def test_the_parts_of_a_host_in_their_orders() -> None:
    assert parts_of(SITE, "db") == (KAFKA, INFLUXDB)
    assert servers_of(PARTS) == (
        INFLUXDB.unit,
        INFLUXDB.provision,
        KAFKA.unit,
        KAFKA.provision,
    )


MANIFEST = describe({"kafka": (0, 0), "influxdb": (0, 0)})


def test_an_archive_of_another_site_or_of_newer_servers_takes_force() -> None:
    other = replace(MANIFEST, host="store")
    newer = replace(
        MANIFEST,
        parts={name: replace(part, version="4.2.0") for name, part in MANIFEST.parts.items()},
    )
    for manifest, problem, cause in (
        (other, "is not of this host of this site", "host: store in the archive, db here"),
        (newer, "was written by newer servers", "kafka: 4.2.0 in the archive, 4.1.0 here"),
    ):
        with pytest.raises(ArchiveError, match=rf"it.tar {problem}.*--force") as refused:
            check_belongs(Path("it.tar"), manifest, MANIFEST, force=False)
        assert cause in refused.value.cause
        check_belongs(Path("it.tar"), manifest, MANIFEST, force=True)
    check_belongs(Path("it.tar"), MANIFEST, MANIFEST, force=False)


def test_data_are_replaced_only_when_told_so(case: Case) -> None:
    with pytest.raises(FieldlineError, match=r"There are data in .*apache-kafka.*--replace"):
        check_place(PARTS, case.state, replace=False)
    check_place(PARTS, case.state, replace=True)
    subprocess.run(["rm", "-r", case.state / "apache-kafka", case.state / "influxdb2"], check=True)
    (case.state / "influxdb2").mkdir()
    with pytest.raises(FieldlineError, match=r"There are data in .*influxdb-provision"):
        check_place(PARTS, case.state, replace=False)
    subprocess.run(["rm", "-r", case.state / "private"], check=True)
    check_place(PARTS, case.state, replace=False)


def test_what_cannot_be_renamed_is_refused_with_the_steps(case: Case, tmp_path: Path) -> None:
    (case.state / "apache-kafka").rename(tmp_path / "large disk")
    (case.state / "apache-kafka").symlink_to(tmp_path / "large disk")
    with pytest.raises(FieldlineError, match=r"is a link or a file system of its own.*by hand"):
        check_place(PARTS, case.state, replace=True)
