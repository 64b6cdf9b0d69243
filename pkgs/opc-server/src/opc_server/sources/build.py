"""The sources of a server's points."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from fieldline.site import RandomWalk, Replay, Sysfs

from opc_server.points import Point
from opc_server.sources.protocol import Source
from opc_server.sources.random_walk import RandomWalkSource
from opc_server.sources.sysfs import Readers, SysfsSource


def build_sources(
    points: Sequence[Point],
    directory: Path,
    seed: int | None,
    on_failure: Callable[[], None],
) -> dict[int, list[Source]]:
    """Make as few sources as there can be, so that each is one evaluation of many points.

    Args:
        points: of one server.
        directory: where recordings are, beside `site.toml`.
        seed: for random walks.
        on_failure: told of each failed reading of a sensor.
    Returns:
        Period in ns → its sources.
    Raises:
        ServiceError: a recording is not usable.
    """
    alike: dict[tuple[object, ...], list[Point]] = defaultdict(list)
    for point in points:
        source = point.source
        how: tuple[object, ...] = ()
        if isinstance(source, Replay):
            how = (source.file, source.time_column, source.speed, source.loop)
        alike[point.period_ns, type(source), *how].append(point)
    readers = Readers(sum(isinstance(point.source, Sysfs) for point in points))
    sources: dict[int, list[Source]] = defaultdict(list)
    for group in alike.values():
        first = group[0]
        made: Source
        if isinstance(first.source, RandomWalk):
            made = RandomWalkSource(group, seed)
        elif isinstance(first.source, Replay):
            # pyarrow takes its time and memory: a Raspberry Pi without recordings does without.
            from opc_server.sources.replay import ReplaySource

            made = ReplaySource(group, directory)
        else:
            made = SysfsSource(group, readers, on_failure)
        sources[first.period_ns].append(made)
    return dict(sources)
