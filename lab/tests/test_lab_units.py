"""Unit files: what systemd reads back must be exactly what was declared."""

import shlex
import subprocess
import tempfile
from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline_lab.declaration import (
    HostDeclaration,
    PathUnit,
    Program,
    Unit,
    full_unit_name,
    parse,
)
from fieldline_lab.units import (
    NFTABLES_UNIT,
    command_line,
    expected_units,
    quote,
    render,
    render_path,
    unit_files,
    wanted,
)
from hypothesis import given, settings
from hypothesis import strategies as st


def _path(name: str) -> str:
    return f"/opt/fieldline/bin/{name}"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("a b", '"a b"'),
        ("100%", "100%%"),
        ("$HOME", "$$HOME"),
        ("${A}", "$${A}"),
        ('say "x"', '"say \\"x\\""'),
        ("it's", '"it\'s"'),
        ("a\\b", '"a\\\\b"'),
        ("a\nb", '"a\\nb"'),
        (";", '";"'),
        ("°C", "°C"),
        ("\x01", '"\\x01"'),
    ],
)
def test_an_argument_is_written_so_that_systemd_reads_it_back(text: str, written: str) -> None:
    assert quote(text, variables=True) == written


def test_a_variable_is_one_only_in_command_lines() -> None:
    assert quote("$A", variables=False) == "$A"


def test_a_nul_is_refused() -> None:
    with pytest.raises(FieldlineError, match="NUL"):
        quote("a\0b", variables=True)


def _read_back(written: str) -> str:
    """systemd's own rules, told again: quotes, C escapes, `%%` and `$$`."""
    if written.startswith('"'):
        written = written[1:-1]
        # Latin-1 keeps every byte apart; the escapes above 0x7f are not used.
        written = written.encode("latin-1", "backslashreplace").decode("unicode_escape")
    return written.replace("%%", "%").replace("$$", "$")


@given(st.text(st.characters(min_codepoint=1, max_codepoint=0x7E), max_size=30))
def test_any_argument_comes_back(text: str) -> None:
    assert _read_back(quote(text, variables=True)) == text


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)))
def test_systemd_accepts_every_command_line(arguments: list[str]) -> None:
    unit = Unit(
        "t", "T", Program("/bin/true", tuple(arguments)), environment={"A": "".join(arguments)}
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "t.service")
        file.write_text(render(unit, lambda program: program))
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", file],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "t.service" not in done.stderr


def test_a_credential_folder_stays_a_specifier() -> None:
    line = command_line(Program("fieldline", ("%d/a b", "x%d/y")), _path)
    assert line == '/opt/fieldline/bin/fieldline %d/"a b" x%%d/y'


@pytest.mark.parametrize("there", [True, False])
def test_a_program_is_left_out_while_a_file_is_there(tmp_path: Path, *, there: bool) -> None:
    done, mark = tmp_path / "done 50%", tmp_path / "$mark"
    if there:
        done.touch()
    line = command_line(Program("touch", (str(mark),), unless=str(done)), lambda _: "/bin/touch")
    words = shlex.split(line.replace("%%", "%").replace("$$", "$"))
    subprocess.run(words, check=True)
    assert mark.exists() is not there


UNIT = Unit(
    name="telegraf",
    description="100% Telegraf",
    command=Program("telegraf", ("--config", "/etc/telegraf/a b.toml")),
    pre_start=(Program("kafka-storage", ("format",)), Program("fieldline")),
    post_start=(Program("fieldline", ("ready", "kafka")),),
    after=("network-online.target", "apache-kafka.service"),
    wants=("network-online.target",),
    requires=("x.service",),
    wanted_by=("multi-user.target",),
    environment={"OPTS": '-Da="b c" 50% $X', "PLAIN": "1"},
    service_config={
        "DynamicUser": True,
        "SystemCallFilter": ["@system-service", "~@privileged"],
        "CapabilityBoundingSet": "",
        "RestartPreventExitStatus": 78,
        "LoadCredential": None,
    },
    unit_config={"StartLimitIntervalSec": 0},
    credentials={"token": "/run/secrets/token"},
)


def test_a_whole_unit() -> None:
    assert render(UNIT, _path) == (
        "[Unit]\n"
        "Description=100%% Telegraf\n"
        "After=network-online.target apache-kafka.service\n"
        "Wants=network-online.target\n"
        "Requires=x.service\n"
        "StartLimitIntervalSec=0\n"
        "\n"
        "[Service]\n"
        'Environment="OPTS=-Da=\\"b c\\" 50%% $X"\n'
        "Environment=PLAIN=1\n"
        "LoadCredential=token:/run/secrets/token\n"
        "ExecStartPre=/opt/fieldline/bin/kafka-storage format\n"
        "ExecStartPre=/opt/fieldline/bin/fieldline\n"
        'ExecStart=/opt/fieldline/bin/telegraf --config "/etc/telegraf/a b.toml"\n'
        "ExecStartPost=/opt/fieldline/bin/fieldline ready kafka\n"
        "CapabilityBoundingSet=\n"
        "DynamicUser=true\n"
        "RestartPreventExitStatus=78\n"
        "SystemCallFilter=@system-service\n"
        "SystemCallFilter=~@privileged\n"
    )


def test_a_setting_with_a_line_break_is_refused() -> None:
    unit = Unit("a", "A", Program("x"), service_config={"Type": "simple\nExecStart=/bin/evil"})
    with pytest.raises(FieldlineError, match="line break"):
        render(unit, _path)


def test_the_firewall_is_a_unit_of_its_own_where_there_are_rules() -> None:
    host = HostDeclaration("a", "192.168.0.5", 24, units={"telegraf": UNIT}, nftables="table x\n")
    assert unit_files(host, _path).keys() == {"telegraf.service", NFTABLES_UNIT}
    assert wanted(host) == {
        "multi-user.target": ["telegraf.service"],
        "sysinit.target": [NFTABLES_UNIT],
    }
    assert expected_units(host) == [NFTABLES_UNIT, "telegraf.service"]
    bare = HostDeclaration("a", "192.168.0.5", 24)
    assert unit_files(bare, _path) == {}
    assert expected_units(bare) == []


WATCHED = PathUnit("heal", "A wish of 100%", ("multi-user.target",), {"PathChanged": "/run/a/wish"})


def test_a_path_unit_watches_for_the_service_of_its_name() -> None:
    assert render_path(WATCHED) == (
        "[Unit]\nDescription=A wish of 100%%\n\n[Path]\nPathChanged=/run/a/wish\n"
    )
    heal = Unit("heal", "Heals", Program("x"))
    host = HostDeclaration("a", "192.168.0.5", 24, units={"heal": heal}, paths={"heal": WATCHED})
    assert unit_files(host, _path).keys() == {"heal.service", "heal.path"}
    assert wanted(host) == {"multi-user.target": ["heal.path"]}
    # The service itself runs when it is wished for.
    assert expected_units(host) == ["heal.path"]


def test_a_condition_stands_before_everything_that_is_started() -> None:
    unit = Unit("a", "A", Program("x"), (Program("test", ("-e", "/x")),), (Program("pre"),))
    lines = [line for line in render(unit, _path).splitlines() if line.startswith("Exec")]
    assert lines == [
        "ExecCondition=/opt/fieldline/bin/test -e /x",
        "ExecStartPre=/opt/fieldline/bin/pre",
        "ExecStart=/opt/fieldline/bin/x",
    ]
    assert {program.program for program in unit.programs} == {"x", "test", "pre"}


def test_paths_and_conditions_are_read() -> None:
    unit = {"command": {"program": "x"}, "conditions": [{"program": "y", "arguments": ["-v"]}]}
    path = {"description": "P", "pathConfig": {"PathChanged": "/a"}, "wantedBy": ["t.target"]}
    host = {"address": "192.168.0.5", "prefix": 24, "units": {"u": unit}, "paths": {"p": path}}
    network = {"gateway": "192.168.0.1", "prefix": 24}
    read = parse({"hosts": {"a": host}, "network": network}).hosts["a"]
    assert read.units["u"].conditions == (Program("y", ("-v",)),)
    assert read.paths["p"] == PathUnit("p", "P", ("t.target",), {"PathChanged": "/a"})


def test_unit_names() -> None:
    assert full_unit_name("telegraf") == "telegraf.service"
    assert full_unit_name("network-online.target") == "network-online.target"
    assert full_unit_name("my.own") == "my.own.service"


def test_a_shell_agrees_on_words_without_specifiers() -> None:
    line = command_line(Program("x", ("a b", 'c"d', "e\\f")), _path)
    assert shlex.split(line) == [_path("x"), "a b", 'c"d', "e\\f"]
