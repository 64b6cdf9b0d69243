"""ssh, sudo and systems of a lab host, as files: what sshd and sudo themselves make of them."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from fieldline.errors import FieldlineError
from fieldline.evaluate import evaluate
from fieldline_lab import ssh, systems
from fieldline_lab.declaration import HostDeclaration, parse
from fieldline_lab.units import expected_units, unit_files, wanted

ROOT = Path(__file__).resolve().parents[2]
SETTINGS: dict[str, Any] = {
    "AuthenticationMethods": "publickey",
    "PasswordAuthentication": False,
    "UsePAM": True,
    "AllowGroups": ["wheel", "other"],
    "MaxAuthTries": 4,
}
KEY = "ssh-ed25519 AAAA anna"
HOST = HostDeclaration("a", "10.0.0.5", 24, admins={"anna": (KEY,)}, sshd=SETTINGS)
BARE = HostDeclaration("a", "10.0.0.5", 24)


def test_settings_are_written_as_nixpkgs_writes_them() -> None:
    text = ssh.sshd_config(SETTINGS)
    assert "PasswordAuthentication no\n" in text
    assert "UsePAM yes\n" in text
    assert "AllowGroups wheel other\n" in text
    assert "MaxAuthTries 4\n" in text
    # Keys are where the declaration alone puts them.
    assert "AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u\n" in text
    assert "%h" not in text


@pytest.mark.parametrize("value", [None, "", [], 1.5, {"a": 1}, "a\nPermitRootLogin yes", [[]]])
def test_a_setting_that_cannot_be_written_is_refused(value: Any) -> None:
    with pytest.raises(FieldlineError, match="setting X"):
        ssh.sshd_config({"X": value})


def test_files_and_users_are_the_admins() -> None:
    files = ssh.files(HOST)
    assert files["ssh/authorized_keys.d/anna"] == (f"{KEY}\n", 0o444)
    assert files["sudoers"][1] == 0o440
    passwd, groups = ssh.users(HOST, {"anna": 412})
    assert "anna:x:412:412::/home/anna:/bin/bash" in passwd
    assert f"wheel:x:{ssh.WHEEL_GID}:anna" in groups
    assert ssh.files(BARE) == {}
    assert ssh.users(BARE, {}) == ([], [])


def test_a_host_without_sshd_has_none_of_its_units() -> None:
    names = {"sshd.service", "current-system.service"}
    assert names <= unit_files(HOST, str).keys()
    assert names <= set(expected_units(HOST))
    assert wanted(HOST)["multi-user.target"] == ["sshd.service"]
    assert not names & unit_files(BARE, str).keys()


@pytest.mark.skipif(os.geteuid() != 0, reason="sshd checks a configuration for root only")
def test_sshd_takes_what_lib_declares(tmp_path: Path) -> None:
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    assert sshd, "scripts/install installs openssh-server"
    host = parse(evaluate(ROOT / "lib", ROOT / "site.toml")).hosts["opc"]
    assert host.sshd is not None
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    file = tmp_path / "sshd_config"
    file.write_text(ssh.sshd_config(host.sshd).replace(str(ssh.KEY), str(key)))
    # sshd looks for a folder that the host's unit makes; this mount nobody else sees.
    script = f"mount -t tmpfs none /run && mkdir /run/sshd && exec {sshd} -T -f {file}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    effective = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    for name, value in host.sshd.items():
        expected = (
            {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value
        )
        if isinstance(expected, list):
            continue  # Printed one to a line.
        assert effective[name.lower()] == str(expected), name


def test_sudo_takes_its_rules() -> None:
    visudo = shutil.which("visudo", path="/usr/sbin:/usr/bin")
    assert visudo, "scripts/install installs sudo"
    for text, code in ((ssh.files(HOST)["sudoers"][0], 0), ("%wheel ALL NOPASSWD", 1)):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(text)
            file.flush()
            done = subprocess.run([visudo, "-cf", file.name], capture_output=True, check=False)
            assert (done.returncode != 0) == bool(code), done.stderr


def test_a_hosts_key_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    ssh.host_key(tmp_path, HOST)
    key = tmp_path / "lib/ssh/ssh_host_ed25519_key"
    assert key.stat().st_mode & 0o777 == 0o600
    first = key.read_text()
    ssh.host_key(tmp_path, HOST)
    assert key.read_text() == first
    assert sorted(path.name for path in key.parent.iterdir()) == [key.name, f"{key.name}.pub"]
    ssh.host_key(tmp_path / "bare", BARE)
    assert not (tmp_path / "bare").exists()


def test_a_host_has_a_system_that_it_boots(tmp_path: Path) -> None:
    systems.prepare(tmp_path, HOST, "eth0")
    folder = tmp_path / "lib/systems"
    assert os.readlink(folder / "default") == "/var/lib/systems/declared"
    assert "ip address replace 10.0.0.5/24 dev eth0" in (folder / "declared/activate").read_text()
    # What a deployment made the default stays it.
    (folder / "default").unlink()
    (folder / "default").symlink_to("/var/lib/systems/next")
    systems.prepare(tmp_path, HOST, "eth0")
    assert os.readlink(folder / "default") == "/var/lib/systems/next"
    systems.prepare(tmp_path / "bare", BARE, "eth0")
    assert not (tmp_path / "bare").exists()
    assert json.dumps(systems.BOOT).count(str(systems.PROFILE)) == 1
