"""Where the data is: each hop from the server to InfluxDB, its rate, its lag, its newest value.

`snapshot` and `Follower` are the library; `command` prints, `render` draws. The hops are in the
order in which a value passes them, so that a diagnosis can walk them to the first that stopped.
"""

from fieldline.where.follower import Follower, snapshot
from fieldline.where.state import Hop, Latency, SeriesState, Snapshot

__all__ = ["Follower", "Hop", "Latency", "SeriesState", "Snapshot", "snapshot"]
