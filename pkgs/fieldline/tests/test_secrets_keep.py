"""Making and keeping the encrypted files, with the real sops and age."""

from __future__ import annotations

import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline.secrets import document, values
from fieldline.secrets.age import new_key, recipient_of
from fieldline.secrets.keep import ForeignError, Keeper, Request, console_hash_fits
from fieldline.secrets.readers import readers_of
from fieldline.secrets.sops import Sops, decrypt_with
from fieldline.secrets.tools import Tools

from .secrets_files import all_values, content, read

Plant = Callable[..., Keeper]

DB = "console-password-hash a-password b-token"
HASH = "console-password-hash"


def host_key(keeper: Keeper, host: str) -> str:
    return read(keeper, "admin.yaml")[f"host-key-{host}"]


def test_everything_is_made_for_whom_it_is_for(plant: Plant) -> None:
    keeper = plant(db=DB, opc=HASH)
    report = keeper.keep(Request())
    assert report.new_admin_key
    assert report.missing == []
    assert keeper.tree.files() == ["admin.yaml", "shared.yaml", "hosts/db.yaml", "hosts/opc.yaml"]
    assert set(read(keeper, "admin.yaml")) == {"console-password", "host-key-db", "host-key-opc"}
    assert set(read(keeper, "hosts/db.yaml")) == {"a-password", "b-token"}
    assert read(keeper, "hosts/opc.yaml") == {}
    assert re.fullmatch(r"[0-9a-f]{64}", read(keeper, "hosts/db.yaml")["a-password"])
    console = read(keeper, "admin.yaml")["console-password"]
    assert re.fullmatch(r"[a-z]{5}(-[a-z]{5}){4}", console)
    assert values.is_hash_of(keeper.tools, read(keeper, "shared.yaml")[HASH], console)
    assert not values.is_hash_of(keeper.tools, read(keeper, "shared.yaml")[HASH], console + "x")
    # What a host can read, and what it cannot.
    db, opc = host_key(keeper, "db"), host_key(keeper, "opc")
    path = keeper.tree.path
    assert decrypt_with(keeper.tools, path("hosts/db.yaml"), db).keys() == {"a-password", "b-token"}
    assert decrypt_with(keeper.tools, path("shared.yaml"), opc).keys() == {HASH}
    for key, file in ((opc, "hosts/db.yaml"), (db, "admin.yaml"), (db, "hosts/opc.yaml")):
        with pytest.raises(FieldlineError, match="not readable with this key"):
            decrypt_with(keeper.tools, path(file), key)


def test_no_value_is_plain_in_any_file(plant: Plant, tmp_path: Path) -> None:
    keeper = plant(db=DB, opc=HASH)
    keeper.keep(Request())
    found = all_values(keeper)
    assert len(found) == 6
    for name, data in content(tmp_path / "plant").items():
        for value in found.values():
            assert value.encode() not in data, name


def test_the_admin_s_key_is_for_its_owner_alone_and_never_overwritten(
    plant: Plant, tools: Tools
) -> None:
    keeper = plant(db=DB)
    keeper.key_file.parent.mkdir(mode=0o755)
    keeper.key_file.write_text(new_key(tools) + "\n")
    before = keeper.key_file.read_text()
    assert not keeper.keep(Request()).new_admin_key
    assert keeper.key_file.read_text() == before
    other = plant("deep/below/other.txt", db=DB)
    other.keep(Request(replace=True))
    assert stat.S_IMODE(other.key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(other.key_file.parent.stat().st_mode) == 0o700


def test_again_changes_nothing(plant: Plant, tmp_path: Path) -> None:
    keeper = plant(db=DB, opc=HASH)
    keeper.keep(Request())
    before = content(tmp_path / "plant")
    for request in (Request(), Request(prove=False), Request(drop=True)):
        report = keeper.keep(request)
        assert (report.changed, report.made, report.dropped) == ([], [], [])
    assert content(tmp_path / "plant") == before


def test_what_is_missing_is_completed_and_the_rest_stays(plant: Plant) -> None:
    keeper = plant(db=DB)
    keeper.keep(Request())
    before = keeper.tree.path("hosts/db.yaml").read_text().splitlines()
    old = all_values(keeper)
    keeper = plant(db=DB + " c-key", opc="d-password")
    report = keeper.keep(Request())
    assert report.made == ["c-key", "d-password", "host-key-opc"]
    assert {name: all_values(keeper)[name] for name in old} == old
    # Each other value's ciphertext is the same: a change is small in version control, too.
    after = keeper.tree.path("hosts/db.yaml").read_text().splitlines()
    assert [line for line in before if line.startswith(("a-", "b-"))] == [
        line for line in after if line.startswith(("a-", "b-"))
    ]


def test_a_value_moves_when_it_becomes_shared_and_back(plant: Plant) -> None:
    keeper = plant(db=DB)
    keeper.keep(Request())
    old = all_values(keeper)
    assert keeper.tree.files() == ["admin.yaml", "hosts/db.yaml"]
    keeper = plant(db=DB, opc=HASH)
    report = keeper.keep(Request())
    assert report.dropped == []
    assert read(keeper, "shared.yaml") == {HASH: old[HASH]}
    assert HASH not in read(keeper, "hosts/db.yaml")
    keeper = plant(db=DB)
    report = keeper.keep(Request(drop=True))
    assert report.dropped == ["hosts/opc.yaml", "shared.yaml", "host-key-opc"]
    assert all_values(keeper) == old


def test_files_of_somebody_else_are_left_alone_unless_they_are_to_be_replaced(
    plant: Plant, tmp_path: Path
) -> None:
    plant(db=DB, gone=HASH).keep(Request())
    before = content(tmp_path / "plant")
    other = plant("other.txt", db=DB, opc=HASH)
    with pytest.raises(ForeignError, match="init --replace"):
        other.keep(Request())
    assert not other.key_file.exists()
    other.key_file.write_text(new_key(other.tools) + "\n")
    for request in (Request(), Request(prove=False), Request(drop=True)):
        with pytest.raises(ForeignError, match="somebody else's"):
            other.keep(request)
    assert content(tmp_path / "plant") == before
    other.keep(Request(replace=True))
    assert "hosts/gone.yaml" not in other.tree.files()
    assert set(all_values(other)) >= {"a-password", HASH}
    with pytest.raises(ForeignError):
        plant(db=DB).keep(Request())


def test_a_given_value_is_asked_for_and_otherwise_named(plant: Plant) -> None:
    oven = "opcua-oven-password"
    keeper = plant(db=f"{DB} {oven}")
    for _ in range(2):
        report = keeper.keep(Request())
        assert report.missing == [oven]
        assert set(read(keeper, "hosts/db.yaml")) == {"a-password", "b-token", HASH}
    asked: list[str] = []

    def ask(name: str) -> str:
        asked.append(name)
        return "given by its owner"

    keeper = plant(ask=ask, db=f"{DB} {oven}")
    assert keeper.keep(Request()).missing == []
    assert asked == [oven]
    assert read(keeper, "hosts/db.yaml")[oven] == "given by its owner"
    keeper.keep(Request(provided={oven: "another"}))
    assert read(keeper, "hosts/db.yaml")[oven] == "another"


def test_new_values_change_what_follows_from_them_and_nothing_else(plant: Plant) -> None:
    keeper = plant(db=DB, opc=HASH)
    keeper.keep(Request())
    old = all_values(keeper)
    report = keeper.keep(Request(renew=frozenset({"a-password", "console-password"})))
    assert report.made == ["a-password", "console-password", HASH]
    assert report.changed == ["admin.yaml", "hosts/db.yaml", "shared.yaml"]
    new = all_values(keeper)
    assert {name for name in old if old[name] != new[name]} == set(report.made)
    assert values.is_hash_of(keeper.tools, new[HASH], new["console-password"])
    opener = Sops(keeper.tools, keeper.key_file)
    assert console_hash_fits(opener, keeper.tree)
    opener.set(keeper.tree.path("admin.yaml"), "console-password", "by hand")
    assert not console_hash_fits(opener, keeper.tree)


def test_a_client_certificate_is_made_for_its_key(plant: Plant, tools: Tools) -> None:
    names = "opcua-client-key opcua-client-certificate"
    keeper = plant(west=names)
    keeper.keep(Request())

    def public_key(program: str, text: str) -> str:
        argv = [tools.openssl, program, "-pubout" if program == "pkey" else "-pubkey", "-noout"]
        argv = [word for word in argv if (program, word) != ("pkey", "-noout")]
        return subprocess.run(
            argv, input=text, text=True, capture_output=True, check=True
        ).stdout.strip()

    found = read(keeper, "hosts/west.yaml")
    certificate = found["opcua-client-certificate"]
    assert public_key("x509", certificate) == public_key("pkey", found["opcua-client-key"])
    text = subprocess.run(
        [tools.openssl, "x509", "-noout", "-text"],
        input=certificate,
        text=True,
        capture_output=True,
        check=True,
    ).stdout
    assert "URI:urn:fieldline:collector" in text
    keeper.keep(Request(renew=frozenset({"opcua-client-key"})))
    new = read(keeper, "hosts/west.yaml")
    assert new["opcua-client-certificate"] != certificate
    assert public_key("x509", new["opcua-client-certificate"]) == public_key(
        "pkey", new["opcua-client-key"]
    )


def test_a_host_s_new_key_opens_and_its_old_one_does_not(plant: Plant) -> None:
    keeper = plant(db=DB, opc=HASH)
    keeper.keep(Request())
    old, opc = host_key(keeper, "db"), host_key(keeper, "opc")
    before = keeper.tree.path("hosts/opc.yaml").read_bytes()
    report = keeper.keep(Request(renew=frozenset({"host-key-db"})))
    assert report.made == ["host-key-db"]
    assert keeper.tree.path("hosts/opc.yaml").read_bytes() == before
    new = host_key(keeper, "db")
    assert new != old
    assert host_key(keeper, "opc") == opc
    for file in ("hosts/db.yaml", "shared.yaml"):
        assert decrypt_with(keeper.tools, keeper.tree.path(file), new)
        with pytest.raises(FieldlineError):
            decrypt_with(keeper.tools, keeper.tree.path(file), old)


def test_administrators_come_and_go(plant: Plant, tools: Tools) -> None:
    keeper = plant(db=DB)
    keeper.keep(Request())
    second = plant("second.txt", db=DB)
    key = new_key(tools)
    second.key_file.write_text(key + "\n")
    public = recipient_of(tools, key)
    keeper.keep(Request(recipients=(public,)))
    assert read(second, "admin.yaml") == read(keeper, "admin.yaml")
    assert keeper.keep(Request()).admins[1] == public
    data_key = keeper.tree.path("hosts/db.yaml").read_text().splitlines()[0]
    with pytest.raises(FieldlineError, match="Another administrator"):
        second.keep(Request(removed=(public,), drop=True))
    keeper.keep(Request(removed=(public,), drop=True))
    with pytest.raises(ForeignError):
        second.keep(Request())
    # Whoever was removed may have kept the old data key: it opens nothing any more.
    assert keeper.tree.path("hosts/db.yaml").read_text().splitlines()[0] != data_key
    with pytest.raises(FieldlineError, match="nothing to remove"):
        keeper.keep(Request(removed=(public,), drop=True))


def test_hosts_and_secrets_that_are_gone_go_when_it_is_asked_for(plant: Plant) -> None:
    plant(db=DB, opc=HASH, old="x-password").keep(Request())
    keeper = plant(db=f"{HASH} a-password", opc=HASH)
    # `init` only completes.
    assert keeper.keep(Request()).dropped == []
    assert "hosts/old.yaml" in keeper.tree.files()
    report = keeper.keep(Request(drop=True))
    assert report.dropped == ["hosts/old.yaml", "b-token", "host-key-old", "x-password"]
    assert keeper.tree.files() == ["admin.yaml", "shared.yaml", "hosts/db.yaml", "hosts/opc.yaml"]
    assert set(read(keeper, "hosts/db.yaml")) == {"a-password"}
    assert readers_of(keeper.tree).keys() == set(keeper.tree.files())


def test_who_reads_is_told_by_the_files_themselves(plant: Plant, tools: Tools) -> None:
    keeper = plant(db=DB, opc=HASH)
    with pytest.raises(FieldlineError, match="no secrets"):
        readers_of(keeper.tree)
    keeper.keep(Request())
    readers = {
        file: [r.rpartition(" ")[0] for r in rs] for file, rs in readers_of(keeper.tree).items()
    }
    assert readers == {
        "admin.yaml": ["admin"],
        "shared.yaml": ["admin", "host db", "host opc"],
        "hosts/db.yaml": ["admin", "host db"],
        "hosts/opc.yaml": ["admin", "host opc"],
    }
    path = keeper.tree.path("hosts/db.yaml")
    stranger = recipient_of(tools, new_key(tools))
    known = min(document.read(path).recipients)
    path.write_text(path.read_text().replace(known, stranger))
    assert f"unknown {stranger}" in readers_of(keeper.tree)["hosts/db.yaml"]


def test_no_value_is_in_an_argument_or_an_environment(plant: Plant, tmp_path: Path) -> None:
    """Every program that is called is recorded with its arguments and its environment."""
    log = tmp_path / "calls"
    keeper = plant(ask=lambda _: "the-owner-s-password", db=f"{DB} opcua-oven-password")
    recorded = {}
    for name in ("sops", "age_keygen", "openssl"):
        path = tmp_path / f"recorded-{name}"
        real = getattr(keeper.tools, name)
        path.write_text(f'#!/bin/sh\n{{ echo "{name} $*"; env; }} >> {log}\nexec {real} "$@"\n')
        path.chmod(0o755)
        recorded[name] = str(path)
    keeper.tools = Tools(**recorded)
    keeper.keep(Request())
    keeper.keep(Request(renew=frozenset({"a-password", "console-password", "host-key-db"})))
    found = all_values(keeper)
    text = log.read_text()
    assert text.count("sops ") > 8
    assert found["opcua-oven-password"] == "the-owner-s-password"
    for name, value in found.items():
        assert value not in text, name
    # The administrator's own key neither.
    assert "AGE-SECRET-KEY" not in text
