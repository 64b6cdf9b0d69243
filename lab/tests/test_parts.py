"""Parts of the lab: the cache, its faults, and what a person is told. No network, no compiler.

The part here is made by a shell script, brought in through the catalogue's own data type.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from fieldline_lab.parts import (
    Cache,
    Part,
    PartError,
    Recipe,
    Workshop,
    obtain,
)
from fieldline_lab.parts import cache as cache_module
from fieldline_lab.parts.cache import faults

SCRIPT = """
mkdir -p "$OUT/bin" "$OUT/libs"
printf '#!/bin/sh\\necho Telegraf 1.2.3\\n' > "$OUT/bin/widget"
chmod 700 "$OUT/bin/widget"
echo one > "$OUT/libs/one.jar"
echo two > "$OUT/libs/two.jar"
echo step; echo step
"""


@dataclass
class Recorder:
    """A reporter that keeps what it is told, and can let others wait for a note."""

    notes: list[str] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    builds: int = 0
    outcomes: list[str] = field(default_factory=list)
    noted: threading.Event = field(default_factory=threading.Event)

    def note(self, part: str, text: str) -> None:
        self.notes.append(f"{part}: {text}")
        self.noted.set()

    def begin(self, *_: object) -> None:
        self.builds += 1

    def step(self, _part: str, _phase: str, fraction: float) -> None:
        self.steps.append(fraction)

    def end(self, _part: str, text: str) -> None:
        self.outcomes.append(text)


def script(shop: Workshop) -> None:
    """Run the recipe's own script."""
    shop.run(
        ["sh", "-eu", "recipe.sh"],
        phase="making",
        env={"OUT": str(shop.out), "SCRATCH": str(shop.scratch)},
    )


@dataclass
class Bench:
    """One empty cache and one recipe."""

    cache: Cache
    recipe: Recipe
    said: Recorder = field(default_factory=Recorder)

    def obtain(self, *, offline: bool = False, search_path: str = "") -> Part:
        return obtain(
            ["widget"],
            reporter=self.said,
            offline=offline,
            cache=self.cache,
            catalogue={"widget": self.recipe},
            search_path=search_path,
        )["widget"]

    def rewrite(self, text: str) -> None:
        (self.recipe.folder / "recipe.sh").write_text(text)

    def left(self) -> list[str]:
        return sorted(path.name for path in (self.cache.root / "parts").iterdir())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "recipe.sh").write_text(SCRIPT)
    recipe = Recipe(
        name="widget",
        version="1.2.3",
        folder=folder,
        files=("recipe.sh",),
        build=script,
        executable="bin/widget",
        progress_line="^step$",
        steps=4,
    )
    return Bench(Cache(tmp_path / "cache"), recipe)


def test_made_once_then_from_the_cache(bench: Bench) -> None:
    first = bench.obtain()
    assert first == bench.obtain()
    assert first.origin == "cache"
    assert first.executable == first.directory / "bin/widget"
    assert subprocess.check_output([str(first.executable)]) == b"Telegraf 1.2.3\n"
    assert bench.said.builds == 1
    assert bench.said.outcomes == ["ready"]
    assert bench.said.steps[-1] == 0.5  # two of four lines
    assert bench.left() == [bench.recipe.directory]
    assert not bench.cache.scratch("widget").exists()


def test_readable_for_every_user(bench: Bench) -> None:
    before = os.umask(0o077)
    try:
        part = bench.obtain()
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in part.directory.rglob("*")}
    assert part.directory.stat().st_mode & 0o777 == 0o755
    assert modes["widget"] == modes["bin"] == 0o755
    assert modes["one.jar"] == modes["manifest.json"] == 0o644


def test_another_recipe_is_another_place(bench: Bench) -> None:
    first = bench.obtain()
    bench.rewrite(SCRIPT + "echo three > $OUT/libs/three.jar\n")
    second = bench.obtain()
    assert first.directory != second.directory
    assert first.directory.is_dir()  # an older checkout still uses it
    assert replace(bench.recipe, tags=("x",)).directory != bench.recipe.directory
    assert replace(bench.recipe, revision=2).directory != bench.recipe.directory


def corrupt(directory: Path) -> None:
    (directory / "libs/one.jar").write_text("eno\n")


def take_away(directory: Path) -> None:
    (directory / "libs/one.jar").unlink()


def slip_in(directory: Path) -> None:
    (directory / "libs/extra.jar").write_text("")


def forbid_running(directory: Path) -> None:
    (directory / "bin/widget").chmod(0o644)


def no_manifest(directory: Path) -> None:
    (directory / "manifest.json").unlink()


def half_a_manifest(directory: Path) -> None:
    (directory / "manifest.json").write_text('{"schema": 1, "fi')


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (corrupt, "libs/one.jar: sha256 is"),
        (take_away, "libs/one.jar is missing"),
        (slip_in, "libs/extra.jar does not belong there"),
        (forbid_running, "bin/widget: run is False, not True"),
        (no_manifest, "manifest.json cannot be read"),
        (half_a_manifest, "manifest.json cannot be read"),
    ],
)
def test_damage_is_found_and_repaired(
    bench: Bench, damage: Callable[[Path], None], named: str
) -> None:
    part = bench.obtain()
    damage(part.directory)
    with pytest.raises(PartError, match="offline") as refused:
        bench.obtain(offline=True)
    assert named in refused.value.cause
    bench.obtain()
    assert bench.said.builds == 2
    [note] = bench.said.notes
    assert "damaged in the cache, so it is made again" in note
    assert named in note
    assert faults(part.directory) == []


def test_offline_with_a_warm_cache(bench: Bench) -> None:
    assert bench.obtain() == bench.obtain(offline=True)
    assert bench.said.builds == 1


def test_offline_with_a_cold_cache(bench: Bench) -> None:
    with pytest.raises(PartError) as error:
        bench.obtain(offline=True)
    assert "python -m fieldline_lab.parts widget" in error.value.what_to_do
    assert "not there" in error.value.cause
    assert bench.said.builds == 0


def test_failing_build_tells_what_to_do_then_the_cause(bench: Bench) -> None:
    lines = "".join(f"echo line {number} >&2\n" for number in range(40))
    bench.rewrite(f"{lines}exit 3\n")
    with pytest.raises(PartError) as error:
        bench.obtain()
    assert error.value.what_to_do.startswith("widget 1.2.3 could not be built.")
    cause = error.value.cause.splitlines()
    assert cause == ["sh ended with status 3:"] + [f"line {number}" for number in range(25, 40)]
    assert error.value.log == bench.cache.log("widget")
    assert str(error.value).index("could not be built") < str(error.value).index("line 39")
    assert str(error.value.log) in str(error.value)
    assert len(error.value.log.read_text().splitlines()) == 40
    assert bench.said.outcomes == ["not made"]
    assert bench.left() == []


@pytest.mark.parametrize(
    ("line", "todo"),
    [
        ("dial tcp: lookup x: no such host", "registry cannot be reached"),
        ("Could not resolve host: x", "registry cannot be reached"),
        ("write /x: no space left on device", "disk is full"),
        ("verifying x: checksum mismatch", "not what this checkout pins"),
        ("error: failed to verify the checksum of `x`", "not what this checkout pins"),
        ("panic", "The build failed"),
    ],
)
def test_known_causes_are_explained(bench: Bench, line: str, todo: str) -> None:
    bench.rewrite(f"echo '{line}'; exit 1\n")
    with pytest.raises(PartError) as error:
        bench.obtain()
    assert todo in error.value.what_to_do
    assert line in error.value.cause


def test_scratch_survives_a_failure_and_not_a_success(bench: Bench) -> None:
    once = 'test -e "$SCRATCH/fetched" || { touch "$SCRATCH/fetched"; exit 1; }\n'
    bench.rewrite(once + SCRIPT)
    with pytest.raises(PartError):
        bench.obtain()
    assert (bench.cache.scratch("widget") / "fetched").exists()
    bench.obtain()
    assert not bench.cache.scratch("widget").exists()


def test_a_recipe_that_makes_nothing_is_an_error(bench: Bench) -> None:
    bench.rewrite("true\n")
    with pytest.raises(PartError, match="made no bin/widget"):
        bench.obtain()
    assert bench.left() == []


def test_too_little_space_is_said_before_the_build(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.recipe = replace(bench.recipe, space=4 << 30)
    monkeypatch.setattr(Cache, "free", lambda _: 1 << 30)
    with pytest.raises(PartError) as error:
        bench.obtain()
    assert "needs 4.0 GiB" in error.value.what_to_do
    assert "Free 3.0 GiB more" in error.value.what_to_do
    assert "1.0 GiB are free" in error.value.cause
    assert bench.said.builds == 0


def test_disk_that_fills_up_while_copying(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(PartError, match="The disk is full"):
        bench.obtain()
    assert bench.left() == []


def test_unknown_name(bench: Bench) -> None:
    with pytest.raises(PartError, match=r"no part grafana\. The parts are: widget"):
        obtain(["grafana"], cache=bench.cache, catalogue={"widget": bench.recipe})


def test_a_cache_of_somebody_else(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Cache, "temporary", refuse)
    with pytest.raises(PartError, match="belongs to somebody else") as error:
        bench.obtain()
    assert "Permission denied" in error.value.cause


def test_a_second_run_waits_and_says_so(bench: Bench, tmp_path: Path) -> None:
    started, go_on = fifo(tmp_path / "started"), fifo(tmp_path / "go-on")
    bench.rewrite(f'echo >"{started}"; read _ <"{go_on}"; {SCRIPT}')
    second = Bench(bench.cache, bench.recipe)
    parts: list[Part] = []
    threads = [
        threading.Thread(target=lambda one=one: parts.append(one.obtain()), daemon=True)
        for one in (bench, second)
    ]
    threads[0].start()
    started.read_text()
    threads[1].start()
    assert second.said.noted.wait(30)
    assert second.said.notes == ["widget: another run is busy with it; waiting for that one"]
    go_on.write_text("\n")
    for thread in threads:
        thread.join(30)
    assert parts[0] == parts[1]
    assert (bench.said.builds, second.said.builds) == (1, 0)
    assert bench.left() == [bench.recipe.directory]


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


# Makes the widget of the folder given, in a process that a test can kill.
RUNNER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fieldline_lab.parts import Cache, Recipe, Silent, obtain, process
process.GRACE_SECONDS = 0.1
def script(shop):
    shop.run(["sh", "-eu", "recipe.sh"], phase="making", env={"OUT": str(shop.out)})
recipe = Recipe("widget", "1.2.3", Path(sys.argv[2]), ("recipe.sh",), script, "bin/widget")
cache = Cache(Path(sys.argv[3]))
try:
    obtain(["widget"], reporter=Silent(), cache=cache, catalogue={"widget": recipe}, search_path="")
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_no_process_and_is_redone(
    bench: Bench, tmp_path: Path, number: signal.Signals
) -> None:
    """The build holds a pipe open until it is gone, with a child of its own that does too."""
    alive = fifo(tmp_path / "alive")
    # Nobody ever writes to `never`: both processes wait until they are killed.
    never = fifo(tmp_path / "never")
    bench.rewrite(
        f'exec 9>"{alive}"; trap "" TERM; sh -c \'read _ <"{never}"\' & echo up >&9; wait\n'
    )
    source = Path(cache_module.__file__).parents[2]
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(source), str(bench.recipe.folder), str(bench.cache.root)]
    )
    with alive.open() as pipe:
        assert pipe.readline() == "up\n"
        runner.send_signal(number)
        status = runner.wait(30)
        assert pipe.read() == ""  # the end: nobody holds it any more
    assert status == (130 if number is signal.SIGINT else -number)
    left = bench.left()
    if number is signal.SIGINT:
        assert left == []
    else:
        [leftover] = left
        assert leftover.startswith(".tmp.widget.")
    bench.rewrite(SCRIPT)
    bench.obtain()
    assert bench.left() == [bench.recipe.directory]
    assert bench.said.notes == (
        [] if number is signal.SIGINT else ["widget: removed what an interrupted run had left"]
    )


def test_leftovers_of_other_parts_are_let_alone(bench: Bench) -> None:
    other = bench.cache.temporary("widget-2")
    bench.obtain()
    assert other.is_dir()
