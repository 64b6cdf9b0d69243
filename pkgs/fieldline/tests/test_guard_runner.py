"""The guard's process: real programs, bounded, and a record that tells what was decided."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline.guard import command, system
from fieldline.guard.command import within_ns
from fieldline.guard.runner import Runner
from fieldline.guard.state import ConfirmAsked, Moment, Phase, Record, RevertAsked
from fieldline.guard.store import Store, moment
from fieldline.guard.system import Machine
from typer import BadParameter
from typer.testing import CliRunner

OLD, NEW = "/old", "/new"


class Host:
    """A host whose programs do as they are told."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.done: list[str] = []
        self.fails: dict[str, int] = {}
        """How often what fails."""
        self.during_test: list[ConfirmAsked | RevertAsked] = []
        self.running = OLD

    def _do(self, what: str) -> str:
        self.done.append(what)
        self.fails[what] = self.fails.get(what, 0) - 1
        return "it failed" if self.fails[what] >= 0 else ""

    def test(self, system: str, go_on: system.GoOn) -> str:
        for event in self.during_test:
            self.store.apply(event)
        if not go_on():
            return "it was ended"
        self.running = system
        return self._do(f"test {system}")

    def persist(self, system: str) -> tuple[str, str]:
        return self._do(f"persist {system}"), ""

    def revert(self, system: str) -> tuple[str, str]:
        self.running = system
        return self._do(f"revert {system}"), ""

    def reboot(self) -> str:
        self._do("reboot")
        raise KeyboardInterrupt  # Nothing of the process is left.


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path)
    found.write(Record("id", OLD, NEW, "a", 100))
    return found


@pytest.fixture
def host(store: Store) -> Host:
    return Host(store)


def run(store: Store, host: Host, *, confirm_at: int | None = None) -> list[Phase]:
    """Run the guard on a clock that goes on by 10 with each wait; the phases it went through."""
    clock = [0]
    phases: list[Phase] = []

    def sleep(_seconds: float) -> None:
        clock[0] += 10
        if clock[0] == confirm_at:
            store.apply(ConfirmAsked(Moment("a", clock[0]), "id"))

    Runner(
        store,
        host,
        now=lambda: Moment("a", clock[0]),
        running=lambda: host.running,
        say=lambda record: phases.append(record.phase),
        sleep=sleep,
    ).run()
    return phases


def test_confirmed(store: Store, host: Host) -> None:
    phases = run(store, host, confirm_at=50)
    assert phases == [Phase.TESTING, Phase.WAITING, Phase.PERSISTING, Phase.CONFIRMED]
    assert host.done == ["test /new", "persist /new"]


def test_not_confirmed(store: Store, host: Host) -> None:
    assert run(store, host)[-1] is Phase.REVERTED
    assert host.done == ["test /new", "revert /old"]


def test_asked_to_go_back_while_it_switches(store: Store, host: Host) -> None:
    host.during_test = [RevertAsked(Moment("a", 0), None)]
    assert run(store, host)[-1] is Phase.REVERTED
    assert host.done == ["revert /old"]
    found = store.read()
    assert found is not None
    assert found.reason == "somebody asked for it"


def test_a_failing_way_back_ends_in_a_restart(store: Store, host: Host) -> None:
    host.fails = {"test /new": 1, "revert /old": 3}
    with pytest.raises(KeyboardInterrupt):
        run(store, host)
    assert host.done == ["test /new", *["revert /old"] * 3, "reboot"]


def test_a_way_back_that_fails_twice_is_one(store: Store, host: Host) -> None:
    host.fails = {"test /new": 1, "revert /old": 2}
    assert run(store, host)[-1] is Phase.REVERTED


def test_nothing_to_guard(tmp_path: Path) -> None:
    store = Store(tmp_path)
    host = Host(store)
    assert run(store, host) == []
    assert host.done == []


def test_a_full_disk_does_not_hold_up_the_way_back(
    store: Store, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = store.write

    def full(record: Record) -> None:
        if host.done:
            raise OSError(28, "No space left on device")
        write(record)

    monkeypatch.setattr(store, "write", full)
    host.fails = {"test /new": 1, "revert /old": 1}
    assert run(store, host)[-1] is Phase.REVERTED
    assert host.done == ["test /new", "revert /old", "revert /old"]
    # What nobody could write down would be done once more after a kill.
    found = Store(store._path.parent).read()
    assert found is not None
    assert found.phase is Phase.TESTING


def test_nothing_is_begun_that_cannot_be_written(
    store: Store, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_record: Record) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write", full)
    with pytest.raises(OSError, match="No space"):
        run(store, host)
    assert host.done == []


# -- programs ------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `running` and `boots` are links to systems; each switch sets them as NixOS does."""
    monkeypatch.setattr(system, "CURRENT", tmp_path / "running")
    monkeypatch.setattr(system, "PROFILE", tmp_path / "boots")
    for name in ("old", "new"):
        make(tmp_path, name)
    for link in ("running", "boots"):
        (tmp_path / link).symlink_to(tmp_path / "old")
    return tmp_path


def make(place: Path, name: str, extra: str = "") -> str:
    file = place / name / "bin" / "switch-to-configuration"
    file.parent.mkdir(parents=True, exist_ok=True)
    links = 'case $1 in test|switch) ln -sfn "$s" "$p/running";; esac\n'
    links += 'case $1 in boot|switch) ln -sfn "$s" "$p/boots";; esac\n'
    file.write_text(
        f'#!/bin/sh\ns={place}/{name}\np={place}\necho "$1" >> "$p/calls"\n{links}{extra}\n'
    )
    file.chmod(0o755)
    return str(place / name)


def systems(place: Path) -> tuple[str, str, list[str]]:
    calls = place / "calls"
    done = calls.read_text().split() if calls.exists() else []
    return Path(system.running_system()).name, Path(system.boot_default()).name, done


def test_a_switch_that_is_not_the_boot_default(place: Path) -> None:
    assert Machine(5).test(str(place / "new"), lambda: True) == ""
    assert systems(place) == ("new", "old", ["test"])


def test_what_runs_becomes_the_boot_default(place: Path) -> None:
    machine = Machine(5)
    machine.test(str(place / "new"), lambda: True)
    assert machine.persist(str(place / "new")) == ("", "")
    assert systems(place) == ("new", "new", ["test", "boot"])


def test_after_a_restart_a_confirmed_system_is_switched_to(place: Path) -> None:
    assert Machine(5).persist(str(place / "new")) == ("", "")
    assert systems(place) == ("new", "new", ["switch"])


def test_the_way_back_restores_the_boot_default_where_it_was_changed(place: Path) -> None:
    machine = Machine(5)
    machine.persist(str(place / "new"))
    assert machine.revert(str(place / "old")) == ("", "")
    assert systems(place) == ("old", "old", ["switch", "test", "boot"])
    assert machine.revert(str(place / "old")) == ("", "")
    assert systems(place)[2][3:] == ["test"]


def test_units_that_fail_do_not_hold_up_a_switch_that_happened(place: Path) -> None:
    old = make(place, "old", "exit 4")
    cause, note = Machine(5).revert(old)
    assert cause == ""
    assert "some of its units have failed" in note
    # Nor on the way there: whether the host does its work, fresh data show.
    assert Machine(5).test(old, lambda: True) == ""
    # Any other failure is one, and so is this where it did not switch.
    assert Machine(5).revert(make(place, "old", "exit 2"))[0].endswith("ended with 2")
    assert Machine(5).test(make(place, "old", "exit 2"), lambda: True).endswith("ended with 2")
    elsewhere = make(place, "elsewhere", f"ln -sfn {old} {system.CURRENT}; exit 4")
    assert Machine(5).test(elsewhere, lambda: True) == "switch-to-configuration ended with 4"


def test_what_takes_too_long_is_ended_with_its_children(place: Path) -> None:
    new = make(place, "new", f"(trap '' TERM; exec sleep 4715) & echo $! > {place}/child; wait")
    asked = iter([True] * 3)
    cause = Machine(5).test(new, lambda: next(asked, False))
    assert "took too long" in cause
    child = int((place / "child").read_text())
    end = time.monotonic() + 10
    while not ended(child):
        assert time.monotonic() < end, "a child of the switch outlives it"
        time.sleep(0.01)


def ended(process: int) -> bool:
    """Whether a process is dead; whoever adopted it may not have buried it yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_system_without_a_switch_is_a_cause(place: Path) -> None:
    assert "cannot be run" in Machine(5).test(str(place / "nowhere"), lambda: True)


# -- commands ------------------------------------------------------------------------------------


@pytest.fixture
def guarded(place: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The commands on this host; systemctl is a program that notes that it was called."""
    store = Store(place / "state")
    monkeypatch.setattr(command, "Store", lambda: store)
    programs = place / "programs"
    programs.mkdir()
    (place / "substate").write_text("exited")
    (programs / "systemctl").write_text(
        f'#!/bin/sh\necho "$*" >> {place}/systemctl\n[ "$1" != show ] || cat {place}/substate\n'
    )
    (programs / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return store


def guard(*arguments: str) -> tuple[int, str, str]:
    """Run `fieldline guard`; exit code, output, what an error says."""
    result = CliRunner().invoke(command.app, list(arguments))
    error = result.exception
    return result.exit_code, result.output, str(error) if isinstance(error, FieldlineError) else ""


def test_start_records_and_starts_the_unit(place: Path, guarded: Store) -> None:
    code, output, _ = guard("start", str(place / "new"), "--within", "10s", "--json")
    assert code == 0
    value = json.loads(output)
    assert (value["phase"], value["armed"]) == ("armed", True)
    assert value["old"] == str(place / "old")
    assert 9 < value["remaining_s"] <= 10
    assert (place / "systemctl").read_text() == "restart --no-block deploy-guard.service\n"
    found = guarded.read()
    assert found is not None
    assert found.boot == moment().boot
    # Another one is refused until this one is over.
    code, _, error = guard("start", str(place / "new"))
    assert (code, "Another switch is under guard" in error) == (1, True)
    assert len((place / "systemctl").read_text().splitlines()) == 1
    guarded.write(replace(found, phase=Phase.REVERTED))
    assert guard("start", str(place / "new"))[0] == 0


@pytest.mark.parametrize(("state", "calls"), [("exited", 2), ("running", 1)])
def test_a_switch_that_nobody_guards_is_taken_up(
    place: Path, guarded: Store, state: str, calls: int
) -> None:
    now = moment()
    with guarded.locked():
        guarded.write(Record("id", OLD, NEW, now.boot, now.ns - 1))
    (place / "substate").write_text(state)
    assert "Another switch is under guard" in guard("start", str(place / "new"))[2]
    asked = (place / "systemctl").read_text().splitlines()
    assert len(asked) == calls
    assert asked[-1].startswith("restart" if calls == 2 else "show")


@pytest.mark.usefixtures("guarded")
def test_start_refuses_what_has_no_way_back(place: Path) -> None:
    assert "is no system of this host" in guard("start", str(place / "nowhere"))[2]
    (place / "boots").unlink()
    (place / "boots").symlink_to(place / "new")
    assert "What would boot is not what runs" in guard("start", str(place / "new"))[2]
    (place / "running").unlink()
    assert "not known which system runs" in guard("start", str(place / "new"))[2]


def test_a_guard_that_cannot_be_started_leaves_nothing_armed(place: Path, guarded: Store) -> None:
    (place / "programs/systemctl").write_text("#!/bin/sh\necho no such unit >&2\nexit 5\n")
    code, _, error = guard("start", str(place / "new"))
    assert code == 1
    assert "Nothing was switched" in error
    assert "no such unit" in error
    found = guarded.read()
    assert found is not None
    assert found.final
    assert systems(place) == ("old", "old", [])


@pytest.mark.usefixtures("guarded")
def test_without_a_switch() -> None:
    assert "No switch was guarded" in guard("status")[1]
    assert json.loads(guard("status", "--json")[1])["armed"] is False
    assert (
        guard("confirm", "id")[2] == guard("revert")[2] == "No switch is under guard on this host."
    )


def test_confirm_and_revert_tell_the_end(guarded: Store) -> None:
    now = moment()
    ready = Record("id", OLD, NEW, now.boot, now.ns + 10**12, Phase.CONFIRMED)
    with guarded.locked():
        guarded.write(ready)
    assert guard("confirm", "id")[0] == 0
    assert "confirmed already" in guard("revert", "id")[2]
    guarded.write(replace(ready, phase=Phase.REVERTED, reason="why"))
    assert guard("revert", "id")[0] == 0
    assert "why" in guard("confirm", "id")[2]
    assert "reverted: why" in guard("status")[1]


def test_the_time_has_bounds() -> None:
    assert within_ns("5s") == 5 * 10**9
    assert within_ns("1h") == 3600 * 10**9
    for text in ("4s", "61min", "soon", "-5s"):
        with pytest.raises(BadParameter):
            within_ns(text)
