"""The project's Python packages and their dependencies, as the hosts are given them."""

import compileall
import configparser
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fieldline.errors import FieldlineError

from .names import RUNTIME_ROOT
from .state import read_json, write

# Sets of packages kept though no lab runs on them: for going back and forth in the sources.
KEPT = 5
# Where a service that is not root and has no home folder can read a Python from.
PYTHON_PLACES = (Path("/usr"), Path("/nix/store"))
_IGNORED = {"__pycache__", "tests", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}


@dataclass(frozen=True)
class Packages:
    """What the hosts see as /opt/fieldline/packages and /opt/fieldline/venv."""

    directory: Path
    environment: Path


def environment() -> Path:
    """The virtual environment with the dependencies: the one that runs this."""
    folder = Path(sys.prefix)
    if not (folder / "pyvenv.cfg").is_file():
        raise FieldlineError(
            "The lab takes the hosts' Python packages from a virtual environment: make one with"
            " `/usr/bin/python3 -m venv .venv`, install requirements.txt in it and run"
            " `.venv/bin/fieldline`."
        )
    python = (folder / "bin" / "python").resolve()
    if not any(python.is_relative_to(place) for place in PYTHON_PLACES):
        raise FieldlineError(
            f"The virtual environment {folder} is made from {python}, which the hosts' services may"
            " not read. Make it with `/usr/bin/python3 -m venv .venv`."
        )
    for path in (folder, *(folder / "lib").glob("python*/site-packages")):
        if path.stat().st_mode & 0o005 != 0o005:
            raise FieldlineError(
                f"The hosts' services, which are not root, may not read {path}:"
                f" `chmod -R o+rX {folder}`."
            )
    return folder


def sources(worktree: Path) -> list[Path]:
    """The folder of each package of the work tree."""
    return sorted(path.parent for path in (worktree / "pkgs").glob("*/pyproject.toml"))


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _IGNORED)
        for name in sorted(names):
            yield Path(parent) / name


def digest(folders: list[Path], python: Path) -> str:
    """A hash of everything that the installed packages are made of."""
    total = hashlib.sha256(str(python).encode() + sys.version.encode())
    for folder in folders:
        for file in _files(folder):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            total.update(f"{folder.name}/{file.relative_to(folder)} {content}\n".encode())
    return total.hexdigest()[:16]


def prepare(worktree: Path, note: Callable[[str], None]) -> Packages:
    """Install the work tree's packages once per state of their sources."""
    venv = environment()
    _compile(venv, note)
    folders = sources(worktree)
    cache = worktree / ".lab" / ".packages"
    target = cache / digest(folders, (venv / "bin" / "python").resolve())
    if not target.is_dir():
        note(f"installing {', '.join(folder.name for folder in folders) or 'no packages'}")
        _install(folders, venv, target)
    else:
        os.utime(target)
    _remove_old(cache)
    return Packages(target, venv)


def _remove_old(cache: Path) -> None:
    """Remove the sets of packages that were used longest ago, but for those that a lab runs on."""
    running = [read_json(path).get("binds", {}) for path in RUNTIME_ROOT.glob("*/plan.json")]
    used = {source for binds in running for source in binds}
    unused = [path for path in cache.iterdir() if str(path) not in used]
    for path in sorted(unused, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def _install(folders: list[Path], venv: Path, target: Path) -> None:
    new = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        new.mkdir(parents=True)
        if folders:
            argv = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps"]
            argv += ["--no-build-isolation", "--no-index", "--disable-pip-version-check"]
            argv += ["--no-input", "--target", str(new), *map(str, folders)]
            done = subprocess.run(
                argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
            )
            if done.returncode:
                raise FieldlineError(
                    "The work tree's Python packages cannot be installed.",
                    "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:]),
                )
        # Services run as users of their own, whatever this user's umask was.
        for path in (new, *new.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
        try:
            new.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            # Another command has installed the same at the same time.
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _compile(venv: Path, note: Callable[[str], None]) -> None:
    """Compile the dependencies once. A host cannot: it sees them read-only, so each start would."""
    folders = [path for path in (venv / "lib").glob("python*/site-packages") if path.is_dir()]
    installed = sorted(path.name for folder in folders for path in folder.glob("*.dist-info"))
    stamp = venv / ".compiled"
    expected = hashlib.sha256("\n".join([str(venv), *installed]).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == expected:
        return
    note("compiling the Python dependencies")
    for folder in folders:
        compileall.compile_dir(folder, quiet=2, workers=0)
    try:
        write(stamp, expected)
    except OSError:
        pass  # A venv of another user is read-only: that costs time at each start, nothing else.


def console_scripts(directory: Path) -> dict[str, str]:
    """The commands that the installed packages bring: name → `module:function`."""
    scripts: dict[str, str] = {}
    for file in sorted(directory.glob("*.dist-info/entry_points.txt")):
        parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
        # Names are kept as they are; the default would put them in lower case.
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(file.read_text())
        if parser.has_section("console_scripts"):
            scripts.update(parser.items("console_scripts"))
    return scripts
