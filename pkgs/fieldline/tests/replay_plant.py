"""A plant in memory to be replayed: its values, and the results they require."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from fieldline.models import load_model
from fieldline.replay.run import Report, replay
from fieldline.replay.selection import Functions, parse_models, select
from fieldline.site import check_text
from fieldline.verify.catalogue import Catalogue, catalogue_of
from fieldline.verify.points import Points, no_points, points
from fieldline.verify.store import Stored

TEXT = (Path(__file__).parents[3] / "site.toml").read_text()
SITE = check_text(TEXT.encode(), "site.toml")
# A second asset, so that one can be chosen.
TWO = check_text(
    TEXT.replace('names = ["Sensors"]', 'names = ["Sensors", "Spare"]')
    .replace("nodes = {", "# {")
    .encode(),
    "site.toml",
)
SECOND = 10**9
BEGIN = 1_800_000_000 * SECOND
END = BEGIN + 60 * SECOND
BAD = 0x80050000


@dataclass
class Memory:
    """A store of values and results by (asset, name, time)."""

    catalogue: Catalogue
    stored: dict[tuple[str, str, int], tuple[float, int]] = field(default_factory=dict)
    given: dict[tuple[str, str, int], float] = field(default_factory=dict)
    pieces: list[tuple[int, int]] = field(default_factory=list)

    def values(self, since: int, until: int) -> Stored:
        self.pieces.append((since, until))
        index = self.catalogue.variable_index
        rows = [
            (index[asset, name], time, value, status)
            for (asset, name, time), (value, status) in self.stored.items()
            if since <= time < until and (asset, name) in index
        ]
        return Stored(_points(rows), [])

    def results(self, since: int, until: int) -> Stored:
        index = self.catalogue.model_index
        rows = [
            (index[asset, name], time, value, 0)
            for (asset, name, time), value in self.given.items()
            if since <= time < until and (asset, name) in index
        ]
        return Stored(_points(rows), [])

    def latest_before(self, until: int) -> np.ndarray:
        latest = np.full(len(self.catalogue.variables), np.nan)
        for (asset, name, time), (value, status) in sorted(self.stored.items(), key=_time):
            place = self.catalogue.variable_index.get((asset, name))
            if time < until and status < BAD and place is not None:
                latest[place] = value
        return latest

    def newest(self, _since: int, _until: int) -> Any:
        raise AssertionError("a replay does not wait")


def _time(item: tuple[tuple[str, str, int], Any]) -> int:
    return item[0][2]


def _points(rows: list[tuple[int, int, float, int]]) -> Points:
    if not rows:
        return no_points()
    series, time, value, status = (np.array(column) for column in zip(*rows, strict=True))
    return points(series.astype(np.int64), time, value.astype(float), status.astype(np.uint32))


def plant(site: Any = SITE, seed: int = 1, seconds: int = 60) -> Memory:
    """A plant that works: values from 10 s before the window on, and the results they require."""
    memory = Memory(catalogue_of(site))
    random = np.random.default_rng(seed)
    for asset in site.assets:
        for name, variable in site.types[asset.type].variables.items():
            period = variable.period_ms * 10**6
            for time in range(BEGIN - 10 * SECOND, BEGIN + seconds * SECOND, period):
                at = time + int(random.integers(0, period // 2))
                status = BAD if random.random() < 0.05 else 0
                memory.stored[asset.name, name, at] = (float(random.normal(20, 5)), status)
    memory.given = definition(memory)
    return memory


def definition(memory: Memory) -> dict[tuple[str, str, int], float]:
    """result(asset, model, t) = f(latest usable value of each input with source time ≤ t)."""
    given = {}
    variables = memory.catalogue.variables
    for model in memory.catalogue.models:
        names = [variables[i].variable for i in model.inputs]
        latest: dict[str, float] = {}
        usable = sorted(
            (time, name, value)
            for (asset, name, time), (value, status) in memory.stored.items()
            if asset == model.asset and name in names and status < BAD
        )
        for place, (time, name, value) in enumerate(usable):
            latest[name] = value
            last = place + 1 == len(usable) or usable[place + 1][0] != time
            if last and len(latest) == len(names):
                row = np.array([[latest[name] for name in names]])
                given[model.asset, model.name, time] = float(load_model(model.function)(row)[0])
    return given


def run(memory: Memory, *models: str, tolerance: float = 0.0, **options: Any) -> Report:
    catalogue = select(memory.catalogue, parse_models(models), options.pop("assets", ()))
    narrow = Memory(catalogue, memory.stored, memory.given)
    functions = Functions(options.pop("folder", Path()))
    report = replay(catalogue, narrow, functions, BEGIN, END, tolerance=tolerance, **options)
    memory.pieces = narrow.pieces
    return report
