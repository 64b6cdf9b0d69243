"""The words of this package: what a part is, how it is made, and what a build may use."""

import hashlib
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol


@dataclass(frozen=True)
class Part:
    """A third-party program that is ready to run."""

    name: str
    version: str
    directory: Path
    """Holds `bin/NAME`, or `libs/*.jar` for Kafka. Readable for every user."""
    origin: Literal["cache", "path"]
    executable: Path | None
    """None for Kafka from the cache, which is started as `java -cp DIRECTORY/libs/*`."""


@dataclass(frozen=True)
class Tool:
    """A command that a build calls."""

    command: str
    package: str
    """The Debian package that has it."""
    oldest: tuple[int, int] | None = None
    """The first version that will do."""
    version: tuple[str, ...] = ("--version",)
    """Arguments that make it tell its version."""
    remark: str = ""
    """Where to get it if Debian's is too old."""


class Workshop(Protocol):
    """What a recipe's build function is given."""

    @property
    def recipe(self) -> "Recipe": ...
    @property
    def work(self) -> Path:
        """A copy of the recipe's files, to work in. Thrown away."""

    @property
    def out(self) -> Path:
        """What is put here becomes the part."""

    @property
    def scratch(self) -> Path:
        """Downloads and compiled packages. Kept when a build fails, so that the next one goes on
        from there, and removed once it succeeds."""

    @property
    def log(self) -> Path: ...
    def run(self, argv: Sequence[str], *, phase: str, env: Mapping[str, str] | None = None) -> None:
        """Run a command in `work`, its output in the log. PartError if it fails."""


@dataclass(frozen=True)
class Recipe:
    """How one part is made. The tests bring recipes of their own."""

    name: str
    version: str
    folder: Path
    files: tuple[str, ...]
    """The files in `folder` that pin the part. They are what a build gets to see."""
    build: Callable[[Workshop], None]
    executable: str | None = None
    """Where the program is, relative to the part's directory."""
    tags: tuple[str, ...] = ()
    """What is compiled in: Go's build tags, a crate's features."""
    tools: tuple[Tool, ...] = ()
    space: int = 0
    """Bytes that the cache's disk must have free for a build from nothing."""
    typical: tuple[int, int] = (1, 10)
    """Seconds that a build from nothing takes on two cores, from and to."""
    progress_line: str = r"."
    """A regular expression; each line of the log that it finds is one step."""
    steps: int = 1
    """Such lines in a build from nothing."""
    revision: int = 1
    """Raised when `build` changes in a way that changes the result."""
    on_path: Callable[["Recipe", str], Path | None] | None = None
    """Finds the part on a PATH: its directory, or None."""
    path_executable: str | None = None
    """As `executable`, for a part found on PATH, where it differs."""

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def directory(self) -> str:
        """The part's place in the cache: another recipe, another place.

        The machine's architecture counts, since a home directory may be shared.
        """
        digest = hashlib.sha256()
        for file in sorted(self.files):
            digest.update(f"{file}\0".encode() + (self.folder / file).read_bytes() + b"\0")
        digest.update(repr((self.tags, self.revision, platform.machine())).encode())
        return f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"
