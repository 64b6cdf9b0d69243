"""ssh and sudo of a lab host: what NixOS' own modules make of the same declaration."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fieldline.errors import FieldlineError

from .declaration import HostDeclaration
from .programs import OPT

SSHD_UNIT = "sshd.service"
# NixOS' group of those who may become root, and Debian's user of sshd's unprivileged half. The
# numbers are the lab's own, beside those in `rootfs`.
WHEEL, WHEEL_GID = "wheel", 397
SSHD, SSHD_UID = "sshd", 396
# Where the host's keys are, so that it stays the same host after a start.
KEYS = Path("/var/lib/ssh")
KEY = KEYS / "ssh_host_ed25519_key"

_PATH = f"{OPT}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# As NixOS' own: it is reached as soon as the firewall stands, whatever the services do.
UNIT = """\
[Unit]
Description=SSH daemon
After=network.target nftables.service

[Service]
Type=notify
RuntimeDirectory=sshd
ExecStart=/usr/sbin/sshd -D -f /etc/ssh/sshd_config
ExecReload=/bin/kill -HUP $MAINPID
KillMode=process
Restart=always
"""

# What NixOS' module adds to the settings, or the program takes from its package there.
_SSHD = f"""\
HostKey {KEY}
AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u
PrintMotd no
SetEnv PATH={_PATH}
"""
# security.sudo.wheelNeedsPassword = false
_SUDOERS = f"""\
Defaults secure_path="{_PATH}"
root ALL=(ALL:ALL) NOPASSWD: ALL
%{WHEEL} ALL=(ALL:ALL) NOPASSWD: SETENV: ALL
"""
# Nobody has a password, so PAM can accept none, and has no account to refuse.
_PAM = """\
auth required pam_deny.so
account required pam_permit.so
password required pam_deny.so
session required pam_permit.so
"""


def sshd_config(settings: Mapping[str, Any]) -> str:
    """sshd's configuration, as nixpkgs' module writes its settings."""
    return "".join(f"{key} {_value(key, settings[key])}\n" for key in sorted(settings)) + _SSHD


def _value(key: str, value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return str(value)
        case str() if value and "\n" not in value:
            return value
        case list() if value:
            return " ".join(_value(key, entry) for entry in value)
    raise FieldlineError(f"sshd's setting {key} is none that the lab can write.", repr(value))


def files(host: HostDeclaration) -> dict[str, tuple[str, int]]:
    """What ssh and sudo read below /etc: name → text and mode; nothing without an sshd."""
    if host.sshd is None:
        return {}
    found = {
        "ssh/sshd_config": (sshd_config(host.sshd), 0o644),
        "sudoers": (_SUDOERS, 0o440),
        **{f"pam.d/{service}": (_PAM, 0o644) for service in ("sshd", "sudo", "other")},
    }
    for admin, keys in host.admins.items():
        found[f"ssh/authorized_keys.d/{admin}"] = ("\n".join([*keys, ""]), 0o444)
    return found


def users(host: HostDeclaration, uids: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Lines of passwd and group."""
    if host.sshd is None:
        return [], []
    passwd = [f"{SSHD}:x:{SSHD_UID}:65534::/run/sshd:/usr/sbin/nologin"]
    groups = [f"{WHEEL}:x:{WHEEL_GID}:{','.join(sorted(host.admins))}"]
    for admin in sorted(host.admins):
        passwd.append(f"{admin}:x:{uids[admin]}:{uids[admin]}::/home/{admin}:/bin/bash")
        groups.append(f"{admin}:x:{uids[admin]}:")
    return passwd, groups


def homes(root: Path, host: HostDeclaration, uids: Mapping[str, int]) -> None:
    """Make the admins' home folders. They are as new at each start."""
    for admin in host.admins:
        home = root / "home" / admin
        home.mkdir(parents=True)
        home.chmod(0o700)
        os.chown(home, uids[admin], uids[admin])


def host_key(var: Path, host: HostDeclaration) -> None:
    """Make the host's key, once."""
    folder = var / KEYS.relative_to("/var")
    if host.sshd is None or (folder / KEY.name).exists():
        return
    if shutil.which("ssh-keygen") is None or not Path("/usr/sbin/sshd").exists():
        raise FieldlineError(
            "The hosts' ssh is missing: `scripts/install` installs openssh-server, openssh-client"
            " and sudo."
        )
    folder.mkdir(mode=0o700, exist_ok=True)
    # Made under another name, so that a kill leaves no half of a key.
    new = folder / "new"
    for path in (new, new.with_suffix(".pub")):
        path.unlink(missing_ok=True)
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", str(new)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    new.with_suffix(".pub").rename(folder / f"{KEY.name}.pub")
    new.rename(folder / KEY.name)
