"""What stands in a lab host for the systems of NixOS: which one runs, and which one would boot.

A system is a folder in /var/lib/systems with `bin/switch-to-configuration`, called as NixOS calls
its own. The boot default is a link to one of them, where NixOS has its profile; as on NixOS, a unit
makes it the running system at boot. `fieldline guard` and `fieldline deploy` see no difference.
"""

import os
from pathlib import Path

from .declaration import HostDeclaration

FOLDER = Path("/var/lib/systems")
DEFAULT = FOLDER / "default"
# Where NixOS has the system that is booted.
PROFILE = Path("/nix/var/nix/profiles/system")
# The one that a host has from the start.
DECLARED = "declared"
BOOT_UNIT = "current-system.service"

# Before anything that asks which system runs.
BOOT = f"""\
[Unit]
Description=The system that was booted
DefaultDependencies=no
Before=sysinit.target
RequiresMountsFor=/var

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'ln -sfn "$$(readlink -f {PROFILE})" /run/current-system'
"""

# `activate` is what a system does to its host; NixOS' program compares units instead.
SWITCH = f"""\
#!/bin/sh
set -eu
system=$(dirname "$(dirname "$(readlink -f "$0")")")
case "$1" in
  test | switch)
    ln -sfn "$system" /run/current-system
    "$system/activate"
    ;;
esac
case "$1" in
  switch | boot) ln -sfn "$system" {DEFAULT} ;;
esac
"""


def activation(host: HostDeclaration, device: str) -> str:
    """Brings a host back to its declaration: network, firewall, units."""
    address = f"{host.address}/{host.prefix}"
    return f"""\
#!/bin/sh
set -eu
ip link set {device} up
ip address replace {address} dev {device}
nft -f /etc/nftables.conf
systemctl daemon-reload
# Pulls in every declared unit that does not run.
systemctl start multi-user.target
"""


def make(var: Path, name: str, activate: str) -> Path:
    """A system in a host's /var; the folder on this machine."""
    system = var / FOLDER.relative_to("/var") / name
    for path, text in (("bin/switch-to-configuration", SWITCH), ("activate", activate)):
        file = system / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
    return system


def prepare(var: Path, host: HostDeclaration, device: str) -> None:
    """Give a host the system it is declared as; it boots that one unless another was made so."""
    if host.sshd is None:
        return
    make(var, DECLARED, activation(host, device))
    default = var / DEFAULT.relative_to("/var")
    if not default.is_symlink():
        default.symlink_to(FOLDER / DECLARED)


def profile(root: Path) -> None:
    """The place where NixOS has its boot default."""
    link = root / PROFILE.relative_to("/")
    link.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(DEFAULT, link)
