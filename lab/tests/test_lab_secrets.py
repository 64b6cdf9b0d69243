"""The hosts' secrets in a lab, with the real sops and age."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from fieldline.errors import FieldlineError
from fieldline_lab import secrets
from fieldline_lab.declaration import HostDeclaration, parse
from fieldline_lab.state import Store

HASH = "console-password-hash"


@pytest.fixture(scope="module")
def sops() -> str:
    try:
        return secrets.Tools.find().sops
    except FieldlineError as error:
        pytest.skip(f"{error.cause}: run `make prepare`")


def raw(**hosts: dict[str, str]) -> dict[str, Any]:
    return {
        "network": {"gateway": "192.168.0.1", "prefix": 24},
        "hosts": {
            name: {
                "address": "192.168.0.5",
                "prefix": 24,
                "units": {},
                "secrets": sorted(files),
                "secretFiles": files,
            }
            for name, files in hosts.items()
        },
    }


PLANT = raw(
    db={HASH: "shared.yaml", "a-token": "hosts/db.yaml", "opcua-x-password": "hosts/db.yaml"},
    opc={HASH: "shared.yaml"},
)


def host(name: str, value: dict[str, Any] = PLANT) -> HostDeclaration:
    return parse(value).hosts[name]


def given(name: str, sops: str, store: Store, folder: Path) -> dict[str, str]:
    """What the host finds in /run/secrets."""
    folder.mkdir(exist_ok=True)
    place = secrets.place(host(name), sops, store, folder)
    assert place.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o400}
    return {path.name: path.read_text() for path in place.iterdir()}


def test_each_host_is_given_its_own_with_its_own_key(sops: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "lab")
    notes: list[str] = []
    secrets.ensure(PLANT, sops, store, notes.append)
    assert [note.partition(" ")[0] for note in notes] == ["opcua-x-password"]
    assert store.secrets.stat().st_mode & 0o777 == 0o700
    db, opc = (given(name, sops, store, tmp_path / name) for name in ("db", "opc"))
    assert db.keys() == {HASH, "a-token", "opcua-x-password"}
    assert opc == {HASH: db[HASH]}
    for name in ("db", "opc"):
        key = secrets.key_file(store, name)
        assert key.relative_to(store.host(name)) == Path("var/lib/sops-nix/key.txt")
        assert key.stat().st_mode & 0o777 == 0o400
        assert key.parent.stat().st_mode & 0o777 == 0o700
    # It is really the host's own key: another one's opens nothing.
    secrets.key_file(store, "db").unlink()
    shutil.copyfile(secrets.key_file(store, "opc"), secrets.key_file(store, "db"))
    with pytest.raises(FieldlineError, match="not readable with this key"):
        given("db", sops, store, tmp_path / "db")


def test_again_nothing_is_run_and_nothing_changes(sops: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "lab")
    secrets.ensure(PLANT, sops, store, print)
    before = {path: path.stat().st_mtime_ns for path in store.folder.rglob("*") if path.is_file()}
    digests = [secrets.digest(store.secrets, PLANT["hosts"][name]) for name in ("db", "opc")]
    # No sops is needed to see that all is there.
    secrets.ensure(PLANT, "/nonexistent/sops", store, print)
    assert before == {
        path: path.stat().st_mtime_ns for path in store.folder.rglob("*") if path.is_file()
    }
    assert digests == [secrets.digest(store.secrets, PLANT["hosts"][n]) for n in ("db", "opc")]
    assert digests[0] != digests[1]


def test_plain_secrets_of_an_older_lab_are_taken_over(sops: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "lab")
    store.secrets.mkdir(parents=True)
    for name, value in (("a-token", "known-to-influxdb"), ("no-longer-wanted", "x")):
        (store.secrets / name).write_text(value)
        (store.secrets / name).chmod(0o400)
    notes: list[str] = []
    secrets.ensure(PLANT, sops, store, notes.append)
    assert "are encrypted" in notes[-1]
    assert given("db", sops, store, tmp_path / "db")["a-token"] == "known-to-influxdb"
    names = {path.name for path in store.secrets.iterdir()}
    assert names == {".sops.yaml", "admin-key.txt", "secrets"}
    secrets.ensure(PLANT, sops, store, notes.append)
    assert given("db", sops, store, tmp_path / "db")["a-token"] == "known-to-influxdb"


def test_a_new_secret_and_a_new_host_are_completed(sops: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "lab")
    secrets.ensure(raw(db={HASH: "hosts/db.yaml"}), sops, store, print)
    secrets.ensure(PLANT, sops, store, print)
    db = given("db", sops, store, tmp_path / "db")
    assert given("opc", sops, store, tmp_path / "opc") == {HASH: db[HASH]}


def test_what_cannot_be_used_says_how_to_begin_anew(sops: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "lab")
    secrets.ensure(PLANT, sops, store, print)
    (store.secrets / "admin-key.txt").unlink()
    with pytest.raises(FieldlineError, match="up --fresh"):
        secrets.ensure(PLANT, sops, store, print)


def test_a_secret_that_is_not_there_is_named(sops: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "lab")
    secrets.ensure(PLANT, sops, store, print)
    more = raw(db={**PLANT["hosts"]["db"]["secretFiles"], "b-token": "hosts/db.yaml"})
    with pytest.raises(FieldlineError, match="lacks its secret b-token"):
        secrets.place(host("db", more), sops, store, tmp_path)


def test_hosts_without_secrets_need_no_programs(tmp_path: Path) -> None:
    store = Store(tmp_path / "lab")
    secrets.ensure(raw(db={}), "/nonexistent/sops", store, print)
    assert not store.secrets.exists()
    assert list(secrets.place(HostDeclaration("db", "", 24), None, store, tmp_path).iterdir()) == []
