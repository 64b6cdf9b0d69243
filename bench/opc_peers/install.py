"""Other people's servers, brought into `fieldline/bench` of the user's cache once; none is ours.

Each has a folder here that pins it: node-opcua and a Node.js for it by `package-lock.json`
(versions and hashes; npm), open62541 by the hash of the crate that carries its source (cargo),
which is built with CMake. The cache's folder is named by what pins its content.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fieldline_lab.parts import environment

HERE = Path(__file__).resolve().parent
# One step: a download, or a build on a busy machine.
_STEP_S = 600
CRATE = "open62541-sys"
CRATE_VERSION = "0.6.6"
# The version of open62541 in that crate.
OPEN62541 = "1.5.10"
NODE_OPCUA = "2.186.4"
_PACKAGES = [HERE / "node_opcua" / name for name in ("package.json", "package-lock.json")]
_CRATE_SUM, _PROGRAM = HERE / "open62541/SHA256SUMS", HERE / "open62541/server.c"


class NotHadError(Exception):
    """A peer that cannot be brought here; says why."""


def _run(argv: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> None:
    """One step.

    Raises:
        NotHadError: it failed; with the last line that it printed.
    """
    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_STEP_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotHadError(f"{argv[0]}: {error}") from error
    if done.returncode:
        said = done.stdout.strip().splitlines() or ["it said nothing"]
        raise NotHadError(f"{argv[0]} has failed: {said[-1]}")


def _had(name: str, pins: Sequence[Path], make: Callable[[Path, Path], None]) -> Path:
    """The folder of a peer in the cache, made if it is not there: whole, or not at all."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fieldline/bench"
    digest = hashlib.sha256(platform.machine().encode())
    for file in pins:
        digest.update(file.read_bytes())
    place = cache / f"{name}-{digest.hexdigest()[:12]}"
    if place.is_dir():
        return place
    print(f"{name}: brought to {place}, once", file=sys.stderr, flush=True)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp.", dir=cache) as work:
        out = Path(work) / "out"
        out.mkdir()
        make(Path(work), out)
        out.rename(place)
    return place


def _make_node_opcua(_work: Path, out: Path) -> None:
    for file in _PACKAGES:
        shutil.copyfile(file, out / file.name)
    # No script of a package is run; the lock file has no addresses, and gets none.
    quiet = ("--no-audit", "--no-fund", "--omit-lockfile-registry-resolved")
    _run(["npm", "ci", "--ignore-scripts", *quiet], out)
    if not list(out.glob("node_modules/node-linux-*/bin/node")):
        raise NotHadError(f"npm has no Node.js for {platform.machine()}")


def node_opcua() -> tuple[Path, Path]:
    """(Node.js, the folder with node-opcua).

    Raises:
        NotHadError: it is not to be had here.
    """
    place = _had(f"node-opcua-{NODE_OPCUA}", _PACKAGES, _make_node_opcua)
    [program] = place.glob("node_modules/node-linux-*/bin/node")
    return program, place


def _make_open62541(work: Path, out: Path) -> None:
    env = environment.cargo(work)
    # Fetches the crate and compiles nothing.
    _run(["cargo", "info", "--quiet", f"{CRATE}@{CRATE_VERSION}"], work, env)
    found = list(work.glob(f"cargo/registry/cache/*/{CRATE}-{CRATE_VERSION}.crate"))
    if not found:
        raise NotHadError("cargo has fetched no crate")
    shutil.copyfile(found[0], work / found[0].name)
    _run(["sha256sum", "--check", "--strict", str(_CRATE_SUM)], work)
    _run(["tar", "--extract", "--gzip", "--file", found[0].name], work)
    source = work / f"{CRATE}-{CRATE_VERSION}" / "open62541"
    build = work / "build"
    options = ("-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=OFF")
    _run(["cmake", "-S", str(source), "-B", str(build), *options], work)
    _run(["cmake", "--build", str(build), "--parallel", str(os.cpu_count())], work)
    places = (source / "include", source / "plugins/include", source / "deps")
    include = [f"-I{place}" for place in (*places, build / "src_generated")]
    program = ["-o", str(out / "server"), str(_PROGRAM)]
    _run(["gcc", "-O2", "-w", *include, *program, str(build / "bin/libopen62541.a")], work)


def open62541() -> Path:
    """The server's program.

    Raises:
        NotHadError: it is not to be had here.
    """
    pins = (_CRATE_SUM, _PROGRAM)
    return _had(f"open62541-{OPEN62541}", pins, _make_open62541) / "server"
