"""The tables of `site.toml` that say where the values of a server of ours come from."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Tag, WithJsonSchema

from fieldline.site.forms import Boolean, Number, Whole, Word
from fieldline.site.table import CLOSED, TAG
from fieldline.site.texts import Column, DevicePath, File

SOURCES = ("random-walk", "replay", "sysfs")


class KnownSourceTable(BaseModel):
    """A source of a known kind, closed as every table is."""

    model_config = CLOSED


class RandomWalkTable(KnownSourceTable):
    """Values that move by at most `step` at a time."""

    kind: Annotated[str, Word(("random-walk",))]
    """random-walk."""
    step: Annotated[float, Number(0, 1e12, refused=0)]
    """The largest change from one value to the next."""
    start: Annotated[float, Number(-1e15, 1e15)] = 0.0
    """The first value."""


class ReplayTable(KnownSourceTable):
    """Values from a recording."""

    kind: Annotated[str, Word(("replay",))]
    """replay."""
    file: File
    """The recording, beside site.toml: .csv or .parquet."""
    column: Column
    """The column of the values."""
    time_column: Column = "time"
    """The column of the times."""
    speed: Annotated[int, Whole(1, 1000)] = 1
    """How many times faster than recorded."""
    loop: Annotated[bool, Boolean()] = True
    """Whether it begins again at its end."""


class SysfsTable(KnownSourceTable):
    """Values of a sensor that Linux shows as a file."""

    kind: Annotated[str, Word(("sysfs",))]
    """sysfs."""
    path: DevicePath
    """The file, such as "/sys/bus/w1/devices/28-*/temperature"."""
    scale: Annotated[float, Number(-1e15, 1e15, refused=0)] = 1.0
    """What the number read is multiplied by."""
    offset: Annotated[float, Number(-1e15, 1e15)] = 0.0
    """What is added then."""


class UnknownSourceTable(BaseModel):
    """A source of no known kind: only the kind is refused."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)
    kind: Annotated[str, Word(SOURCES)]
    """random-walk, replay or sysfs."""


def _kind_of_source(value: object) -> str | None:
    if not isinstance(value, dict):
        return None
    kind = value.get("kind")
    return TAG + (kind if isinstance(kind, str) and kind in SOURCES else "unknown")


SourceTable = Annotated[
    Annotated[RandomWalkTable, Tag(TAG + "random-walk")]
    | Annotated[ReplayTable, Tag(TAG + "replay")]
    | Annotated[SysfsTable, Tag(TAG + "sysfs")]
    | Annotated[UnknownSourceTable, WithJsonSchema({"not": {}}), Tag(TAG + "unknown")],
    Discriminator(_kind_of_source),
]
