"""A small work tree of its own for the lab's tests: two hosts with trivial units, no parts."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fieldline_lab.names import LabNames
from fieldline_lab.parts import Cache, obtain

REPOSITORY = Path(__file__).resolve().parents[2]
OPEN_PORT, CLOSED_PORT = 7001, 7002
SECONDS = 60.0
USER = 65534
# It may read everything, as the repository may be below somebody's private folder.
AS_USER = [
    *("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
]

# Answers each connection with the hash of its secret, and counts its own starts on disk.
SERVER = f"""
import hashlib, os, pathlib, selectors, socket
secret = pathlib.Path(os.environ["CREDENTIALS_DIRECTORY"], "password").read_bytes()
count = pathlib.Path(os.environ["STATE_DIRECTORY"], "starts")
count.write_text(count.read_text() + "x" if count.exists() else "x")
sockets = [socket.create_server(("", port)) for port in ({OPEN_PORT}, {CLOSED_PORT})]
selector = selectors.DefaultSelector()
for sock in sockets:
    selector.register(sock, selectors.EVENT_READ)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    for key, _ in selector.select():
        connection, _ = key.fileobj.accept()
        connection.sendall(hashlib.sha256(secret).hexdigest().encode())
        connection.close()
"""

RULESET = f"""\
table inet fieldline
delete table inet fieldline
table inet fieldline {{
  chain input {{
    type filter hook input priority filter; policy drop;
    iif "lo" accept
    ct state vmap {{ established : accept, related : accept, invalid : drop }}
    tcp dport {OPEN_PORT} accept
  }}
}}
"""


# Characters that mean something to systemd, a shell or a text file.
ARGUMENTS = [
    *("", "a b", "100%", "%n", "$HOME", "${HOME}", "$", '"', "'", "\\", "\\n", "a\nb", "\t", ";"),
    *("a;b", "#", "°C 😀", "\x01\x7f", "-", "=", "*", "~", "`id`", "a  b ", "\\x20", "@", "!", ":"),
]
ENVIRONMENT = {"SPECIAL": "".join(ARGUMENTS), "EMPTY": "", "WORDS": "-Da=b  -Dc='d e' %h $X"}
WRITE_ARGUMENTS = """
import json, os, pathlib, sys
environment = {name: os.environ[name] for name in sys.argv[1].split(",")}
text = json.dumps([sys.argv[2:], environment])
pathlib.Path("/var/lib/arguments.json").write_text(text)
"""


def python(text: str, *arguments: str) -> dict[str, Any]:
    """A declared command that runs Python text."""
    return {"program": "/usr/bin/python3", "arguments": ["-c", text, *arguments]}


def unit(command: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """A declared unit that the boot starts."""
    return {"description": "A test", "command": command, "wantedBy": ["multi-user.target"], **rest}


def declaration() -> dict[str, Any]:
    """Two hosts, as `lib/` would declare them."""
    server = unit(
        python(SERVER),
        credentials={"password": "/run/secrets/password"},
        serviceConfig={
            "Type": "notify",
            "DynamicUser": True,
            "StateDirectory": "server",
            "ProtectSystem": "strict",
            "Restart": "on-failure",
        },
    )
    return {
        "network": {"gateway": "192.168.0.1", "prefix": 24, "device": "enp0s3"},
        "hosts": {
            "alpha": {
                "address": "192.168.0.5",
                "prefix": 24,
                "roles": [],
                "files": {"/etc/test/settings.toml": {"format": "toml", "value": {"a": {"b": 1}}}},
                "units": {"server": server},
                "users": {"tester": {}},
                "nftables": RULESET,
                "secrets": ["password"],
                "secretFiles": {"password": "hosts/alpha.yaml"},
            },
            "beta-two": {
                "address": "192.168.0.7",
                "prefix": 24,
                "secretFiles": {},
                "units": {
                    "sleeper": unit({"program": "/usr/bin/sleep", "arguments": ["1d"]}),
                    "arguments": unit(
                        python(WRITE_ARGUMENTS, ",".join(ENVIRONMENT), *ARGUMENTS),
                        environment=ENVIRONMENT,
                        serviceConfig={"Type": "oneshot", "RemainAfterExit": True},
                    ),
                },
            },
        },
        "influxdb": {"host": "alpha", "port": CLOSED_PORT},
    }


class WorkTree:
    """A work tree in a folder that every user may read."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="fieldline-lab-test-"))
        self.path.chmod(0o755)
        (self.path / "lib").mkdir()
        (self.path / "pkgs").mkdir()
        (self.path / "lib" / "default.nix").write_text(
            "{ site }: { lab = builtins.fromJSON (builtins.readFile ./lab.json); }\n"
        )
        self.declare(declaration())

    def declare(self, value: Mapping[str, Any]) -> None:
        """Declare these hosts."""
        (self.path / "lib" / "lab.json").write_text(json.dumps(value))
        hosts = "".join(f"[hosts.{name}]\n" for name in value["hosts"])
        (self.path / "site.toml").write_text(hosts)

    def change(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the declaration."""
        value = declaration()
        change(value)
        self.declare(value)

    def names(self, name: str = "default") -> LabNames:
        """The names of a lab here."""
        return LabNames.of(self.path, self.path / "site.toml", name)

    def give_part(self, name: str) -> None:
        """Put a part that this machine has into the cache of a user whose home is the work tree."""
        part = obtain([name])[name]
        copy = Cache(self.path / ".cache" / "fieldline").part(part.directory.name)
        shutil.copytree(part.directory, copy)
        for path in (self.path / ".cache", *(self.path / ".cache").rglob("*")):
            os.chown(path, USER, USER)

    def argv(self, *arguments: str) -> list[str]:
        """The command line of `fieldline lab`."""
        return [sys.executable, "-m", "fieldline_lab", *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        """The environment for it."""
        sources = [REPOSITORY / "lab" / "src", REPOSITORY / "pkgs" / "fieldline" / "src"]
        path = os.pathsep.join(map(str, sources))
        return {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", **more}

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `fieldline lab` to its end."""
        return subprocess.run(
            self.argv(*arguments),
            cwd=self.path,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def as_user(self, argv: Sequence[str], **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a user who is not root."""
        return subprocess.run(
            [*AS_USER, *argv],
            cwd=self.path,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start `fieldline lab` in a process group of its own, as a terminal does."""
        return subprocess.Popen(
            self.argv(*arguments),
            cwd=self.path,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
            process_group=0,
        )
