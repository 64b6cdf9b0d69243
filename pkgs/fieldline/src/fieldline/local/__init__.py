"""What the host that a command runs on tells of itself: its units, its journal, its link, its time.

Other hosts tell such things only through their services' HTTP endpoints.
"""

from fieldline.local.host import LocalHost, has_link, is_synchronised, this_host
from fieldline.local.journal import Entry, Journal
from fieldline.local.messages import Message, read_message
from fieldline.local.plain import Plain, plain
from fieldline.local.units import UnitState, read_units, units_of

__all__ = [
    "Entry",
    "Journal",
    "LocalHost",
    "Message",
    "Plain",
    "UnitState",
    "has_link",
    "is_synchronised",
    "plain",
    "read_message",
    "read_units",
    "this_host",
    "units_of",
]
