"""Where values come from: random walks, recordings, sensors of Linux."""

from opc_server.sources.build import build_sources
from opc_server.sources.protocol import Deliver, Indices, Source, Statuses, Tick, Values
from opc_server.sources.sysfs import SysfsSource

__all__ = [
    "Deliver",
    "Indices",
    "Source",
    "Statuses",
    "SysfsSource",
    "Tick",
    "Values",
    "build_sources",
]
