"""A lab that was interrupted or killed, anywhere, hinders nobody."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fieldline_lab import sweep
from fieldline_lab.cgroup import Cgroup
from fieldline_lab.lab import Lab
from fieldline_lab.lock import LabLock
from fieldline_lab.names import LabNames
from traces import nothing, traces, wait_for
from worktree import SECONDS, WorkTree, declaration, python, unit

Condition = Callable[[LabNames], bool]

# Moments of `up`, one after the other, as the machine shows them.
MOMENTS: dict[str, Condition] = {
    "the lock is taken": lambda names: names.lock.exists(),
    "the folder is there": lambda names: names.runtime.exists(),
    "the bridge is there": lambda names: Path("/run/netns", names.bridge).exists(),
    "a host has its folder": lambda names: (names.runtime / "hosts" / "alpha").exists(),
    "a host has its network": lambda names: Path("/run/netns", names.namespace("alpha")).exists(),
    "a host has its group": lambda names: Cgroup(names.cgroup("alpha")).path.exists(),
    "a host runs": lambda names: Cgroup(names.cgroup("alpha")).populated,
    "another host has its network": lambda names: Path(
        "/run/netns", names.namespace("beta-two")
    ).exists(),
    "all hosts run": lambda names: Cgroup(names.cgroup("beta-two")).populated,
    "the hosts are recorded": lambda names: (names.runtime / "plan.json").exists(),
}
each_moment = pytest.mark.parametrize("moment", MOMENTS)


def _endless(tree: WorkTree) -> None:
    """Declare a unit that never becomes ready, so that `up` is still there at every moment."""

    def change(value: dict) -> None:  # type: ignore[type-arg]
        value["hosts"]["beta-two"]["units"]["slow"] = unit(
            python("import signal; signal.pause()"),
            serviceConfig={"Type": "notify", "TimeoutStartSec": "infinity"},
        )

    tree.change(change)


def _started(tree: WorkTree, moment: str) -> "subprocess.Popen[str]":
    process = tree.start("up")
    wait_for(moment, lambda: MOMENTS[moment](tree.names()) or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]
    return process


@each_moment
def test_after_a_kill_the_next_up_works(tree: WorkTree, moment: str) -> None:
    _endless(tree)
    process = _started(tree, moment)
    # The command alone: what it has started goes on, as it would.
    process.kill()
    process.wait()
    tree.declare(declaration())
    done = tree.cli("up", "--restart")
    assert done.returncode == 0, done.stderr
    assert tree.cli("status").returncode == 0
    assert tree.cli("down").returncode == 0
    assert traces(tree.names()) == nothing(tree.names())


@each_moment
def test_after_a_kill_down_removes_everything(tree: WorkTree, moment: str) -> None:
    _endless(tree)
    process = _started(tree, moment)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert tree.cli("down").returncode == 0
    assert traces(tree.names()) == nothing(tree.names())


@each_moment
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_ctrl_c_removes_what_was_started(
    tree: WorkTree, moment: str, number: signal.Signals, code: int
) -> None:
    _endless(tree)
    process = _started(tree, moment)
    os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == code, output
    assert "Traceback" not in output
    assert traces(tree.names()) == nothing(tree.names())


def test_ctrl_c_while_preparing(tree: WorkTree) -> None:
    # An evaluation that never ends.
    (tree.path / "lib" / "default.nix").write_text(
        "{ site }: { lab = builtins.readFile /dev/stdin; }"
    )
    fifo = tree.path / "lib" / "fifo"
    os.mkfifo(fifo)
    (tree.path / "lib" / "default.nix").write_text("{ site }: builtins.readFile ./fifo")
    process = tree.start("up")
    # Opening it for writing waits for the reader.
    with fifo.open("w"):
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, output
    assert "Traceback" not in output


def test_ctrl_c_of_a_second_up_leaves_the_first_ones_lab(tree: WorkTree) -> None:
    _endless(tree)
    first = _started(tree, "the hosts are recorded")
    second = tree.start("up")
    assert second.stdout is not None
    # It has nothing to boot, and waits for the same unit.
    for line in second.stdout:
        if "waiting for" in line:
            break
    os.killpg(second.pid, signal.SIGINT)
    second.communicate(timeout=SECONDS)
    assert second.returncode == 130
    assert sweep.running(tree.names()) == ["alpha", "beta-two"]
    os.killpg(first.pid, signal.SIGINT)
    first.communicate(timeout=SECONDS)
    assert first.returncode == 130


def test_two_ups_at_once_make_one_lab(tree: WorkTree) -> None:
    processes = [tree.start("up") for _ in range(3)]
    outputs = [process.communicate(timeout=SECONDS)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert sum("Up after" in output for output in outputs) == 1
    assert sum("was up already" in output for output in outputs) == 2


def test_who_waits_for_the_lock_says_for_whom(tree: WorkTree) -> None:
    with LabLock(tree.names().lock).hold():
        process = tree.start("up")
        assert process.stdout is not None
        for line in process.stdout:
            if "Waiting for another command" in line:
                break
        assert f"process {os.getpid()}" in line
    process.communicate(timeout=SECONDS)
    assert process.returncode == 0


def test_the_supervisor_killed_from_outside(tree: WorkTree) -> None:
    """systemd-nspawn itself killed: the host is gone, and comes up again."""
    tree.cli("up")
    names = tree.names()
    group = Cgroup(names.cgroup("alpha"))
    supervisor = Cgroup(names.cgroup("alpha", "supervisor"))
    for process in supervisor.processes():
        os.kill(process, signal.SIGKILL)
    # Its process 1 may live on without it; the group tells.
    assert tree.cli("down").returncode == 0
    assert not group.populated
    assert tree.cli("up").returncode == 0


def test_the_lab_survives_the_end_of_its_command_and_of_its_group(tree: WorkTree) -> None:
    process = tree.start("up")
    process.communicate(timeout=SECONDS)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, signal.SIGHUP)
    lab = Lab.running(tree.names())
    assert all(host.running for host in lab.hosts.values())


def test_a_host_that_reboots_by_itself_is_off(tree: WorkTree) -> None:
    """As in the NixOS test driver, whose machines end at a reboot."""
    tree.cli("up")
    lab = Lab.running(tree.names())
    alpha = lab.hosts["alpha"]
    alpha.exec(["systemctl", "reboot"])
    wait_for("the host is off", lambda: not alpha.running)
    alpha.boot()
    lab.wait(["alpha"])
