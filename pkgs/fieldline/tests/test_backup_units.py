"""What systemd says of a unit, and when a start has come to its end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fieldline.backup import host
from fieldline.backup.host import Units
from fieldline.errors import FieldlineError

SYSTEMCTL = """\
#!/bin/sh
echo "$@" >> {folder}/calls
[ "$1" = show ] || exit {status}
number=$(($(cat {folder}/number) + 1))
[ -e {folder}/state-$number ] || number=$(($number - 1))
echo $number > {folder}/number
cat {folder}/state-$number
"""


class World:
    """A systemctl that shows one state after the other, and goes on with the last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, *states: dict[str, str], status: int = 0) -> None:
        (self.folder / "number").write_text("0")
        for number, state in enumerate(states, 1):
            text = "".join(f"{name}={value}\n" for name, value in state.items())
            (self.folder / f"state-{number}").write_text(text)
        programs = {
            "systemctl": SYSTEMCTL.format(folder=self.folder, status=status),
            "journalctl": "#!/bin/sh\necho 'the port is taken'\n",
        }
        for name, text in programs.items():
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o755)

    @property
    def calls(self) -> list[str]:
        calls = (self.folder / "calls").read_text().splitlines()
        return [call for call in calls if not call.startswith("show")]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(host, "_POLL_SECONDS", 0)
    return World(tmp_path)


def state(active: str, restarts: int = 0, job: str = "") -> dict[str, str]:
    return {"ActiveState": active, "NRestarts": str(restarts), "Job": job}


def test_a_start_ends_when_the_unit_is_active(world: World) -> None:
    world.install(state("inactive", job="7"), state("activating", job="7"), state("active"))
    Units().start("it.service")
    assert world.calls == ["reset-failed it.service", "start --no-block it.service"]


def test_a_first_failure_is_not_the_end(world: World) -> None:
    again = [state("activating", restarts) for restarts in (0, 1, 1, 2)]
    world.install(*again, state("deactivating", 2), state("active", 2))
    Units().start("it.service")


@pytest.mark.parametrize(
    "states",
    [
        # Restarted again and again; given up by systemd; exit code 78; masked.
        [state("activating", restarts) for restarts in (0, 1, 2, 3)],
        [state("activating"), state("failed")],
        [state("failed")],
        [state("inactive")],
    ],
)
def test_a_start_that_fails_is_told_with_what_the_unit_said(
    world: World, states: list[dict[str, str]]
) -> None:
    world.install(*states)
    with pytest.raises(FieldlineError, match=r"it.service does not start") as told:
        Units().start("it.service")
    assert told.value.cause == "the port is taken"


@pytest.mark.parametrize(
    ("active", "runs"),
    [
        ("active", True),
        ("activating", True),
        ("reloading", True),
        ("inactive", False),
        ("failed", False),
        ("deactivating", False),
    ],
)
def test_what_runs_or_is_to_run(world: World, active: str, runs: bool) -> None:
    world.install({"LoadState": "loaded", "ActiveState": active})
    assert Units().running(["it.service"]) == {"it.service": runs}


def test_a_unit_that_is_not_here_is_left_out(world: World) -> None:
    world.install({"LoadState": "not-found", "ActiveState": "inactive"})
    assert Units().running(["grafana.service"]) == {}


def test_a_stop_that_fails_is_told(world: World) -> None:
    world.install(status=1)
    with pytest.raises(FieldlineError, match=r"a.service and b.service cannot be stopped"):
        Units().stop(["a.service", "b.service"])


def test_the_process_of_a_unit(world: World) -> None:
    world.install({"MainPID": "42"})
    assert Units().main_process("it.service") == 42
    world.install({"MainPID": ""})
    assert Units().main_process("it.service") == 0


def test_without_systemd_it_says_where_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FieldlineError, match="systemd is missing"):
        Units().running(["it.service"])
