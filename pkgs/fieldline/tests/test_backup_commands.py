"""`fieldline backup` and `fieldline restore` as somebody calls them, on a host in a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from backup_world import UNITS, World, contents, fill
from fieldline.backup import command, host
from fieldline.backup.journal import Journal, Phase, Record
from fieldline.backup.restore import STAGE
from fieldline.errors import FieldlineError
from typer.testing import CliRunner

SITE = Path(__file__).parents[3] / "site.toml"


class RealisticWorld(World):
    """Has no process: no version of a server is known."""

    def main_process(self, _unit: str) -> int:
        return 0


class Case:
    """The command line with its effects in a folder."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.backups = folder / "backup"
        self.site = folder / "site.toml"
        self.site.write_text(SITE.read_text())
        fill(self.state, "first")
        self.world = RealisticWorld(self.state)

    def run(self, app: Any, *arguments: str | Path) -> tuple[int, str]:
        argv = [*map(str, arguments), "--site", str(self.site)]
        result = CliRunner().invoke(app, argv, catch_exceptions=False)
        return result.exit_code, result.output

    def backup(self, *arguments: str | Path) -> tuple[int, str]:
        return self.run(command.backup_app, *arguments)

    def restore(self, *arguments: str | Path) -> tuple[int, str]:
        return self.run(command.restore_app, *arguments)

    def archive(self) -> Path:
        assert self.backup(self.backups)[0] == 0
        (found,) = self.backups.iterdir()
        return found


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    case = Case(tmp_path)

    @contextmanager
    def the_host() -> Iterator[World]:
        with host.locked(tmp_path / "lock"):
            yield case.world

    monkeypatch.setattr(command, "STATE", case.state)
    monkeypatch.setattr(command, "FOLDER", case.backups)
    monkeypatch.setattr(command, "_host", the_host)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.chown", lambda *_arguments: None)
    monkeypatch.setattr("socket.gethostname", lambda: "db")
    return case


def test_there_and_back(case: Case) -> None:
    before = contents(case.state)
    code, output = case.backup(case.backups, "--json")
    told = json.loads(output)
    assert code == 0
    file = Path(told["file"])
    assert file.parent == case.backups
    assert file.name.startswith("db-20")
    assert told["manifest"]["site"]["organization"] == "devorg"
    assert told["manifest"]["parts"]["kafka"]["cluster_id"] == "R6liFqJGgii5jeWiHDewsw"
    fill(case.state, "second")
    code, output = case.restore(file, "--replace", "--json")
    assert (code, json.loads(output)["archive"]) == (0, str(file))
    assert contents(case.state) == before


def test_a_named_file_in_a_folder_that_is_there(case: Case, tmp_path: Path) -> None:
    code, output = case.backup(tmp_path / "mine.tar")
    assert code == 0
    assert output.startswith(f"{tmp_path}/mine.tar: ")
    assert "stood still: kafka" in output
    with pytest.raises(FieldlineError, match=r"Make the folder .*nowhere first"):
        case.backup(tmp_path / "nowhere/mine.tar")


def test_nobody_but_root(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    for run in (case.backup, lambda: case.restore("--resume")):
        with pytest.raises(FieldlineError, match="Only root may do this"):
            run()
    assert case.world.done == []


def test_not_on_another_host(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "collector")
    for run in (case.backup, lambda: case.restore("--resume")):
        with pytest.raises(FieldlineError, match="Run this on db: collector has neither"):
            run()
    assert case.world.done == []


def test_ctrl_c_and_a_full_disk_are_told_in_words(case: Case) -> None:
    file = case.archive()
    case.world.fails = {"stop influxdb2.service": KeyboardInterrupt}
    for run, text in (
        (lambda: case.backup(case.state.parent / "more.tar"), "no archive was made"),
        (lambda: case.restore(file, "--replace"), "`fieldline restore --resume` goes on"),
    ):
        # The command line itself makes 130 of it.
        assert text in run()[1]
    assert all(case.world.runs[unit] for unit in UNITS)
    case.world.fails = {"sync": OSError(28, "No space left on device")}
    assert case.restore("--abort")[0] == 0
    with pytest.raises(FieldlineError, match="Look at the disks of this host") as told:
        case.restore(file, "--replace")
    assert "No space left on device" in told.value.cause


@pytest.mark.parametrize(
    "arguments", [(), ("it.tar", "--resume"), ("--resume", "--abort"), ("it.tar", "--abort")]
)
def test_one_thing_at_a_time_is_asked_for(case: Case, arguments: Sequence[str]) -> None:
    code, output = case.restore(*arguments)
    assert code == 2
    assert "either an archive, or --resume, or --abort" in " ".join(output.split())


def test_a_check_reads_everything_and_changes_nothing(case: Case) -> None:
    file = case.archive()
    case.world.done = []
    code, output = case.restore(file, "--check")
    assert code == 0
    assert "is whole, and can be restored here" in output
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    for arguments in (("--check",), ("--replace",)):
        with pytest.raises(FieldlineError, match="damaged; nothing was changed"):
            case.restore(file, *arguments)
    assert not any(line.startswith("stop") for line in case.world.done)
    assert not (case.state / STAGE).exists()


def test_data_are_not_replaced_by_mistake(case: Case) -> None:
    file = case.archive()
    case.world.done = []
    with pytest.raises(FieldlineError, match="Give --replace"):
        case.restore(file)
    assert case.world.done == []


def test_an_archive_of_another_site_takes_force(case: Case) -> None:
    file = case.archive()
    text = case.site.read_text()
    case.site.write_text(text.replace('bucket = "dev"', 'bucket = "plant"'))
    with pytest.raises(FieldlineError, match="not of this host of this site") as refused:
        case.restore(file, "--replace")
    assert refused.value.cause == "bucket: dev in the archive, plant here"
    code, output = case.restore(file, "--replace", "--force")
    assert code == 0
    assert "The site has changed since" in output


def test_a_site_that_only_grew_is_the_same_one(case: Case) -> None:
    file = case.archive()
    case.site.write_text(case.site.read_text() + "\n# A remark.\n")
    assert case.restore(file, "--replace")[0] == 0


def test_with_a_restore_under_way_nothing_else_begins(case: Case) -> None:
    file = case.archive()
    case.world.done = []
    (case.state / STAGE).mkdir()
    record = Record(archive="other.tar", created="then", parts=("kafka",), phase=Phase.STARTING)
    Journal(case.state / STAGE).write(record)
    with pytest.raises(FieldlineError, match=r"A restore of other.tar is under way \(starting\)"):
        case.restore(file, "--replace")
    with pytest.raises(FieldlineError, match="A restore is under way"):
        case.backup(case.backups)
    assert case.world.done == []


def test_one_that_was_killed_while_it_unpacked_is_begun_anew(case: Case) -> None:
    file = case.archive()
    (case.state / STAGE / "new").mkdir(parents=True)
    record = Record(archive="other.tar", created="then", parts=("kafka",))
    Journal(case.state / STAGE).write(record)
    assert case.restore(file, "--replace")[0] == 0


def test_a_failed_restore_is_gone_on_with_or_back_from(case: Case) -> None:
    file = case.archive()
    before = contents(case.state)
    case.world.fails = {"start kafka-provision.service": FieldlineError("other partitions")}
    for _ in range(2):
        with pytest.raises(FieldlineError, match="so did going back"):
            case.restore("--resume") if (case.state / STAGE).exists() else case.restore(
                file, "--replace"
            )
    case.world.fails = {}
    code, output = case.restore("--abort")
    assert (code, output) == (0, "What was here before is in its place.\n")
    assert contents(case.state) == before
    with pytest.raises(FieldlineError, match="No restore is under way"):
        case.restore("--resume")


def test_without_room_nothing_is_unpacked(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    file = case.archive()
    monkeypatch.setattr("fieldline.backup.checks.free_bytes", lambda _folder: 1 << 20)
    with pytest.raises(FieldlineError, match=r"Make room .*what is unpacked takes 5 MiB"):
        case.restore(file, "--replace")
    assert not (case.state / STAGE).exists()


def test_what_is_kept_by_others_is_said_where_the_parts_are_apart(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = case.site.read_text()
    text = text.replace('roles = ["collector", "stream-model"]', 'roles = ["collector", "kafka"]')
    text = text.replace(
        'roles = ["kafka", "influxdb", "writer", "grafana"]',
        'roles = ["influxdb", "writer", "stream-model"]',
    )
    case.site.write_text(text)
    monkeypatch.setattr("socket.gethostname", lambda: "collector")
    shutil.rmtree(case.state / "influxdb2")
    code, output = case.backup(case.backups)
    assert code == 0
    assert "Kafka's backup must be the older one" in output
    (file,) = case.backups.iterdir()
    monkeypatch.setattr("socket.gethostname", lambda: "db")
    with pytest.raises(FieldlineError, match="not of this host") as refused:
        case.restore(file)
    assert "parts: kafka in the archive, influxdb here" in refused.value.cause
