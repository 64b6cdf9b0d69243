"""Stream services that are exactly-once: consume, a pure step, produce.

`Engine` runs a `Processor` per input partition on a `Broker`: `kafka.KafkaBroker` is the real one,
`memory.MemoryBroker` the test kit's. A step's outputs, what changed of the state and the input's
offsets leave in one transaction, or not at all.
"""

from fieldline.stream.broker import (
    Broker,
    MovedError,
    Output,
    Poll,
    Record,
    Topics,
    UnavailableError,
)
from fieldline.stream.changelog import Changelog, ChangelogError
from fieldline.stream.engine import Engine, Observer
from fieldline.stream.processor import Change, Processor, Range, Rereading, Stepped

__all__ = [
    "Broker",
    "Change",
    "Changelog",
    "ChangelogError",
    "Engine",
    "MovedError",
    "Observer",
    "Output",
    "Poll",
    "Processor",
    "Range",
    "Record",
    "Rereading",
    "Stepped",
    "Topics",
    "UnavailableError",
]
