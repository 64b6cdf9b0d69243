"""Making one part: a folder to work in, the recipe's steps, the result into place."""

import errno
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import environment, process
from .cache import Cache, remove, seal
from .errors import DISK_FULL, PartError, failed_build
from .model import Recipe
from .progress import Reporter

GIB = 1 << 30


@dataclass
class _Workshop:
    recipe: Recipe
    work: Path
    out: Path
    scratch: Path
    log: Path
    reporter: Reporter
    _steps: int = 0
    _read: int = 0
    _progress_line: re.Pattern[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._progress_line = re.compile(self.recipe.progress_line.encode())

    def run(self, argv: Sequence[str], *, phase: str, env: Mapping[str, str] | None = None) -> None:
        status = process.run(
            argv,
            cwd=self.work,
            env={**environment.ambient(), **(env or {})},
            log=self.log,
            on_tick=lambda: self._tell(phase),
        )
        if status:
            raise failed_build(self.recipe.title, argv[0], status, self.log)

    def _tell(self, phase: str) -> None:
        """Count the new whole lines of the log. cargo writes there too, not only our child."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            new = log.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        self._steps += sum(bool(self._progress_line.search(line)) for line in whole.splitlines())
        # Never 100 % before it is over: another compiler may print more than was counted once.
        self.reporter.step(
            self.recipe.name, phase, min(self._steps / max(self.recipe.steps, 1), 0.99)
        )


def check_space(recipe: Recipe, cache: Cache) -> None:
    """PartError if the cache's disk has less free than a build from nothing needs."""
    free = cache.free()
    if free < recipe.space:
        lacking = recipe.space - free
        raise PartError(
            f"{recipe.title} needs {recipe.space / GIB:.1f} GiB free while it is made, most of it"
            f" only until it is done. Free {lacking / GIB:.1f} GiB more at {cache.root}, or set"
            " XDG_CACHE_HOME to a folder on a larger disk.",
            f"{free / GIB:.1f} GiB are free at {cache.root}",
        )


def build(recipe: Recipe, cache: Cache, reporter: Reporter, *, keep_scratch: bool) -> Path:
    """Make the part and put it into the cache; where it is then.

    Call it with the part's lock held alone and nothing at its place. PartError if it cannot be
    made. Whatever ends it, only the scratch folder and the log stay.
    """
    environment.check_tools([recipe])
    check_space(recipe, cache)
    log = cache.log(recipe.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    place = cache.part(recipe.directory)
    temporary = cache.temporary(recipe.name)
    reporter.begin(recipe.name, f"making {recipe.title}", recipe.typical)
    outcome = "not made"
    try:
        shop = _Workshop(
            recipe, temporary / "work", temporary / "out", cache.scratch(recipe.name), log, reporter
        )
        for folder in (shop.work, shop.out, shop.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        for file in recipe.files:
            shutil.copyfile(recipe.folder / file, shop.work / file)
        recipe.build(shop)
        if recipe.executable is not None and not os.access(shop.out / recipe.executable, os.X_OK):
            raise PartError(
                f"The recipe of {recipe.title} made no {recipe.executable}; it needs repair.",
                f"found: {sorted(path.name for path in shop.out.rglob('*'))}",
                log,
            )
        seal(shop.out, name=recipe.name, version=recipe.version)
        shop.out.rename(place)
        outcome = "ready"
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise PartError(
            DISK_FULL,
            str(error),
            log,
        ) from error
    finally:
        remove(temporary)
        reporter.end(recipe.name, outcome)
    if not keep_scratch:
        remove(cache.scratch(recipe.name))
    return place
