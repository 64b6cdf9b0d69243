"""The parts of `fieldline deploy` that ask nobody: hosts, facts, command lines of ssh and Nix."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fieldline.deploy import nix
from fieldline.deploy.facts import cannot_go_back, check_backup, metadata_version, parse_facts
from fieldline.deploy.remote import NO_CONNECTION, Answer, Ssh
from fieldline.deploy.target import database, find_target
from fieldline.errors import FieldlineError
from fieldline.site import Site, check_text
from hypothesis import given
from hypothesis import strategies as st

TEXT = (Path(__file__).parents[3] / "site.toml").read_text()
SITE = check_text(TEXT.encode(), "site.toml")


def other(old: str, new: str) -> Site:
    assert old in TEXT
    return check_text(TEXT.replace(old, new).encode(), "site.toml")


@pytest.mark.parametrize(
    ("text", "platform", "configuration"),
    [
        ("db", None, "db@vbox"),
        ("db@vbox", None, "db@vbox"),
        ("db", "vbox", "db@vbox"),
        ("opc@raspberry", None, "opc@raspberry"),
        ("opc@vbox", "vbox", "opc@vbox"),
        ("opc", "raspberry", "opc@raspberry"),
    ],
)
def test_a_host_and_its_platform(text: str, platform: str | None, configuration: str) -> None:
    assert find_target(SITE, text, platform).configuration == configuration


@pytest.mark.parametrize(
    ("text", "platform", "message"),
    [
        ("gamma", None, "The hosts are: collector, db, opc"),
        ("", None, "is no host"),
        ("opc", None, "raspberry, vbox; say which, such as opc@raspberry"),
        ("db@raspberry", None, '"raspberry" is no platform of db, which has: vbox'),
        ("opc@vbox", "raspberry", "Two platforms are named"),
    ],
)
def test_a_host_that_is_not_meant(text: str, platform: str | None, message: str) -> None:
    with pytest.raises(FieldlineError) as refused:
        find_target(SITE, text, platform)
    assert message in str(refused.value)


def test_who_logs_in_and_where_data_arrive() -> None:
    assert SITE.only_admin == "admin"
    key = 'anna = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"]'
    assert other("[admins]", f"[admins]\n{key}").only_admin is None
    found = database(SITE)
    assert found is not None
    assert found.name == "db"


def test_the_declared_time() -> None:
    assert SITE.deploy.within_ms == 180_000
    assert (
        other("[collection]", '[deploy]\nwithin = "30s"\n\n[collection]').deploy.within_ms == 30_000
    )


# -- what cannot be gone back from ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ({}, {}, None),
        ({}, {"schema": 1}, None),
        ({"kafka_metadata": "4.1"}, {}, None),
        ({"kafka_metadata": "4.1"}, {"kafka_metadata": "4.1"}, None),
        ({"kafka_metadata": "4.1"}, {"kafka_metadata": "4.0"}, None),
        ({"kafka_metadata": "4.10"}, {"kafka_metadata": "4.9"}, None),
        ({"kafka_metadata": "4.0"}, {"kafka_metadata": "4.1-IV0"}, "from 4.0 to 4.1-IV0"),
        ({"kafka_metadata": "4.9"}, {"kafka_metadata": "4.10"}, "from 4.9 to 4.10"),
        ({"kafka_metadata": "4.1-IV1"}, {"kafka_metadata": "4.1"}, "from 4.1-IV1 to 4.1"),
        ({}, {"kafka_metadata": "4.1"}, "from an unknown version to 4.1"),
        ({"kafka_metadata": "?"}, {"kafka_metadata": "4.1"}, "from ? to 4.1"),
    ],
)
def test_kafkas_metadata(old: dict[str, str], new: dict[str, str], why: str | None) -> None:
    found = cannot_go_back(old, new)
    assert found == why or (found is not None and why is not None and why in found)


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(FieldlineError, match="names no metadata version"):
        cannot_go_back({}, {"kafka_metadata": "four"})


@given(st.lists(st.integers(0, 9999), min_size=2, max_size=3))
def test_versions_are_ordered_by_their_numbers(numbers: list[int]) -> None:
    text = f"{numbers[0]}.{numbers[1]}" + (f"-IV{numbers[2]}" if len(numbers) == 3 else "")
    higher = metadata_version(
        f"{numbers[0]}.{numbers[1] + 1}" if numbers[1] < 9999 else "9999.9999"
    )
    version = metadata_version(text)
    assert version is not None
    assert higher is not None
    assert version <= higher


def test_facts_are_read_or_refused() -> None:
    assert parse_facts("", "x") == {}
    assert parse_facts('{"schema": 1}\n', "x") == {"schema": 1}
    for text in ("{", "[]", '"x"', "1"):
        with pytest.raises(FieldlineError, match="x "):
            parse_facts(text, "x")


def test_only_a_fresh_archive_will_do(tmp_path: Path) -> None:
    archive = tmp_path / "backup.tar"
    archive.write_bytes(b"data")
    hour, now = 3600, archive.stat().st_mtime
    check_backup(archive, "why", "db", now)
    check_backup(archive, "why", "db", now + 24 * hour)
    empty = tmp_path / "empty.tar"
    empty.touch()
    wrong = {
        "No such file": (tmp_path / "none.tar", now),
        "is no file": (tmp_path, now),
        "is empty": (empty, now),
        "is 25 h old": (archive, now + 25 * hour),
        "from the future": (archive, now - hour),
    }
    os.utime(empty, (now, now))
    os.utime(tmp_path, (now, now))
    for problem, (file, at) in wrong.items():
        with pytest.raises(FieldlineError) as refused:
            check_backup(file, "why", "db", at)
        assert problem in refused.value.cause
        assert "--backup FILE" in refused.value.what_to_do
    with pytest.raises(FieldlineError, match="why"):
        check_backup(None, "why", "db")


# -- ssh and Nix ----------------------------------------------------------------------------------


def test_ssh_is_told_what_was_said_and_nothing_else() -> None:
    assert Ssh("192.168.0.5").destination == "192.168.0.5"
    whole = Ssh("192.168.0.5", "anna", "/keys/anna", 2222)
    assert whole.destination == "anna@192.168.0.5"
    assert whole.options()[-6:] == ["-i", "/keys/anna", "-o", "IdentitiesOnly=yes", "-p", "2222"]
    # Nothing is asked, and no connection from before is used.
    assert {"BatchMode=yes", "ControlPath=none"} <= set(whole.options())


def test_a_host_is_known_by_its_key_at_another_address_too() -> None:
    ssh = Ssh("10.0.0.9", "anna")
    assert ssh.at("10.0.0.9") is ssh
    assert "HostKeyAlias=10.0.0.9" in ssh.at("192.168.0.5").options()
    moved = Ssh("10.0.0.9", port=2222).at("192.168.0.5")
    assert "HostKeyAlias=[10.0.0.9]:2222" in moved.options()


def test_ssh_runs_words_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ssh"
    # As sshd does: the last argument is given to a shell.
    program.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nexec sh -c "$3"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    answer = Ssh("host").run(["printf", "%s|", "a b", "$HOME", "it's", ";"])
    assert (answer.code, answer.output) == (0, "a b|$HOME|it's|;|")
    assert not Ssh("host").run(["exit", str(NO_CONNECTION)]).reached
    late = Ssh("host").run(["sleep", "10"], timeout=0.2)
    assert not late.reached
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(FieldlineError, match="ssh is missing"):
        Ssh("host").run(["true"])


def test_an_answer_is_json_or_none() -> None:
    assert Answer(0, '{"a": 1}', "").json() == {"a": 1}
    assert Answer(0, "[1]", "").json() is None
    assert Answer(0, "Welcome!", "").json() is None


def test_nix_builds_and_copies_as_nixos_rebuild_does() -> None:
    build = nix.build_command(".", "opc@raspberry")
    attribute = '.#nixosConfigurations."opc@raspberry".config.system.build.toplevel'
    assert build[-4:] == ["build", "--no-link", "--json", attribute]
    ssh = Ssh("fd00::5", "anna", "/a key", 2222)
    assert nix.copy_command(ssh, "/nix/store/x")[-5:] == [
        *("copy", "--no-check-sigs", "--to", "ssh-ng://anna@[fd00::5]", "/nix/store/x")
    ]
    options = nix.copy_environment(ssh)["NIX_SSHOPTS"]
    assert "-i '/a key'" in options
    assert "-p 2222" in options


def test_nix_is_run_and_its_failures_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nix"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FieldlineError, match="not on PATH"):
        nix.build(".", "db@vbox")
    built = '[{"drvPath": "/nix/store/a.drv", "outputs": {"out": "/nix/store/a-nixos-system-db"}}]'
    program.write_text(f"#!/bin/sh\necho '{built}'\n")
    program.chmod(0o755)
    assert nix.build(".", "db@vbox") == "/nix/store/a-nixos-system-db"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(FieldlineError, match="no path of a system"):
        nix.build(".", "db@vbox")
    program.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(FieldlineError, match="the build failed"):
        nix.build(".", "db@vbox")
    with pytest.raises(FieldlineError, match="the copy failed"):
        nix.copy(Ssh("host"), "/nix/store/x")
