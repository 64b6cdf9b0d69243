"""The parts of the lab (Kafka, sops, Telegraf, InfluxDB) and tools, made once and kept in a cache.

from fieldline_lab.parts import obtain
telegraf = obtain(["telegraf"])["telegraf"].executable
"""

from .cache import Cache, default_root
from .catalogue import ALL, TOOLS, read_catalogue
from .errors import PartError
from .model import Part, Recipe, Tool, Workshop
from .obtaining import obtain
from .progress import Lines, Live, Reporter, Silent, automatic

__all__ = [
    "ALL",
    "TOOLS",
    "Cache",
    "Lines",
    "Live",
    "Part",
    "PartError",
    "Recipe",
    "Reporter",
    "Silent",
    "Tool",
    "Workshop",
    "automatic",
    "default_root",
    "obtain",
    "read_catalogue",
]
