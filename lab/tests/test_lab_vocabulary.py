"""The scenarios' vocabulary: what is in it, and what is not."""

import subprocess
import sys
from pathlib import Path

import pytest
from fieldline_lab.vocabulary import METHODS, VocabularyError, check_scenario, offences_in, stub

HOSTS = ["opc", "collector", "core-site"]
SCENARIOS = Path(__file__).resolve().parents[2] / "tests" / "scenarios"

RIGHT = [
    "start_all()",
    'opc.succeed("systemctl restart opc-server.service")',
    'core_site.succeed("fieldline verify --for 20s", "date +%s")',
    'opc.fail("test -e /x && cat /y | sort > /tmp/z 2>&1")',
    'opc.succeed("nft add rule inet fieldline input drop")',
    "opc.succeed(\"A=1 B='x y' env C=2 timeout 5 ls /; echo $(date +%s)\")",
    'opc.succeed("if test -e /a; then echo b; else false; fi")',
    'opc.succeed("while ! test -e /a; do sleep 1; done")',
    'opc.succeed(f"fieldline verify --since {since}")',
    'opc.succeed("echo a" + " b")',
    "opc.succeed(\"ssh-keygen -q -N '' -f /root/key && ssh -i /root/key anna@db sudo -n true\")",
    'opc.wait_for_open_port(4840, addr="192.168.0.5", timeout=10)',
    'opc.wait_until_succeeds("systemctl is-active x", timeout=3)',
    'for machine in [opc, collector]:\n    machine.crash()\n    machine.wait_for_unit("x")',
    'with subtest("open"):\n    opc.block()',
    'status, output = opc.execute("true", check_return=False)\nprint(status)',
    'opc.systemctl("list-units")',
    'log = opc.succeed("cat /x")\nprint(log.strip())',
]

WRONG = {
    'opc.screenshot("x")': "`opc.screenshot` is not in the vocabulary",
    'opc.copy_from_host("a", "b")': "`opc.copy_from_host`",
    "opc.shell_interact()": "`opc.shell_interact`",
    'core_site.send_key("x")': "`core_site.send_key`",
    "for machine in [opc]:\n    machine.crash()\n    machine.get_screen_text()": (
        "`machine.get_screen_text`"
    ),
    'opc.succeed("curl http://db")': "`curl`",
    'opc.succeed("ls | grep x")': "`grep`",
    'opc.succeed("A=1 jq .")': "`jq`",
    'opc.succeed("true && ip link")': "`ip`",
    'opc.succeed("echo $(hostname -I)")': "`hostname`",
    'opc.succeed("timeout 5 nc -z a 1")': "`nc`",
    'opc.succeed("ssh-keyscan db")': "`ssh-keyscan`",
    'opc.succeed("sudo -n true")': "`sudo`",
    'opc.succeed("/nix/store/abc/bin/x")': "`/nix/store/abc/bin/x`",
    'opc.succeed("if curl x; then true; fi")': "`curl`",
    'opc.succeed("echo `id`")': "$(…)",
    'opc.succeed("echo \'")': "no shell command",
    'opc.wait_until_succeeds(command="curl x")': "`curl`",
    'opc.succeed(f"{tool} x")': "`replaced`",
    "opc.succeed(command)": "written where it is used",
    'opc.succeed("true", retries=3)': "no argument retries",
    "import os": "only the prelude imports",
    "machines[0].start()": "`machines`",
    'driver.log("x")': "`driver`",
    'open("/etc/passwd")': "`open`",
    'exec("x")': "`exec`",
    "join_all()": "`join_all`",
    "opc.start(": "no Python",
}


@pytest.mark.parametrize("text", RIGHT)
def test_within(text: str) -> None:
    assert offences_in(text, HOSTS) == []


@pytest.mark.parametrize("text", WRONG)
def test_without(text: str) -> None:
    offences = offences_in(text, HOSTS)
    assert len(offences) == 1, offences
    assert WRONG[text] in offences[0].text


def test_lines_are_named(tmp_path: Path) -> None:
    path = tmp_path / "scenario.py"
    path.write_text('start_all()\n\nopc.reboot()\nopc.succeed("curl x")\n')
    with pytest.raises(VocabularyError) as caught:
        check_scenario(path, HOSTS)
    assert [offence.line for offence in caught.value.offences] == [3, 4]
    assert f"{path}:3: " in str(caught.value)


def test_the_prelude_imports_from_the_standard_library_only() -> None:
    assert offences_in("import json\nfrom datetime import datetime", HOSTS, prelude=True) == []
    (offence,) = offences_in("import numpy", HOSTS, prelude=True)
    assert "not in the standard library" in offence.text


def test_a_host_may_have_the_name_of_something_else() -> None:
    assert offences_in("log.start()", ["log"]) == []


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.py")), ids=lambda path: path.name)
def test_every_scenario_keeps_to_it(path: Path) -> None:
    # A host of the demonstration plant or of another site: names that methods are called on.
    check_scenario(path, ["opc", "collector", "db"], prelude=path.name == "prelude.py")


def _mypy(text: str, folder: Path) -> str:
    file = folder / "script.py"
    file.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", folder / "cache", file],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_the_stub_lets_mypy_find_mistakes(tmp_path: Path) -> None:
    right = 'core_site.start()\nwith subtest("x"):\n    print(opc.succeed("true").strip())\n'
    assert _mypy(stub(HOSTS) + right, tmp_path) == ""
    wrong = 'opc.succeed(3)\nopc.wait_for_open_port("80")\nopc.reboot()\n'
    output = _mypy(stub(HOSTS) + wrong, tmp_path)
    assert output.count("error:") == 3


def test_the_driver_has_every_method() -> None:
    from fieldline_lab.driver import Machine

    assert all(callable(getattr(Machine, name)) for name in METHODS)
    assert all(f"def {name}(" in stub(HOSTS) for name in METHODS)


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(SCENARIOS.glob("*.py")) if path.name != "prelude.py"],
    ids=lambda path: path.name,
)
def test_every_scenario_passes_the_drivers_type_check(path: Path, tmp_path: Path) -> None:
    prelude = (SCENARIOS / "prelude.py").read_text()
    text = stub(["opc", "collector", "db"]) + prelude + path.read_text()
    assert _mypy(text, tmp_path) == ""
