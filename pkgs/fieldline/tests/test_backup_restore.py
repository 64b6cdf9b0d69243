"""A restore on a host that may be killed, lose its power, or fail, at each point."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from backup_world import INFLUXDB, KAFKA, UNITS, Killed, World, contents, describe, fill
from fieldline.backup import archive, snapshot
from fieldline.backup.journal import Journal, Phase, Record
from fieldline.backup.manifest import ArchiveError
from fieldline.backup.parts import USERS
from fieldline.backup.restore import STAGE, Restore
from fieldline.errors import FieldlineError
from hypothesis import given, settings
from hypothesis import strategies as st

MANIFEST = describe({"kafka": (4, 100), "influxdb": (5, 100)})


@pytest.fixture(autouse=True, scope="module")
def _fast() -> Iterator[None]:
    """No disk here loses its power: what is flushed is looked at by its order alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _descriptor: None)
        yield


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    fill(folder / "state", "archived")
    # Zeros take time to unpack, and are looked at by the archive's own tests.
    (folder / "state/influxdb2/engine/series").unlink()
    items = [i for part in (KAFKA, INFLUXDB) for i, _ in snapshot.walk(part, folder / "state")]
    with (folder / "db.tar").open("wb") as stream:
        archive.write(stream, MANIFEST, items, lambda _: None)
    return folder / "db.tar"


@pytest.fixture(scope="module")
def archived(file: Path) -> dict[str, bytes]:
    return contents(file.parent / "state")


class Case:
    """A host with data of its own, and a restore whose journal is one of the effects too."""

    def __init__(self, state: Path, file: Path) -> None:
        fill(state, "old")
        (state / "influxdb2/engine/series").unlink()
        self.state = state
        self.old = contents(state)
        self.file = file
        self.world = World(state)

    @property
    def restore(self) -> Restore:
        restore = Restore(self.state, self.world, lambda _text: None)
        restore.journal = CountedJournal(self.state / STAGE, self.world)
        return restore

    @property
    def record(self) -> Record | None:
        return Journal(self.state / STAGE).read()

    def whole(self) -> None:
        restore = self.restore
        restore.unpack(self.file, MANIFEST)
        restore.run()

    def kept(self) -> None:
        """What was there before is somewhere, whole, unless everything was in place and ready."""
        record = self.record
        if record is None or record.phase is Phase.CLEANING:
            return
        for part in (KAFKA, INFLUXDB):
            for folder in part.folders:
                mine = {k: v for k, v in self.old.items() if k.startswith(folder)}
                places = [self.state, self.state / STAGE / "old"]
                assert any(mine.items() <= contents(place).items() for place in places), folder

    def end(self, how: str) -> str:
        """Go on or back, as the state of things allows; what is in place then."""
        record = self.record
        if record is None:
            return "old" if contents(self.state) == self.old else "new"
        if record.phase is Phase.UNPACKING:
            # As `fieldline restore FILE` does.
            with pytest.raises(FieldlineError, match="not unpacked to its end"):
                self.restore.run()
            self.whole()
            return "new"
        if how == "resume" or record.phase is Phase.CLEANING:
            self.restore.run()
            return "new"
        self.restore.abort()
        return "old"


class CountedJournal(Journal):
    def __init__(self, folder: Path, world: World) -> None:
        super().__init__(folder)
        self.world = world

    def write(self, record: Record) -> None:
        self.world._do(f"record {record.phase}")
        super().write(record)


@pytest.fixture
def case(tmp_path: Path, file: Path) -> Case:
    return Case(tmp_path / "state", file)


def test_it_takes_the_place_of_what_was_there(case: Case, archived: dict[str, bytes]) -> None:
    case.whole()
    assert contents(case.state) == archived
    assert case.record is None
    assert not (case.state / STAGE).exists()
    assert all(case.world.runs.values())
    done = case.world.done
    # Nothing is stopped before everything is unpacked, compared and on the disk.
    assert done.index("record unpacked") < done.index(f"stop {KAFKA.unit}")
    assert done.index("sync") < done.index("record unpacked")
    # Kafka takes values from elsewhere for good, so it starts when InfluxDB is ready.
    starts = [line for line in done if line.startswith("start")]
    wanted = [INFLUXDB.unit, INFLUXDB.provision, KAFKA.unit, KAFKA.provision, *USERS]
    assert starts == [f"start {unit}" for unit in wanted]
    # What was there before goes when all of them are ready.
    assert done.index("record cleaning") < len(done) - 1 - done[::-1].index(f"remove {STAGE}/old")


def test_into_an_empty_host(case: Case, archived: dict[str, bytes], tmp_path: Path) -> None:
    case.state = tmp_path / "empty"
    case.state.mkdir()
    case.world = World(case.state)
    case.whole()
    assert contents(case.state) == archived


def test_what_did_not_run_or_is_not_here_is_not_started(case: Case) -> None:
    del case.world.runs["grafana.service"]
    case.world.runs["telegraf.service"] = False
    case.world.runs[KAFKA.unit] = False
    case.whole()
    assert not case.world.runs["telegraf.service"]
    assert "grafana.service" not in " ".join(case.world.done)
    # A server is needed to tell whether it is ready.
    assert case.world.runs[KAFKA.unit]


def steps(tmp_path: Path, file: Path) -> list[str]:
    """Everything that a restore does."""
    case = Case(tmp_path / "steps", file)
    case.whole()
    return case.world.done


@pytest.mark.parametrize("how", ["resume", "abort"])
@pytest.mark.parametrize("cut", [False, True], ids=["killed", "power cut"])
def test_ended_at_each_point_it_goes_on_or_back(
    tmp_path: Path, file: Path, archived: dict[str, bytes], how: str, cut: bool
) -> None:
    count = len(steps(tmp_path, file))
    ends = set()
    for left in range(count):
        case = Case(tmp_path / f"at-{left}", file)
        case.world.left = left
        with pytest.raises(Killed):
            case.whole()
        case.world.left = None
        case.kept()
        phase = case.record.phase if case.record else None
        if cut:
            case.world.power_cut()
        end = case.end(how)
        ends.add((phase, end))
        assert contents(case.state) == (archived if end == "new" else case.old), (left, phase)
        assert not (case.state / STAGE / "old").exists()
        assert case.record is None
        if phase is not None:
            assert all(case.world.runs.values()), (left, phase)
    both = {"resume": "new", "abort": "old"}[how]
    # The parameter was looked at in every phase.
    for phase in (Phase.UNPACKED, Phase.SWITCHING, Phase.STARTING):
        assert (phase, both) in ends
    assert {phase for phase, _ in ends} >= {None, Phase.UNPACKING, Phase.CLEANING}


@settings(max_examples=40)
@given(
    kills=st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from(["resume", "abort"]), st.booleans()),
        min_size=1,
        max_size=5,
    ),
    how=st.sampled_from(["resume", "abort"]),
)
def test_killed_again_and_again_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory,
    file: Path,
    archived: dict[str, bytes],
    kills: list[tuple[int, str, bool]],
    how: str,
) -> None:
    case = Case(tmp_path_factory.mktemp("again"), file)
    end = None
    for number, (left, action, cut) in enumerate(kills):
        case.world.left = left
        try:
            if number == 0:
                case.whole()
                end = "new"
            else:
                end = case.end(action)
        except Killed:
            end = None
        case.kept()
        case.world.left = None
        if cut:
            case.world.power_cut()
    case.world.left = None
    end = case.end(how) if case.record is not None or end is None else end
    assert contents(case.state) == (archived if end == "new" else case.old)
    assert not (case.state / STAGE / "old").exists()


FAILS = [
    f"stop {KAFKA.unit}",
    f"move influxdb2 {STAGE}/old/influxdb2",
    f"move {STAGE}/new/apache-kafka apache-kafka",
    f"start {INFLUXDB.unit}",
    f"start {INFLUXDB.provision}",
    f"start {KAFKA.unit}",
    f"start {KAFKA.provision}",
]
CAUSES = [FieldlineError("it does not start"), OSError(28, "No space left on device")]


def fail_once(world: World, what: str, error: Exception | type[BaseException]) -> None:
    """Let an effect fail the first time only."""
    world.fails = {what: error}
    original = world._do

    def do(name: str) -> None:
        try:
            original(name)
        finally:
            if name == what:
                world.fails = {}

    world._do = do  # type: ignore[method-assign]


@pytest.mark.parametrize("what", FAILS)
@pytest.mark.parametrize("error", [*CAUSES, KeyboardInterrupt], ids=["refused", "disk", "Ctrl-C"])
def test_what_fails_is_gone_back_from_and_can_be_tried_again(
    case: Case, archived: dict[str, bytes], what: str, error: Exception | type[BaseException]
) -> None:
    fail_once(case.world, what, error)
    expected = KeyboardInterrupt if error is KeyboardInterrupt else FieldlineError
    with pytest.raises(expected) as caught:
        case.whole()
    assert contents(case.state) == case.old
    assert all(case.world.runs.values())
    assert case.record is not None
    assert case.record.phase is Phase.UNPACKED
    if isinstance(caught.value, FieldlineError):
        assert "is back in its place and runs" in caught.value.what_to_do
        assert str(error).splitlines()[0] in caught.value.cause
    else:
        assert case.record.reason == "it was interrupted"
    case.restore.run()
    assert contents(case.state) == archived


def test_a_way_back_that_fails_keeps_everything_and_says_the_steps(case: Case) -> None:
    case.world.fails = {f"start {INFLUXDB.unit}": FieldlineError("the port is taken")}
    with pytest.raises(FieldlineError, match=r"so did going back.*--abort.*--resume") as caught:
        case.whole()
    assert "the port is taken" in caught.value.cause
    case.kept()
    assert case.record is not None
    assert case.record.phase is Phase.GOING_BACK
    case.world.fails = {}
    case.restore.abort()
    assert contents(case.state) == case.old
    assert all(case.world.runs.values())


def test_what_kafka_took_before_it_failed_is_kept_for_the_next_try(case: Case) -> None:
    def takes(unit: str) -> None:
        if unit == KAFKA.unit:
            (case.state / "apache-kafka/taken").write_text("a value")

    case.world.at_start = takes
    fail_once(case.world, f"start {KAFKA.provision}", FieldlineError("other partitions"))
    with pytest.raises(FieldlineError):
        case.whole()
    case.world.at_start = lambda _unit: None
    assert (case.state / STAGE / "new/apache-kafka/taken").read_text() == "a value"
    case.restore.run()
    assert (case.state / "apache-kafka/taken").read_text() == "a value"


def test_users_that_do_not_start_do_not_undo_it(case: Case, archived: dict[str, bytes]) -> None:
    case.world.fails = {"start telegraf.service": FieldlineError("no credential")}
    with pytest.raises(FieldlineError, match="Everything is restored and its servers run"):
        case.whole()
    assert contents(case.state) == archived
    with pytest.raises(FieldlineError, match="too late"):
        case.restore.abort()
    case.world.fails = {}
    case.restore.run()
    assert case.record is None


def test_a_damaged_archive_changes_nothing(case: Case, tmp_path: Path, file: Path) -> None:
    data = bytearray(file.read_bytes())
    place = data.index(b"archived: values")
    data[place] ^= 1
    damaged = tmp_path / "damaged.tar"
    damaged.write_bytes(data)
    with pytest.raises(ArchiveError, match="damaged; nothing was changed"):
        case.restore.unpack(damaged, MANIFEST)
    assert contents(case.state) == case.old
    assert not (case.state / STAGE).exists()
    assert not any(line.startswith(("stop", "move")) for line in case.world.done)


def test_interrupted_while_it_unpacks_nothing_stays(case: Case) -> None:
    case.world.fails = {"sync": KeyboardInterrupt}
    with pytest.raises(KeyboardInterrupt):
        case.restore.unpack(case.file, MANIFEST)
    assert not (case.state / STAGE).exists()
    assert contents(case.state) == case.old


def test_without_a_restore_there_is_nothing_to_go_on_with(case: Case) -> None:
    for action in (case.restore.run, case.restore.abort):
        with pytest.raises(FieldlineError, match="No restore is under way"):
            action()


def test_a_record_that_is_none_says_where_everything_is(case: Case) -> None:
    (case.state / STAGE).mkdir()
    for text in ("", "{}", json.dumps({"phase": "sleeping"})):
        (case.state / STAGE / "restore.json").write_text(text)
        with pytest.raises(FieldlineError, match=f"before is in .*{STAGE}/old"):
            case.restore.run()


def test_going_back_is_not_interrupted(case: Case) -> None:
    held: list[int] = []

    @contextmanager
    def hold() -> Iterator[None]:
        case.world.holding += 1
        yield
        case.world.holding -= 1

    case.world.held = hold  # type: ignore[method-assign]
    case.world.at_start = lambda _unit: held.append(case.world.holding)
    fail_once(case.world, f"start {KAFKA.provision}", KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        case.whole()
    # The servers of the archive, then all of those before.
    assert held == [0] * 3 + [1] * len(UNITS)


def test_influxdb_changes_before_kafka_both_there_and_back(case: Case) -> None:
    """Or a start of the host in between would leave Kafka's offsets ahead of InfluxDB."""
    fail_once(case.world, f"start {KAFKA.provision}", FieldlineError("it does not start"))
    with pytest.raises(FieldlineError):
        case.whole()
    ends = [line.split()[2] for line in case.world.done if line.startswith("move")]
    here = [end for end in ends if not end.startswith(STAGE)]
    assert here == ["influxdb2", "private/influxdb-provision", "apache-kafka"] * 2
