"""Where parts are kept, and whether what is kept there is whole.

Below `$XDG_CACHE_HOME/fieldline` (default `~/.cache/fieldline`):

    parts/NAME-VERSION-KEY/   a part; its manifest.json was written last, then the folder renamed
    parts/.tmp.NAME.RANDOM/   one being made; only what a killed build left is ever removed
    locks/NAME.lock           shared while a part is checked, exclusive while it is made
    logs/NAME.log             the output of the last build
    scratch/NAME/             what a build downloads and compiles on its way

The scratch folder holds the Go module and build caches, Maven's repository and cargo's home, each
part its own. They are not the user's ordinary ones, so that an empty cache is really empty and a
build from it proves that the recipe is complete. They survive a build that fails, which then goes
on from there, and are removed after one that succeeds: they are ten times what they were for.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "manifest.json"
MANIFEST_SCHEMA = 1


def default_root() -> Path:
    """`$XDG_CACHE_HOME/fieldline`; a relative XDG_CACHE_HOME is ignored, as its standard says."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "fieldline"


@dataclass(frozen=True)
class Cache:
    """The folders of one cache. Nothing is created before it is needed."""

    root: Path

    def part(self, directory: str) -> Path:
        return self.root / "parts" / directory

    def scratch(self, name: str) -> Path:
        return self.root / "scratch" / name

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    def free(self) -> int:
        """Bytes that an ordinary user can still write on the cache's disk."""
        self.root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.root).free

    def temporary(self, name: str) -> Path:
        """A new folder beside the parts, so that renaming it into place is atomic."""
        parts = self.root / "parts"
        parts.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".tmp.{name}.", dir=parts))

    def remove_leftovers(self, name: str) -> int:
        """Remove what killed builds of `name` left; how many. Call with the lock held alone."""
        leftovers = list((self.root / "parts").glob(f".tmp.{name}.*"))
        for leftover in leftovers:
            remove(leftover)
        return len(leftovers)

    @contextmanager
    def lock(
        self, name: str, *, alone: bool, on_wait: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Hold the lock of a part, alone or together with other readers.

        `on_wait` is called once if somebody else holds it. The kernel drops the lock with the
        process, so that a killed run never blocks the next one.
        """
        path = self.root / "locks" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        with path.open("a") as handle:
            try:
                fcntl.flock(handle, mode | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(handle, mode)
            yield


def remove(folder: Path) -> None:
    """Remove a folder, if it is there, also where a tool made files read-only."""

    def allow_and_retry(
        function: Callable[[str], object],
        path: str,
        error: tuple[type[BaseException], BaseException, object],
    ) -> None:
        # Somebody else was faster: a compiler that is being killed removes its own files.
        if isinstance(error[1], FileNotFoundError):
            return
        for target in (os.path.dirname(path), path):
            os.chmod(target, 0o700)
        function(path)

    if folder.exists():
        shutil.rmtree(folder, onerror=allow_and_retry)


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _files(directory: Path) -> list[Path]:
    return sorted(
        path
        for path in directory.rglob("*")
        if path.is_symlink() or not path.is_dir()
        if path != directory / MANIFEST
    )


def _describe(directory: Path) -> dict[str, dict[str, object]]:
    """Every file below `directory` but the manifest: size, SHA-256, whether it can be run.

    hashlib releases the interpreter's lock, so threads help. All three parts, 230 MB, cost about
    0.3 s on two cores with SHA instructions and a warm page cache.
    """
    files = _files(directory)
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        sums = list(pool.map(sha256, files))
    return {
        str(path.relative_to(directory)): {
            "size": path.stat().st_size,
            "sha256": digest,
            "run": bool(path.stat().st_mode & 0o111),
        }
        for path, digest in zip(files, sums, strict=True)
    }


def seal(directory: Path, *, name: str, version: str) -> None:
    """Make a finished part readable for everyone and write its manifest, the last file of all.

    Readable for everyone whatever the umask: in a lab host a service with DynamicUser reads it.
    """
    directory.chmod(0o755)
    for path in directory.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
        else:
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    manifest = {
        "schema": MANIFEST_SCHEMA,
        "name": name,
        "version": version,
        "files": _describe(directory),
    }
    path = directory / MANIFEST
    # No fsync: what a power failure leaves half written is found by the check at the next use.
    path.write_text(json.dumps(manifest, indent=1) + "\n")
    path.chmod(0o644)


def faults(directory: Path) -> list[str]:
    """What differs between a part and its manifest, one text each; empty if it is whole.

    A file too many counts too: any jar in `libs` would be on Kafka's class path.
    """
    try:
        manifest = json.loads((directory / MANIFEST).read_text())
        if manifest["schema"] != MANIFEST_SCHEMA:
            return [f"{MANIFEST} has schema {manifest['schema']}, not {MANIFEST_SCHEMA}"]
        expected: dict[str, dict[str, object]] = manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{MANIFEST} cannot be read: {error!r}"]
    try:
        found = _describe(directory)
    except OSError as error:
        return [f"a file cannot be read: {error}"]
    texts = []
    for file in sorted(expected.keys() | found.keys()):
        if file not in found:
            texts.append(f"{file} is missing")
        elif file not in expected:
            texts.append(f"{file} does not belong there")
        else:
            texts += [
                f"{file}: {what} is {found[file].get(what)}, not {value}"
                for what, value in expected[file].items()
                if found[file].get(what) != value
            ]
    return texts
