"""`fieldline secrets install` over ssh, with an ssh that runs the command here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline.secrets import install
from fieldline.secrets.commands import app
from fieldline.secrets.sops import Sops
from fieldline.secrets.tools import Tools
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.skipif(
    shutil.which("nix-instantiate") is None, reason="no nix-instantiate on this machine"
)

SSH = """\
#!/bin/sh
printf '%s\\n' "$@" > {log}
while [ "$1" != -- ]; do shift; done
shift 2
exec sh -c "$*"
"""
# Where this is not root, it is as good as root in a namespace of its own.
SUDO = """\
#!/bin/sh
[ "$1" = -n ] || exit 9
shift
[ "$(id -u)" = 0 ] || set -- unshare -r "$@"
exec "$@"
"""


class Remote:
    """A plant's folder here, and what stands for the host."""

    def __init__(self, folder: Path, tools: Tools) -> None:
        self.folder, self.tools = folder, tools
        self.programs = folder / "bin"
        self.key = folder / "re mote" / "sops-nix" / "key.txt"
        self.admin = folder / "admin-key.txt"

    def read(self, file: str) -> dict[str, str]:
        """The values of an encrypted file."""
        return Sops(self.tools, self.admin).decrypt(self.folder / "secrets" / file)

    def run(self, *arguments: str) -> tuple[int, str, BaseException | None]:
        """Run `fieldline secrets`: exit code, output, error."""
        done = CliRunner().invoke(app, list(arguments))
        return done.exit_code, done.output, done.exception


@pytest.fixture
def remote(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    remote = Remote(tmp_path, tools)
    shutil.copyfile(ROOT / "site.toml", tmp_path / "site.toml")
    remote.programs.mkdir()
    for name, text in (("ssh", SSH.format(log=tmp_path / "arguments")), ("sudo", SUDO)):
        (remote.programs / name).write_text(text)
        (remote.programs / name).chmod(0o755)
    path = [str(remote.programs), str(Path(tools.sops).parent), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(path))
    monkeypatch.setenv("FIELDLINE_LIB", str(ROOT / "lib"))
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(remote.admin))
    monkeypatch.setattr(install, "KEY_FOLDER", str(remote.key.parent))
    monkeypatch.setattr(install, "KEY_FILE", str(remote.key))
    monkeypatch.chdir(tmp_path)
    return remote


def test_a_key_goes_over_ssh_and_never_in_an_argument(remote: Remote) -> None:
    assert remote.run("init")[0] == 0
    key = remote.read("admin.yaml")["host-key-db"]
    for _ in range(2):
        code, output, error = remote.run(
            *("install", "db", "192.168.0.10", "--port", "2222", "--identity", "id"),
        )
        assert code == 0, error
        assert "the key of db is now at" in output
        assert key in remote.key.read_text().splitlines()
        assert remote.key.stat().st_mode & 0o777 == 0o400
        assert remote.key.parent.stat().st_mode & 0o777 == 0o700
        assert [path.name for path in remote.key.parent.iterdir()] == ["key.txt"]
    arguments = (remote.folder / "arguments").read_text()
    assert arguments.startswith("-T\n-p\n2222\n-i\nid\n--\nadmin@192.168.0.10\nsudo -n sh -c ")
    assert key not in arguments
    assert key not in output
    # It is a key that opens what the host reads.
    opener = Sops(remote.tools, remote.key)
    assert opener.decrypt(remote.folder / "secrets/hosts/db.yaml")


def test_the_key_before_stays_for_a_way_back_and_goes_with_the_next(remote: Remote) -> None:
    remote.run("init")
    remote.run("install", "db", "address")
    before = remote.key.read_text()
    # What the system before has: its files, which the new key does not open.
    old = remote.folder / "old.yaml"
    shutil.copyfile(remote.folder / "secrets/hosts/db.yaml", old)
    assert remote.run("rotate", "host-key-db")[0] == 0
    assert remote.run("install", "db", "address")[0] == 0
    opener = Sops(remote.tools, remote.key)
    assert opener.decrypt(old)
    assert opener.decrypt(remote.folder / "secrets/hosts/db.yaml")
    keys = [line for line in remote.key.read_text().splitlines() if line.startswith("AGE-")]
    assert len(keys) == 2
    assert keys[1] in before
    assert remote.run("install", "db", "address")[0] == 0
    assert [line for line in remote.key.read_text().splitlines() if line[:4] == "AGE-"] == keys[:1]


def test_with_several_admins_one_must_be_named(remote: Remote) -> None:
    remote.run("init")
    site = remote.folder / "site.toml"
    text = site.read_text()
    key = next(line for line in text.splitlines() if line.startswith("admin = "))
    site.write_text(text.replace(key, f"{key}\n{key.replace('admin', 'anna', 1)}"))
    code, _, error = remote.run("install", "db", "address")
    assert code == 1
    assert "Name an admin with --user" in str(error)
    code, output, _ = remote.run("install", "db", "address", "--user", "anna")
    assert code == 0
    assert "of anna@address" in output


def test_a_failed_installation_is_told_and_keeps_the_old_key(remote: Remote) -> None:
    remote.run("init")
    remote.run("install", "db", "address", "--user", "admin")
    before = remote.key.read_text()
    remote.run("rotate", "host-key-db")
    ssh = remote.folder / "bin" / "ssh"
    ssh.write_text("#!/bin/sh\ncat > /dev/null\nexit 255\n")
    code, _, error = remote.run("install", "db", "address", "--user", "admin")
    assert code == 1
    assert isinstance(error, FieldlineError)
    assert "The key is not on admin@address" in str(error)
    ssh.write_text("#!/bin/sh\ncat > /dev/null\necho 0000\necho 400 0 0\n")
    code, _, error = remote.run("install", "db", "address", "--user", "admin")
    assert "is not the key that was sent" in str(error)
    assert remote.key.read_text() == before


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["db"], "address, or its image"),
        (["db", "address", "--image", "x.img"], "address, or its image"),
        (["none", "address"], "no host none. The hosts are: collector, db, opc"),
        (["db", "--image", "none.img"], "readable image"),
    ],
)
def test_wrong_uses_of_install(remote: Remote, arguments: list[str], text: str) -> None:
    remote.run("init")
    code, _, error = remote.run("install", *arguments)
    assert code == 1
    assert text in str(error)
    assert not remote.key.exists()
