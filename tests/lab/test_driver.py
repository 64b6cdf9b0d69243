"""The NixOS test driver's vocabulary on lab hosts."""

import time
from pathlib import Path

import pytest
from fieldline_lab.driver import Machine, ScenarioError, run_scenario, scenario_globals
from fieldline_lab.lab import Lab
from fieldline_lab.vocabulary import VocabularyError
from worktree import OPEN_PORT, WorkTree


@pytest.fixture
def alpha(lab: Lab) -> Machine:
    machine = Machine(lab, lab.hosts["alpha"])
    machine.start()
    machine.wait_for_unit("server")
    return machine


def test_commands(alpha: Machine) -> None:
    assert alpha.succeed("echo a", "echo b") == "a\nb\n"
    with pytest.raises(ScenarioError, match=r"`false \| true` failed \(1\)"):
        # As in the driver: with pipefail, and stopping at the first failure.
        alpha.succeed("false | true")
    with pytest.raises(ScenarioError):
        alpha.succeed("false; true")
    with pytest.raises(ScenarioError):
        alpha.succeed("echo $undefined")
    alpha.fail("exit 3")
    with pytest.raises(ScenarioError, match="unexpectedly succeeded"):
        alpha.fail("true")
    assert alpha.execute("echo out; echo err >&2; exit 4") == (4, "out\n")
    assert alpha.execute("exit 4", check_return=False)[0] == -1
    assert alpha.execute("sleep 60", timeout=1)[0] == 124


def test_waiting_for_commands(alpha: Machine) -> None:
    alpha.succeed("rm -f /tmp/there")
    alpha.succeed("(sleep 0.3; touch /tmp/there) >/dev/null 2>&1 &")
    alpha.wait_for_file("/tmp/there")
    assert alpha.wait_until_succeeds("echo yes") == "yes\n"
    alpha.wait_until_fails("test -e /tmp/never")
    with pytest.raises(ScenarioError, match="never succeeded"):
        alpha.wait_until_succeeds("test -e /tmp/never", timeout=1)


def test_units(alpha: Machine) -> None:
    alpha.wait_for_unit("server.service")
    alpha.succeed("systemd-run --unit=doomed /bin/false")
    began = time.monotonic()
    with pytest.raises(ScenarioError, match='reached state "failed"'):
        alpha.wait_for_unit("doomed")
    with pytest.raises(ScenarioError, match="no pending jobs"):
        alpha.wait_for_unit("no-such-unit")
    assert time.monotonic() - began < 10
    assert alpha.systemctl("is-active server") == (0, "active\n")
    alpha.succeed("systemctl reset-failed doomed.service")


def test_ports(lab: Lab, alpha: Machine) -> None:
    alpha.wait_for_open_port(OPEN_PORT)
    beta = Machine(lab, lab.hosts["beta-two"])
    beta.start()
    beta.wait_for_open_port(OPEN_PORT, addr="alpha")
    with pytest.raises(ScenarioError, match="nothing listens"):
        alpha.wait_for_open_port(9, timeout=1)


def test_power(lab: Lab, alpha: Machine) -> None:
    alpha.crash()
    assert not lab.hosts["alpha"].running
    alpha.start()
    alpha.wait_for_unit("server")
    alpha.shutdown()
    assert not lab.hosts["alpha"].running
    # The driver starts a machine when it is talked to.
    assert alpha.succeed("echo on") == "on\n"
    leader = lab.hosts["alpha"].leader()
    alpha.start()
    assert lab.hosts["alpha"].leader() == leader


def test_a_scenario_runs_with_its_prelude(tmp_path: Path, tree: WorkTree) -> None:
    (tmp_path / "prelude.py").write_text(
        "import json\n\n\ndef both() -> list:\n    return [alpha, beta_two]\n"
    )
    scenario = tmp_path / "scenario.py"
    scenario.write_text(
        "start_all()\n"
        "for machine in both():\n"
        '    with subtest("a host is up"):\n'
        '        machine.wait_for_unit("multi-user.target")\n'
        "alpha.block()\n"
        f'beta_two.fail("timeout 1 cat < /dev/tcp/alpha/{OPEN_PORT}")\n'
        "alpha.unblock()\n"
        f'beta_two.wait_for_open_port({OPEN_PORT}, addr="alpha")\n'
        'assert alpha.succeed("cat /var/lib/server/starts") == "x"\n'
    )
    lab = Lab.from_worktree(tree.path)
    said: list[str] = []
    # Twice: each begins without data.
    run_scenario(scenario, lab, say=said.append)
    run_scenario(scenario, lab, say=said.append)
    assert sum("passed after" in text for text in said) == 4


def test_a_failure_names_its_subtest_file_and_line(tmp_path: Path, tree: WorkTree) -> None:
    scenario = tmp_path / "scenario.py"
    scenario.write_text('with subtest("the third"):\n    alpha.succeed("false")\n')
    said: list[str] = []
    with pytest.raises(ScenarioError) as caught:
        run_scenario(scenario, Lab.from_worktree(tree.path), say=said.append)
    assert caught.value.__notes__ == ["in the subtest: the third"]
    assert any(str(scenario) in str(entry.path) for entry in caught.traceback)


def test_a_scenario_out_of_the_vocabulary_is_not_run(tmp_path: Path, tree: WorkTree) -> None:
    scenario = tmp_path / "scenario.py"
    scenario.write_text('alpha.succeed("touch /tmp/x")\nalpha.screenshot("x")\n')
    with pytest.raises(VocabularyError, match=r"scenario.py:2: `alpha.screenshot`"):
        run_scenario(scenario, Lab.from_worktree(tree.path))
    assert not tree.names().runtime.exists()


def test_globals_have_python_names(lab: Lab) -> None:
    assert {"alpha", "beta_two", "start_all", "subtest"} <= scenario_globals(lab).keys()
