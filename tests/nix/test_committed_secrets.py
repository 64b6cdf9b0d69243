"""The secrets in this repository: the demonstration's, which nobody opens, and the fixture's."""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fieldline.errors import FieldlineError
from fieldline.evaluate import evaluate
from fieldline.secrets.age import KEY, is_recipient, recipient_of
from fieldline.secrets.sops import Sops, decrypt_with
from fieldline.secrets.tools import Tools
from fieldline.secrets.tree import Tree
from fieldline.secrets.values import is_hash_of
from fieldline.secrets.wanted import Wanted

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tests" / "fixtures" / "secrets"
ADMIN_KEY = FIXTURE / "admin-key.txt"
DEMONSTRATION = Tree(ROOT)
PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{60}")

# The scenarios' administrator, whom appliances refuse too (modules/base.nix).
SCENARIO = ROOT / "tests/scenarios/base.py"


@cache
def wanted() -> Wanted:
    return Wanted.of(evaluate(ROOT / "lib", ROOT / "site.toml"))


@pytest.fixture(scope="module")
def tools() -> Tools:
    try:
        return Tools.find()
    except FieldlineError as error:
        pytest.skip(f"{error.cause}: run `make prepare`")


def tracked() -> list[Path]:
    """The files of the repository; without git, all that are not somebody's own."""
    argv = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split("\0") if name]


def test_no_private_key_is_in_the_repository_but_the_tests_own() -> None:
    found = []
    for path in tracked():
        if not path.is_file():
            continue
        text = path.read_text(errors="replace")
        if KEY.search(text) or PEM.search(text):
            found.append(path)
    assert sorted(found) == sorted([ADMIN_KEY, SCENARIO])


@pytest.mark.parametrize("folder", [ROOT, FIXTURE], ids=["demonstration", "fixture"])
def test_the_files_are_encrypted_and_cover_what_lib_wants(folder: Path) -> None:
    """How to renew them is in docs/secrets.md."""
    tree = Tree(folder)
    documents = tree.documents()
    expected = {file: set(names) for file, names in wanted().files().items()}
    expected["admin.yaml"] = {"console-password", *(f"host-key-{h}" for h in wanted().hosts)}
    assert {file: set(document.names) for file, document in documents.items()} == expected
    rules = tree.rules()
    assert rules is not None
    assert rules.hosts.keys() == wanted().hosts.keys()
    assert rules.sharing == wanted().sharing
    assert {file: document.recipients for file, document in documents.items()} == {
        file: frozenset(keys) for file, keys in rules.recipients().items()
    }


def test_nobody_opens_the_demonstration(tools: Tools) -> None:
    keys = [*KEY.findall(ADMIN_KEY.read_text())]
    admin = Sops(tools, ADMIN_KEY).decrypt(Tree(FIXTURE).path("admin.yaml"))
    keys += [value for name, value in admin.items() if name.startswith("host-key-")]
    assert len(keys) == 1 + len(wanted().hosts)
    public = {recipient_of(tools, key) for key in keys}
    for file, document in DEMONSTRATION.documents().items():
        assert not document.recipients & public
        for key in keys:
            with pytest.raises(FieldlineError, match="not readable"):
                decrypt_with(tools, DEMONSTRATION.path(file), key)


def test_everybody_opens_the_fixture_and_its_readers_are_listed(tools: Tools) -> None:
    tree = Tree(FIXTURE)
    opener = Sops(tools, ADMIN_KEY)
    values: dict[str, Any] = {}
    for file in tree.files():
        values |= opener.decrypt(tree.path(file))
    assert is_hash_of(tools, values["console-password-hash"], values["console-password"])
    listed = [
        line
        for line in (FIXTURE / "recipients.txt").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert all(map(is_recipient, listed))
    readers = {key for document in tree.documents().values() for key in document.recipients}
    assert readers == set(listed)
    for host in wanted().hosts:
        key = values[f"host-key-{host}"]
        assert decrypt_with(tools, tree.path(f"hosts/{host}.yaml"), key).keys() == set(
            wanted().files()[f"hosts/{host}.yaml"]
        )
