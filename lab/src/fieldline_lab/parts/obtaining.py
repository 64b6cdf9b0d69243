"""The one thing others call: have these parts, wherever they come from."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from . import environment
from .build import build, check_space
from .cache import Cache, default_root, faults, remove
from .catalogue import ALL, read_catalogue
from .errors import PartError
from .model import Part, Recipe
from .progress import Live, Reporter, automatic


def obtain(
    names: Sequence[str] = ALL,
    *,
    reporter: Reporter | None = None,
    offline: bool = False,
    keep_scratch: bool = False,
    cache: Cache | None = None,
    catalogue: Mapping[str, Recipe] | None = None,
    search_path: str | None = None,
) -> dict[str, Part]:
    """The parts of these names, ready to run: from PATH, else from the cache, else made now.

    Every file of a part from the cache is checked each time (0.3 s for all three); a damaged part
    is made again. With a warm cache the network is not touched; with `offline` it never is, and a
    part that is not there is an error. `reporter` None means a display that fits standard error.
    `keep_scratch` keeps the downloads of a successful build. PartError says why a part cannot be
    had. Ctrl-C ends a running build with all its children and goes on as KeyboardInterrupt.

    Parts are made one after the other: on two cores a big build keeps both busy most of the time
    (Telegraf: 185 s of CPU in 111 s), so two at once would gain little and tell less.
    """
    catalogue = read_catalogue() if catalogue is None else catalogue
    cache = Cache(default_root()) if cache is None else cache
    search_path = os.environ.get("PATH", os.defpath) if search_path is None else search_path
    unknown = [name for name in names if name not in catalogue]
    if unknown:
        raise PartError(
            f"There is no part {', '.join(unknown)}. The parts are: {', '.join(catalogue)}."
        )
    wanted = [catalogue[name] for name in dict.fromkeys(names)]
    try:
        return _obtain(wanted, reporter, offline, keep_scratch, cache, search_path)
    except PermissionError as error:
        raise PartError(
            f"The cache at {cache.root} belongs to somebody else (was it made with sudo?). Give it"
            " to this user, or set XDG_CACHE_HOME to a folder of your own.",
            str(error),
        ) from error


def _obtain(
    wanted: Sequence[Recipe],
    reporter: Reporter | None,
    offline: bool,
    keep_scratch: bool,
    cache: Cache,
    search_path: str,
) -> dict[str, Part]:
    with ExitStack() as stack:
        if reporter is None:
            reporter = automatic()
            if isinstance(reporter, Live):
                stack.enter_context(reporter)
        had = {
            recipe.name: _from_path(recipe, search_path) or _from_cache(recipe, cache, reporter)
            for recipe in wanted
        }
        lacking = [recipe for recipe in wanted if had[recipe.name] is None]
        if lacking and offline:
            raise _not_offline(lacking, cache)
        # All of them before the first build: nobody wants to hear of it four minutes later.
        environment.check_tools(lacking)
        for recipe in lacking:
            check_space(recipe, cache)
        return {
            recipe.name: had[recipe.name] or _make(recipe, cache, reporter, keep_scratch)
            for recipe in wanted
        }


def _from_path(recipe: Recipe, search_path: str) -> Part | None:
    directory = recipe.on_path(recipe, search_path) if recipe.on_path is not None else None
    if directory is None:
        return None
    program = recipe.path_executable or recipe.executable
    return Part(
        recipe.name, recipe.version, directory, "path", directory / program if program else None
    )


def _cached(recipe: Recipe, cache: Cache) -> Part:
    directory = cache.part(recipe.directory)
    program = directory / recipe.executable if recipe.executable is not None else None
    return Part(recipe.name, recipe.version, directory, "cache", program)


def _waiting(recipe: Recipe, reporter: Reporter) -> None:
    reporter.note(recipe.name, "another run is busy with it; waiting for that one")


def _from_cache(recipe: Recipe, cache: Cache, reporter: Reporter) -> Part | None:
    part = _cached(recipe, cache)
    if not part.directory.exists() and not cache.root.exists():
        return None
    with cache.lock(recipe.name, alone=False, on_wait=lambda: _waiting(recipe, reporter)):
        return part if part.directory.exists() and not faults(part.directory) else None


def _make(recipe: Recipe, cache: Cache, reporter: Reporter, keep_scratch: bool) -> Part:
    part = _cached(recipe, cache)
    with cache.lock(recipe.name, alone=True, on_wait=lambda: _waiting(recipe, reporter)):
        if cache.remove_leftovers(recipe.name):
            reporter.note(recipe.name, "removed what an interrupted run had left")
        if part.directory.exists():
            wrong = faults(part.directory)
            if not wrong:
                return part
            reporter.note(recipe.name, f"damaged in the cache, so it is made again: {_some(wrong)}")
            remove(part.directory)
        build(recipe, cache, reporter, keep_scratch=keep_scratch)
    return part


def _not_offline(lacking: Sequence[Recipe], cache: Cache) -> PartError:
    causes = []
    for recipe in lacking:
        directory = cache.part(recipe.directory)
        wrong = faults(directory) if directory.exists() else ["not there"]
        causes.append(f"{directory}: {_some(wrong)}")
    names = " ".join(recipe.name for recipe in lacking)
    return PartError(
        f"{', '.join(recipe.title for recipe in lacking)} must be fetched, and that was ruled out"
        f" (offline). Run this once with a network: python -m fieldline_lab.parts {names}",
        "\n".join(causes),
    )


def _some(texts: Sequence[str]) -> str:
    """The first few: a damaged Kafka may have a hundred."""
    rest = len(texts) - 3
    return "; ".join(texts[:3]) + (f"; and {rest} more" if rest > 0 else "")
