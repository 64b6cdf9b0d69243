"""The audit's pieces: what it finds in files, processes and access lists."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline.secrets.audit import acl, credentials, files, processes
from fieldline.secrets.audit.model import Needles, Result, Secret
from hypothesis import given
from hypothesis import strategies as st

VALUE = b"a-value-of-32-bytes-or-thereabout"
SECRET = Secret("a-password", "/run/secrets/a-password", VALUE)


def found(result: Result) -> list[tuple[str, str, str]]:
    return [(f.secret, f.where, f.what) for f in result.findings]


@given(st.binary(), st.binary())
def test_a_value_is_found_wherever_it_stands(before: bytes, after: bytes) -> None:
    assert Needles([SECRET]).found_in(before + VALUE + after) == {"a-password"}
    assert not Needles([SECRET]).found_in((before + after).replace(VALUE, b""))


def test_two_secrets_of_one_value_are_both_named() -> None:
    needles = Needles([SECRET, Secret("b-token", "/x", VALUE), Secret("short", "/y", b"abc")])
    assert needles.found_in(VALUE + b"abc") == {"a-password", "b-token"}
    assert needles.longest == len(VALUE)
    assert not Needles([Secret("short", "/y", b"abc")])


def test_secrets_are_read_and_must_be_roots_alone(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    with pytest.raises(FieldlineError, match="on a host of the plant"):
        files.read_secrets((folder,))
    (folder / "below").mkdir(parents=True)
    for name, value, mode in (
        ("good", VALUE + b"\n", 0o400),
        ("open", VALUE, 0o444),
        ("empty", b"\n", 0o400),
        ("short", b"1234", 0o400),
        ("below/deep", VALUE, 0o400),
    ):
        (folder / name).write_bytes(value)
        (folder / name).chmod(mode)
    secrets = files.read_secrets((folder, tmp_path / "absent"))
    assert {s.name: s.value for s in secrets}["good"] == VALUE
    findings = {f.secret: f.what for f in files.check_own_files(secrets)}
    mine = f"{os.getuid()}:{os.getgid()}"
    if os.geteuid() == 0:
        assert "good" not in findings
        assert "below/deep" not in findings
    else:
        assert findings["good"] == f"mode 0400 of {mine}, not 0400 of 0:0"
    assert findings["open"] == f"mode 0444 of {mine}, not 0400 of 0:0"
    assert findings["empty"] == "empty"
    assert "too short (4 bytes)" in findings["short"]
    assert VALUE.decode() not in repr(secrets)


def test_files_are_searched_by_who_may_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    etc, var, store = tmp_path / "etc", tmp_path / "var", tmp_path / "store"
    for folder in (etc, var / "open", var / "closed", store):
        folder.mkdir(parents=True)
    (var / "closed").chmod(0o700)
    for path, mode in (
        (etc / "private", 0o400),
        (var / "open" / "private", 0o600),
        (var / "open" / "readable", 0o644),
        (var / "closed" / "readable", 0o644),
        (store / "config", 0o444),
    ):
        path.write_bytes(b"password = " + VALUE)
        path.chmod(mode)
    (etc / "large").write_bytes(VALUE.ljust(files.LARGEST + 1))
    (etc / "link").symlink_to(var / "open" / "readable")
    (etc / "own").write_bytes(VALUE)
    monkeypatch.setattr(files, "NOWHERE", (etc,))
    monkeypatch.setattr(files, "NOT_FOR_ALL", (var, tmp_path / "absent"))
    monkeypatch.setattr(files, "_closure", lambda: [store, store / "config"])
    secret = Secret("a-password", str(etc / "own"), VALUE)
    result = Result()
    files.search_files([secret], [], result, lambda _: None)
    assert sorted(set(found(result))) == [
        ("a-password", str(etc / "private"), "a plain value"),
        ("a-password", str(store / "config"), "a plain value"),
        ("a-password", str(var / "open" / "readable"), "readable to every user"),
    ]
    # The console's hash belongs into the shadow file, and nothing else does.
    monkeypatch.setattr(files, "_SHADOW", {etc / "private"})
    for name, expected in (("console-password-hash", 2), ("a-password", 3)):
        result = Result()
        files.search_files([Secret(name, str(etc / "own"), VALUE)], [], result, lambda _: None)
        assert len(set(result.findings)) == expected


def test_a_host_without_nixos_has_its_system_s_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its machine may have Nix: the lab's hosts see /usr."""
    system = tmp_path / "systems" / "declared"
    system.mkdir(parents=True)
    link = tmp_path / "current-system"
    link.symlink_to(system)
    monkeypatch.setattr(files, "SYSTEM", link)
    assert files._closure() == [system]
    monkeypatch.setattr(files, "SYSTEM", tmp_path / "none")
    assert files._closure() == []


def test_packages_are_not_searched_and_what_is_made_for_a_host_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, count in (("package", files.PACKAGE_FILES), ("etc", files.PACKAGE_FILES - 1)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number}").write_bytes(VALUE)
    monkeypatch.setattr(files, "NOWHERE", ())
    monkeypatch.setattr(files, "NOT_FOR_ALL", ())
    monkeypatch.setattr(files, "_closure", lambda: [tmp_path / "package", tmp_path / "etc"])
    result = Result()
    files.search_files([Secret("a", "/run/secrets/a", VALUE)], [], result, lambda _: None)
    assert {Path(finding.where).parent.name for finding in result.findings} == {"etc"}


def test_arguments_and_environments_are_searched(tmp_path: Path) -> None:
    for number, arguments, environment in (
        ("1", b"init\0", b"A=b\0"),
        ("22", b"curl\0-u\0user:" + VALUE + b"\0", b""),
        ("333", b"sh\0", b"TOKEN=" + VALUE + b"\0"),
    ):
        folder = tmp_path / number
        folder.mkdir()
        (folder / "comm").write_text(f"name{number}\n")
        (folder / "cmdline").write_bytes(arguments)
        (folder / "environ").write_bytes(environment)
    (tmp_path / "4").mkdir()
    (tmp_path / "self").mkdir()
    result = Result()
    processes.search_processes(Needles([SECRET]), result, tmp_path)
    assert found(result) == [
        ("a-password", "process 22 (name22)", "in its arguments"),
        ("a-password", "process 333 (name333)", "in its environment"),
    ]
    assert result.processes == 3


@pytest.mark.parametrize("padding", [0, 5, processes._PIECE - 10, processes._PIECE])
def test_the_journal_is_searched_across_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, padding: int
) -> None:
    journal = tmp_path / "journal"
    program = tmp_path / "journalctl"
    program.write_text(f"#!/bin/sh\ncat {journal}\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for text, expected in ((VALUE, [("a-password", "the journal", "a plain value")]), (b"x", [])):
        journal.write_bytes(b"." * padding + text + b"." * 100)
        result = Result()
        processes.search_journal(Needles([SECRET]), result, lambda _: None)
        assert found(result) == expected


def entries(*rows: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)


NOBODY = 2**32 - 1


def test_an_access_list_says_who_reads() -> None:
    # As systemd makes it: root owns the file, the unit's user is let in.
    data = entries((1, 4, NOBODY), (2, 4, 403), (4, 0, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY))
    assert acl.parse(data, 0, 0) == acl.Readers(frozenset({0, 403}), frozenset(), False)
    wide = entries((1, 4, NOBODY), (2, 4, 403), (4, 4, NOBODY), (8, 4, 7), (32, 4, NOBODY))
    assert acl.parse(wide, 0, 5) == acl.Readers(frozenset({0, 403}), frozenset({5, 7}), True)
    masked = entries((1, 4, NOBODY), (2, 4, 403), (4, 4, NOBODY), (16, 0, NOBODY), (32, 0, NOBODY))
    assert acl.parse(masked, 0, 5) == acl.Readers(frozenset({0}), frozenset(), False)


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader_of_access_lists(data: bytes) -> None:
    try:
        acl.parse(data, 0, 0)
    except acl.AclError:
        assert data[:4] != struct.pack("<I", 2) or len(data) % 8 != 4 or len(data) > 4


@pytest.mark.parametrize(
    ("mode", "user", "wrong"),
    [
        (0o400, os.getuid(), []),
        (0o440, os.getuid(), [f"readable to group {os.getgid()}"] if os.getgid() else []),
        (0o404, os.getuid(), ["readable to every user"]),
        (0o400, os.getuid() + 1, ["not readable to the unit's user"]),
    ],
)
def test_credentials_are_for_the_units_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, user: int, wrong: list[str]
) -> None:
    path = tmp_path / "telegraf.service" / "a-token"
    path.parent.mkdir()
    path.write_bytes(VALUE)
    path.chmod(mode)
    monkeypatch.setattr(credentials, "unit_user", lambda _: user)
    result = Result()
    credentials.check_credentials(result, tmp_path)
    texts = [finding.what for finding in result.findings]
    if os.getuid() == 0 or user == os.getuid():
        assert len(texts) == len(wrong)
    for text in wrong:
        assert any(text in told for told in texts)
    assert result.credentials == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_a_credential_of_another_user_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "telegraf.service" / "a-token"
    path.parent.mkdir()
    path.write_bytes(VALUE)
    path.chmod(0o400)
    os.chown(path, 12345, 0)
    monkeypatch.setattr(credentials, "unit_user", lambda _: 403)
    result = Result()
    credentials.check_credentials(result, tmp_path)
    told = "; ".join(finding.what for finding in result.findings)
    assert "belongs to user 12345" in told
    assert "readable to user 12345" in told
    assert "not readable to the unit's user 403" in told
